//! What the page says of one guest.

use super::{Before, Reviewed};
use crate::{
    model::{Digest, ProxmoxDocument},
    plan::{
        Documents,
        difference::{
            self, Content, Difference, FileDifference, Mark, ValueChange, hunk_lines, visible,
        },
    },
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The most bytes of hunks on one page, so that a browser still opens it: what is beyond is left to `stackc diff`.
const HUNKS_MAX: usize = 8 << 20;
/// Shorter hunks are repeated where they stand again: a link would be no shorter to read.
const REPEATED_MAX: usize = 240;

/// A row of the fleet, and a section when something changes.
#[derive(Serialize)]
pub struct Guest {
    pub target: String,
    /// `new`, `changed` or `unchanged`.
    pub state: &'static str,
    pub summary: String,
    pub kind: &'static str,
    pub proxmox: ProxmoxDocument,
    pub address: String,
    pub digest: Digest,
    pub short: String,
    pub before: Option<String>,
    /// Shows what the page has no room for.
    pub command: String,
    pub is_lost: bool,
    pub secrets: Vec<String>,
    pub subjects: Vec<Subject>,
    pub units: Vec<Unit>,
    pub files: Vec<File>,
}

#[derive(Serialize)]
pub struct Subject {
    pub name: String,
    pub changes: Vec<Change>,
}

/// `+`, `-` or `~`, what, and its value or values.
#[derive(Serialize)]
pub struct Change {
    pub sign: char,
    pub key: String,
    pub from: Option<String>,
    pub to: Option<String>,
}

#[derive(Serialize)]
pub struct Unit {
    pub name: String,
    pub words: String,
}

#[derive(Serialize)]
pub struct File {
    pub anchor: String,
    pub sign: char,
    pub path: String,
    pub settings: Option<String>,
    /// The anchor and guest that have the same hunks.
    pub same_as: Option<(String, String)>,
    /// Hunks that the page has no room for.
    pub is_cut: bool,
    pub bytes: Option<String>,
    /// Lines that say the same, put together.
    pub runs: Vec<Run>,
    pub added: usize,
    pub removed: usize,
}

#[derive(Serialize)]
pub struct Run {
    pub mark: &'static str,
    pub text: String,
}

/// What the page has shown already.
#[derive(Default)]
pub struct Shown {
    hunks: BTreeMap<Digest, (String, String)>,
    bytes: usize,
    files: usize,
}

impl Guest {
    pub fn of(reviewed: &Reviewed<'_>, shown: &mut Shown) -> Self {
        let bundle = reviewed.bundle;
        let documents = Documents::of(bundle).expect("a bundle that was just compiled has them");
        let target = bundle.manifest.target.to_string();
        let mut guest = Self {
            state: "unchanged",
            summary: String::new(),
            address: documents.proxmox.ip.to_string(),
            kind: documents.proxmox.kind.name(),
            proxmox: documents.proxmox,
            digest: bundle.digest,
            short: bundle.digest.short(),
            before: None,
            command: format!("stackc show {}", bundle.digest.short()),
            is_lost: matches!(reviewed.before, Before::Lost(_)),
            secrets: difference::secrets(bundle).into_iter().map(String::from).collect(),
            subjects: Vec::new(),
            units: Vec::new(),
            files: Vec::new(),
            target,
        };
        if let Before::Other(difference) | Before::Lost(difference) = &reviewed.before {
            guest.add(difference, shown);
        }
        guest
    }

    fn add(&mut self, difference: &Difference, shown: &mut Shown) {
        self.before = difference.from.as_ref().map(|from| from.digest.short());
        if let Some(before) = &self.before {
            self.command = format!("stackc diff --from {before} --to {}", self.short);
        }
        self.state = if self.before.is_some() { "changed" } else { "new" };
        self.summary = difference::summary(difference);
        self.subjects = difference.subjects.iter().map(Subject::of).collect();
        let unit = |(name, change)| Unit {
            name: ToString::to_string(name),
            words: difference::unit_words(change),
        };
        self.units = difference.units.iter().map(unit).collect();
        self.files =
            difference.files.iter().map(|file| File::of(file, &self.target, shown)).collect();
    }
}

impl Subject {
    fn of(subject: &difference::Subject) -> Self {
        let changes = subject.changes.iter().map(Change::of).collect();
        Self { name: subject.name.clone(), changes }
    }
}

impl Change {
    fn of(change: &ValueChange) -> Self {
        let seen = |value: &Option<String>| value.as_deref().map(|text| visible(text).into_owned());
        Self {
            sign: change.change().sign(),
            key: visible(&change.key).into_owned(),
            from: seen(&change.from),
            to: seen(&change.to),
        }
    }
}

impl File {
    fn of(file: &FileDifference, target: &str, shown: &mut Shown) -> Self {
        shown.files += 1;
        let mut told = Self {
            anchor: format!("f{}", shown.files),
            sign: file.change.sign(),
            path: visible(file.path.strip_prefix("rootfs").unwrap_or(&file.path)).into_owned(),
            settings: difference::settings_words(file),
            same_as: None,
            is_cut: false,
            bytes: None,
            runs: Vec::new(),
            added: 0,
            removed: 0,
        };
        match &file.content {
            Content::Same => {}
            Content::Bytes { from, to } => told.bytes = Some(difference::bytes_words(*from, *to)),
            Content::Text { hunks } => told.add(hunks, target, shown),
        }
        told
    }

    fn add(&mut self, hunks: &str, target: &str, shown: &mut Shown) {
        let same = Digest::of(format!("{}\n{hunks}", self.path).as_bytes());
        self.same_as = shown.hunks.get(&same).cloned();
        self.is_cut = self.same_as.is_none() && shown.bytes + hunks.len() > HUNKS_MAX;
        let lines: Vec<_> = hunk_lines(hunks).collect();
        let count = |wanted| lines.iter().filter(|(mark, _)| *mark == wanted).count();
        (self.added, self.removed) = (count(Mark::Added), count(Mark::Removed));
        if self.same_as.is_some() || self.is_cut {
            return;
        }
        shown.bytes += hunks.len();
        if hunks.len() > REPEATED_MAX {
            shown.hunks.insert(same, (self.anchor.clone(), target.to_owned()));
        }
        for run in lines.chunk_by(|(one, _), (other, _)| one == other) {
            let text: Vec<&str> = run.iter().map(|(_, line)| &**line).collect();
            self.runs.push(Run { mark: word(run[0].0), text: text.join("\n") });
        }
    }
}

/// The element that a run is.
fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Added => "ins",
        Mark::Removed => "del",
        Mark::Place => "b",
        Mark::Heading | Mark::Changed | Mark::Around => "span",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::FileChange;

    fn file(hunks: &str, shown: &mut Shown) -> File {
        let content = Content::Text { hunks: hunks.to_owned() };
        let path = "rootfs/etc/x".to_owned();
        let file = FileDifference { path, change: FileChange::Changed, settings: vec![], content };
        File::of(&file, "shop/dev", shown)
    }

    #[test]
    fn long_hunks_that_stand_twice_are_shown_once_and_those_beyond_the_room_are_counted_only() {
        let mut shown = Shown::default();
        let long = format!("@@ -1 +1 @@\n-{}\n+b\n", "a".repeat(REPEATED_MAX));
        let (first, again) = (file(&long, &mut shown), file(&long, &mut shown));
        assert_eq!(first.runs.iter().map(|run| run.mark).collect::<Vec<_>>(), ["b", "del", "ins"]);
        assert_eq!(again.same_as, Some((first.anchor, "shop/dev".to_owned())));
        assert!(again.runs.is_empty() && !again.is_cut);
        shown.bytes = HUNKS_MAX;
        let beyond = file("@@ -1 +1 @@\n-a\n+b\n", &mut shown);
        assert!(beyond.is_cut && beyond.runs.is_empty());
        assert_eq!((beyond.added, beyond.removed), (1, 1));
    }
}
