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
use std::{collections::BTreeMap, ops::Bound};

/// The home of a user, and where it was written.
#[derive(Debug)]
pub struct Home {
    pub path: GuestPath,
    pub at: At,
}

/// Reports homes that are, hold, or lie in what is not their user's; one reason each.
pub fn check(stack: &View<'_>, overlay: &Overlay) {
    let items: BTreeMap<_, _> =
        overlay.items.iter().map(|(path, entry)| (path.as_str(), (path, entry))).collect();
    let mut homes: BTreeMap<&str, &Home> = BTreeMap::new();
    for home in &overlay.homes {
        let refused = place::home_refusal(&home.path).map(|why| {
            Mistake::new(Code::BadHome, home.at, format!("`{}` cannot be a user's home", home.path))
                .label(why)
        });
        let here = home.path.as_str();
        let owned = || {
            let mut near = around(&items, here);
            near.find_map(|(path, (item, at))| beside(home, path, item, *at))
        };
        let shared = || around(&homes, here).find_map(|other| together(home, other));
        if let Some(mistake) = refused.or_else(owned).or_else(shared) {
            stack.report(mistake.help("give the user a folder of its own, such as `/home/NAME`"));
        }
        homes.entry(here).or_insert(home);
    }
}

/// What stands above a path, at it, and first below it: a guest may have thousands of homes.
fn around<'m, T: Copy>(all: &'m BTreeMap<&str, T>, path: &'m str) -> impl Iterator<Item = T> + 'm {
    let parents = path.match_indices('/').skip(1).map(|(n, _)| &path[..n]);
    let below = format!("{path}/");
    let first = all.range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded)).next();
    let first = first.filter(|(other, _)| other.starts_with(&below)).map(|(_, found)| *found);
    parents.chain([path]).filter_map(|at| all.get(at).copied()).chain(first)
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
