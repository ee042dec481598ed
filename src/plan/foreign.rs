//! Files of others in the way of a bundle: kept in `/var/lib/stackc/found` while stackc stands in their place.

use super::{
    difference::{FileDifference, Mark},
    drift::{Standing, difference, difference_lines},
};
use crate::model::{Bundle, GuestPath, Placed, Sight, Sighted};
use std::collections::{BTreeMap, BTreeSet};

/// The most lines of one file's difference that a plan shows; its JSON has all.
const LINES_MAX: usize = 40;

/// Paths that a bundle takes whole: whoever has a file there loses its place.
pub fn taken_paths(bundle: &Bundle) -> BTreeSet<GuestPath> {
    let takes = |placed: &Placed| matches!(placed, Placed::Link { .. } | Placed::Copy { .. });
    let placed = super::ledger(bundle).paths.into_iter();
    placed.filter(|(_, placed)| takes(placed)).map(|(path, _)| path).collect()
}

/// From what others have there to what the bundle puts in its place.
pub(super) fn differences(
    foreign: &BTreeMap<GuestPath, Sight>,
    bundle: &Bundle,
) -> BTreeMap<GuestPath, FileDifference> {
    if foreign.is_empty() {
        return BTreeMap::new();
    }
    let wanted = Standing::of(bundle);
    let compare = |(path, found): (&GuestPath, &Sight)| {
        (path.clone(), difference(path, found, &wanted.at(path)))
    };
    foreign.iter().map(compare).collect()
}

/// What a plan says of them.
pub(super) fn lines(
    foreign: &BTreeMap<GuestPath, Sight>,
    differences: &BTreeMap<GuestPath, FileDifference>,
) -> Vec<String> {
    let mut told = Vec::new();
    for (path, found) in foreign {
        let words = match found.content {
            Sighted::Directory => "is a folder, which no file can replace: move it away first",
            Sighted::Special => "is a device, socket or pipe: move it away first",
            _ => "takes the place of what is there, which is kept and comes back when it leaves",
        };
        told.push(format!("! {path} {words}"));
        if found.content == Sighted::Secret {
            told.push("  not everybody may read it, so its content is not shown".to_owned());
        }
        let mut lines: Vec<(Mark, String)> = Vec::new();
        if let Some(difference) = differences.get(path) {
            difference_lines(difference, ["there now", "from stackc"], &mut lines);
        }
        let more = lines.len().saturating_sub(LINES_MAX);
        told.extend(lines.into_iter().take(LINES_MAX).map(|(_, line)| format!("  {line}")));
        told.extend((more > 0).then(|| format!("  and {more} lines more")));
    }
    told
}
