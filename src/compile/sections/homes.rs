//! Homes of users beside what the bundle owns: whoever owns a folder can replace what lies in it (design.md §7: every parent
//! of a managed path is root's).

use super::{
    overlay::{self, Item, Overlay},
    place,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::GuestPath,
};

/// The home of a user, and where it was written.
#[derive(Debug)]
pub struct Home {
    pub path: GuestPath,
    pub at: At,
}

/// Reports homes that are, hold, or lie in what is not their user's; one reason each.
pub fn check(stack: &View<'_>, overlay: &Overlay) {
    for (n, home) in overlay.homes.iter().enumerate() {
        let refused = place::home_refusal(&home.path).map(|why| {
            Mistake::new(Code::BadHome, home.at, format!("`{}` cannot be a user's home", home.path))
                .label(why)
        });
        let owned =
            || overlay.items.iter().find_map(|(path, (item, at))| beside(home, path, item, *at));
        let shared = || overlay.homes[..n].iter().find_map(|other| together(home, other));
        if let Some(mistake) = refused.or_else(owned).or_else(shared) {
            stack.report(mistake.help("give the user a folder of its own, such as `/home/NAME`"));
        }
    }
}

/// What an entry of the bundle and a home have against each other.
fn beside(home: &Home, path: &GuestPath, item: &Item, at: At) -> Option<Mistake> {
    let (here, there) = (home.path.as_str(), path.as_str());
    let title = if here == there {
        format!("`{here}` is a user's home and an entry of the bundle")
    } else if place::is_at_or_below(there, here) {
        format!("the bundle's `{there}` lies in the home `{here}`, whose user could replace it")
    } else if place::is_at_or_below(here, there) && !is_roots(item) {
        format!("the home `{here}` lies below `{there}`, which is no folder of root")
    } else {
        return None;
    };
    Some(Mistake::new(Code::BadHome, home.at, title).label("the home").also(at, "the entry"))
}

fn is_roots(item: &Item) -> bool {
    matches!(item, Item::Directory { access } if access.owner == overlay::root())
}

fn together(home: &Home, other: &Home) -> Option<Mistake> {
    let (here, there) = (home.path.as_str(), other.path.as_str());
    let title = if here == there {
        format!("two users have the home `{here}`")
    } else if place::is_at_or_below(here, there) || place::is_at_or_below(there, here) {
        format!("the homes `{here}` and `{there}` lie in each other")
    } else {
        return None;
    };
    Some(
        Mistake::new(Code::BadHome, home.at, title)
            .label("one home")
            .also(other.at, "the other one"),
    )
}
