//! The guest's files with one effect left out: how the testers are tested.

use super::WeakFs;
use stackc::guest::{FsError, Guard, GuestFs, Ids, Stat, Sync};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;

/// An effect of the guest's code, by the call of the binary that it is in, the path that it touches, and how often the call
/// has had the same effect there by then.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    pub verb: String,
    pub effect: &'static str,
    /// Digests and transactions stand as words, so that every run has the same sites.
    pub path: String,
    /// 1 for the first time in a call; to leave out, `EACH` for all of them.
    pub time: usize,
}

/// Each time that a call has the effect.
pub const EACH: usize = 0;

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.verb, self.effect, self.path)?;
        match self.time {
            EACH => write!(f, " (each time)"),
            1 => Ok(()),
            time => write!(f, " #{time}"),
        }
    }
}

/// Leaves out the effect at one site, and takes down every site that a call comes by.
pub struct Skipping<'f> {
    inner: WeakFs,
    verb: &'f str,
    skip: Option<&'f Site>,
    times: BTreeMap<(&'static str, String), usize>,
    pub seen: BTreeSet<Site>,
    /// How many effects the files had had when it was left out.
    pub left_out: Option<usize>,
}

impl<'f> Skipping<'f> {
    pub fn new(inner: WeakFs, verb: &'f str, skip: Option<&'f Site>) -> Self {
        let (times, seen) = (BTreeMap::new(), BTreeSet::new());
        Self { inner, verb, skip, times, seen, left_out: None }
    }

    fn skips(&mut self, effect: &'static str, path: &str) -> bool {
        let path = without_numbers(path);
        let times = self.times.entry((effect, path.clone())).or_default();
        *times += 1;
        let site = Site { verb: self.verb.to_owned(), effect, path, time: *times };
        let is_left_out =
            |skip: &Site| *skip == site || *skip == Site { time: EACH, ..site.clone() };
        let skips = self.skip.is_some_and(is_left_out);
        if skips {
            self.left_out.get_or_insert(self.inner.effects());
        }
        self.seen.insert(site);
        skips
    }
}

/// The path with words for what is another one in each run: digests and transactions.
fn without_numbers(path: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    let word = |part: &str| match part.len() {
        64 if is_hex(part) => "DIGEST".to_owned(),
        16 if is_hex(part) => "TX".to_owned(),
        _ => part.to_owned(),
    };
    let parts = path.split_inclusive(['/', '.', '-']).map(|part| {
        let end = part.len() - usize::from(part.ends_with(['/', '.', '-']));
        word(&part[..end]) + &part[end..]
    });
    parts.collect()
}

impl GuestFs for Skipping<'_> {
    fn stat(&mut self, path: &str) -> Result<Option<Stat>, FsError> {
        self.inner.stat(path)
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, FsError> {
        self.inner.read(path)
    }

    fn read_link(&mut self, path: &str) -> Result<String, FsError> {
        self.inner.read_link(path)
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FsError> {
        self.inner.list(path)
    }

    fn list_text(&mut self, path: &str) -> Result<(Vec<String>, bool), FsError> {
        self.inner.list_text(path)
    }

    fn remove_unnamed(&mut self, path: &str) -> Result<(), FsError> {
        self.inner.remove_unnamed(path)
    }

    /// Two effects in one: the bytes, and that they are durable.
    fn write(
        &mut self,
        path: &str,
        bytes: &mut dyn Read,
        mode: u32,
        sync: Sync,
    ) -> Result<(), FsError> {
        let is_skipped = self.skips("write", path);
        let is_later = sync == Sync::Now && self.skips("fsync", path);
        if is_skipped {
            return Ok(());
        }
        self.inner.write(path, bytes, mode, if is_later { Sync::Later } else { sync })
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), FsError> {
        if self.skips("symlink", path) { Ok(()) } else { self.inner.symlink(target, path) }
    }

    fn link(&mut self, from: &str, to: &str) -> Result<bool, FsError> {
        if self.skips("link", to) { Ok(true) } else { self.inner.link(from, to) }
    }

    /// Left out as a whole, or done in two steps: what is there leaves first.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        if self.skips("rename", to) {
            return Ok(());
        }
        if self.inner.stat(to)?.is_some() && self.skips("one step of the rename", to) {
            self.inner.remove(to)?;
        }
        self.inner.rename(from, to)
    }

    fn exchange(&mut self, left: &str, right: &str) -> Result<(), FsError> {
        if self.skips("exchange", right) { Ok(()) } else { self.inner.exchange(left, right) }
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        if self.skips("remove", path) { Ok(()) } else { self.inner.remove(path) }
    }

    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), FsError> {
        if self.skips("mkdir", path) { Ok(()) } else { self.inner.mkdir(path, mode) }
    }

    fn set_access(&mut self, path: &str, access: Ids) -> Result<(), FsError> {
        if self.skips("set access", path) { Ok(()) } else { self.inner.set_access(path, access) }
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FsError> {
        if self.skips("sync_dir", path) { Ok(()) } else { self.inner.sync_dir(path) }
    }

    fn sync_all(&mut self, path: &str) -> Result<(), FsError> {
        if self.skips("sync_all", path) { Ok(()) } else { self.inner.sync_all(path) }
    }

    fn free_bytes(&mut self, path: &str) -> Result<u64, FsError> {
        self.inner.free_bytes(path)
    }

    fn lock(&mut self, path: &str) -> Result<Option<Guard>, FsError> {
        self.inner.lock(path)
    }
}
