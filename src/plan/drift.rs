//! What somebody's hand changed, three ways: what stackc placed, what is there now, and what the definitions would place.

use super::{
    FileChange,
    difference::{
        Content, FileDifference, Mark, ValueChange, between_texts, bytes_words, hunk_lines,
        settings_words, visible,
    },
    documents,
    placement::ledger,
};
use crate::model::{
    Bundle, Bytes, DriftReply, DriftedPath, Entry, EntryPath, Generation, GuestPath, Placed,
    RuntimeDrift, Sight, Sighted, document, layout,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The longest text whose lines are compared.
const TEXT_BYTES_MAX: u64 = 256 << 10;
/// What is told instead of the content of a file that holds secrets.
const UNTOLD: &str = "what is in it is not shown, since it holds secrets";

/// How a drop-in of others is kept, or goes.
const TAKE_OVER: &str = "to keep it declare it as a file; `stackc activate --overwrite-drift` takes it away, with a copy";
const NOT_OURS: &str =
    "a drop-in of others, not only for units of the bundle: no drift, and left alone";

/// The name of what is compared with.
const PLACED: &str = "placed by stackc";

/// The drift of one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub live: Option<Generation>,
    pub paths: Vec<Drifted>,
    pub runtime: RuntimeDrift,
}

/// A path that somebody changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Drifted {
    pub path: GuestPath,
    /// What is there instead, in a few words.
    pub what: String,
    /// From what stackc placed to what is there.
    pub by_hand: FileDifference,
    /// From what stackc placed to what the definitions would place; none when it is the same, or nothing is known of it.
    pub defined: Option<FileDifference>,
}

impl Drift {
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.runtime.by_hand().is_empty()
    }
}

/// Compares. `live` is the live generation's bundle, where the operator has it: in its files no secret value is hidden,
/// because none is in them. `wanted` is what the definitions compile to, if they do.
pub fn drift(reply: DriftReply, live: Option<&Bundle>, wanted: Option<&Bundle>) -> Drift {
    let digest = reply.live.as_ref().and_then(|generation| generation.digest);
    let wanted = wanted.filter(|wanted| Some(wanted.digest) != digest);
    let (before, after) = (live.map(Standing::of), wanted.map(Standing::of));
    let compare = |(path, drifted): (GuestPath, DriftedPath)| {
        let DriftedPath { mut what, placed, found } = drifted;
        if found.content == Sighted::Secret {
            what = format!("{what}; {UNTOLD}");
        }
        let was = before.as_ref().map_or_else(|| placed.clone(), |before| before.at(&path));
        // What was written through a link into the guest's store is lost there, and known here.
        let is_lost = matches!(placed.content, Sighted::Bytes { .. });
        let placed = if is_lost { was.clone() } else { placed };
        let after = after.as_ref().map(|after| after.at(&path)).filter(|after| *after != was);
        let defined = after.map(|after| difference(&path, &was, &after));
        Drifted { by_hand: difference(&path, &placed, &found), defined, path, what }
    };
    let paths = reply.paths.into_iter().map(compare).collect();
    Drift { live: reply.live, paths, runtime: reply.runtime }
}

/// A bundle as it stands on a guest.
pub(super) struct Standing<'b> {
    bundle: &'b Bundle,
    placed: BTreeMap<GuestPath, Placed>,
}

impl<'b> Standing<'b> {
    pub(super) fn of(bundle: &'b Bundle) -> Self {
        Self { bundle, placed: ledger(bundle).paths }
    }

    pub(super) fn at(&self, path: &GuestPath) -> Sight {
        let entry = self.bundle.manifest.entries.get(&EntryPath::of_overlay(path));
        match (self.placed.get(path), entry) {
            (None, _) => Sight::nothing(),
            (_, Some(Entry::Secret { access, .. })) => Sight::of_access(access, Sighted::Secret),
            (_, Some(Entry::File { access, .. })) | (Some(Placed::Copy { access, .. }), _) => {
                Sight::of_access(access, self.content(path))
            }
            (Some(Placed::Link { target }), _) => {
                Sight { access: None, content: Sighted::Link { target: target.clone() } }
            }
            (Some(Placed::Keys { keys }), _) => {
                Sight { access: None, content: Sighted::Keys { keys: keys.clone() } }
            }
            (Some(Placed::Directory { access }), _) => Sight::of_access(access, Sighted::Directory),
        }
    }

    fn content(&self, path: &GuestPath) -> Sighted {
        let name = match path.as_str() {
            layout::USER_RULES => document::USER_RULES.to_owned(),
            layout::USER6_RULES => document::USER6_RULES.to_owned(),
            _ => EntryPath::of_overlay(path).to_string(),
        };
        let bytes = documents::bytes(self.bundle, &name).unwrap_or_default();
        Sighted::of_bytes(bytes, TEXT_BYTES_MAX)
    }
}

pub(super) fn difference(path: &GuestPath, from: &Sight, to: &Sight) -> FileDifference {
    let there = |sight: &Sight| (sight.content != Sighted::Nothing).then_some(());
    FileDifference {
        path: path.to_string(),
        change: FileChange::between(there(from), there(to)),
        settings: settings(from, to),
        content: content(&from.content, &to.content),
    }
}

/// What of a sight is told by key, in the order of the keys.
fn keyed(sight: &Sight) -> BTreeMap<String, String> {
    let kind = match &sight.content {
        Sighted::Nothing => return BTreeMap::new(),
        Sighted::Text(_) | Sighted::Bytes { .. } | Sighted::Big { .. } | Sighted::Secret => "file",
        Sighted::Link { .. } => "link",
        Sighted::Keys { .. } => "file with keys",
        Sighted::Directory => "folder",
        Sighted::Special => "device, socket or pipe",
    };
    let mut keyed = BTreeMap::from([("type".to_owned(), kind.to_owned())]);
    keyed.extend(sight.access.iter().map(|access| ("access".to_owned(), access.clone())));
    match &sight.content {
        Sighted::Link { target } => drop(keyed.insert("target".to_owned(), target.clone())),
        Sighted::Keys { keys } => keyed.extend(keys.clone()),
        Sighted::Big { size } => drop(keyed.insert("size".to_owned(), format!("{size} bytes"))),
        _ => {}
    }
    keyed
}

fn settings(from: &Sight, to: &Sight) -> Vec<ValueChange> {
    let (before, after) = (keyed(from), keyed(to));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let change = |key: &String| ValueChange {
        key: key.clone(),
        from: before.get(key).cloned(),
        to: after.get(key).cloned(),
    };
    let both_there = from.content != Sighted::Nothing && to.content != Sighted::Nothing;
    let told = keys.into_iter().map(change).filter(|c| both_there && c.from != c.to);
    told.collect()
}

/// Where one side is no file that may be read, what sort of thing it is says enough.
fn content(from: &Sighted, to: &Sighted) -> Content {
    if let (Some(before), Some(after)) = (text(from), text(to)) {
        return between_texts(before, after);
    }
    match (bytes(from), bytes(to)) {
        (Some(from), Some(to)) if from != to => Content::Bytes { from: Some(from), to: Some(to) },
        _ => Content::Same,
    }
}

/// What can be compared by lines: nothing is an empty text.
fn text(sight: &Sighted) -> Option<&str> {
    match sight {
        Sighted::Text(text) => Some(text),
        Sighted::Nothing => Some(""),
        _ => None,
    }
}

fn bytes(sight: &Sighted) -> Option<Bytes> {
    match sight {
        Sighted::Text(text) => Some(Bytes::of(text.as_bytes())),
        Sighted::Bytes { size, sha256 } => Some(Bytes { size: *size, sha256: *sha256 }),
        _ => None,
    }
}

/// The drift of a guest line by line, below its heading.
pub fn lines(drift: &Drift) -> Vec<(Mark, String)> {
    let mut lines = Vec::new();
    for drifted in &drift.paths {
        let what = visible(&drifted.what);
        lines.push((Mark::Changed, format!("  {}: {what}", visible(drifted.path.as_str()))));
        if drift.runtime.drop_ins.contains_key(&drifted.path) {
            lines.push((Mark::Around, format!("    {TAKE_OVER}")));
        }
        // Where nothing is any more, every line of what was there would be told as gone.
        if drifted.by_hand.change != FileChange::Removed {
            difference_lines(&drifted.by_hand, [PLACED, "on the guest"], &mut lines);
        }
        if let Some(defined) = &drifted.defined {
            let gone = defined.change == FileChange::Removed;
            let words = if gone { "no longer have it" } else { "have something else there" };
            lines.push((Mark::Changed, format!("    the definitions {words}")));
            if !gone {
                difference_lines(defined, [PLACED, "in the definitions"], &mut lines);
            }
        }
    }
    // Drop-ins have been told with what is in them.
    let runtime = RuntimeDrift { drop_ins: BTreeMap::new(), ..drift.runtime.clone() };
    let by_hand = runtime.by_hand().into_iter();
    lines.extend(by_hand.map(|words| (Mark::Changed, format!("  {words}"))));
    let failed = drift.runtime.failed();
    lines.extend(failed.map(|unit| {
        (Mark::Around, format!("  {unit}: failed; no drift, but `stackc activate` starts it"))
    }));
    let others = drift.runtime.others.iter();
    lines.extend(
        others.map(|path| (Mark::Around, format!("  {}: {NOT_OURS}", visible(path.as_str())))),
    );
    lines
}

/// The lines of one difference, whose sides have these names.
pub(super) fn difference_lines(
    file: &FileDifference,
    [from, to]: [&str; 2],
    lines: &mut Vec<(Mark, String)>,
) {
    if let Some(words) = settings_words(file) {
        lines.push((Mark::Changed, format!("    {words}")));
    }
    match &file.content {
        Content::Same => {}
        Content::Bytes { from, to } => {
            lines.push((Mark::Changed, format!("    {}", bytes_words(*from, *to))));
        }
        Content::Text { hunks } => {
            lines.push((Mark::Place, format!("--- {from}")));
            lines.push((Mark::Place, format!("+++ {to}")));
            lines.extend(hunk_lines(hunks).map(|(mark, line)| (mark, line.into_owned())));
        }
    }
}
