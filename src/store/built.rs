//! The record of a build, `out/built`: of which inputs it was and what it came to, so that nothing is compiled twice.
//! Its first line is the digest of the rest, a JSON document. Like all of `out` it may be deleted at any time.

use super::{Store, StoreError, io_error, set_mode};
use crate::model::{Digest, Target, canonical};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
};

const RECORD: &str = "built";
/// The running binary on Linux, even when another file has its name by now.
const THIS_BINARY: &str = "/proc/self/exe";

/// What a workspace compiled to, without the bundles' bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    pub guests: Vec<BuiltGuest>,
    pub warnings: BuiltWarnings,
}

/// One guest's bundle, as far as `build` speaks of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltGuest {
    pub target: Target,
    pub digest: Digest,
    pub payload: Digest,
    /// The guest's tags in Proxmox.
    pub tags: BTreeSet<String>,
}

/// What the author was told though everything compiled, in each form that it is told in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuiltWarnings {
    pub plain: String,
    pub coloured: String,
    pub told: Vec<serde_json::Value>,
    /// A guest lets in the worked examples' key.
    pub example_key: bool,
}

/// The record as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<T> {
    sources: Digest,
    /// Another binary may make something else of the same sources.
    binary: Digest,
    built: T,
}

/// The digest of every source that a build depends on.
pub fn digest_of_sources(files: &BTreeMap<String, Vec<u8>>) -> Digest {
    let mut hasher = Sha256::new();
    for (path, bytes) in files {
        // Lengths first, so that no two sets of files feed the same bytes.
        hasher.update((path.len() as u64).to_le_bytes());
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(path);
        hasher.update(bytes);
    }
    Digest::finish(hasher)
}

/// The digest of the binary that is running; none where the system does not tell which one that is.
fn this_binary() -> Option<Digest> {
    let mut file = BufReader::with_capacity(1 << 16, fs::File::open(THIS_BINARY).ok()?);
    let mut hasher = Sha256::new();
    loop {
        let bytes = file.fill_buf().ok()?;
        if bytes.is_empty() {
            return Some(Digest::finish(hasher));
        }
        hasher.update(bytes);
        let read = bytes.len();
        file.consume(read);
    }
}

/// What the last build recorded, when this binary made it of these sources. A record that cannot be read, or is not as it
/// was written, is none.
pub fn last_build(out: &Path, sources: Digest) -> Option<Built> {
    let text = fs::read_to_string(out.join(RECORD)).ok()?;
    let (digest, document) = text.split_once('\n')?;
    let is_whole = digest.parse() == Ok(Digest::of(document.as_bytes()));
    let record: Record<Built> = serde_json::from_str(document).ok().filter(|_| is_whole)?;
    // The binary is big, so it is read only when all else is right.
    let is_ours = record.sources == sources && this_binary() == Some(record.binary);
    is_ours.then_some(record.built)
}

impl Store {
    /// Whether a target's latest build is this bundle and the bundle is here, as `put` and `link` would find it.
    pub fn holds(&self, target: &Target, digest: &Digest) -> bool {
        self.latest(target).is_ok_and(|latest| latest == Some(*digest)) && self.has(digest)
    }

    /// Records a build, in one step: whoever reads meanwhile finds the record before it or this one. Nothing is recorded
    /// where nobody could tell which binary made it.
    pub fn record(&self, sources: Digest, built: &Built) -> Result<(), StoreError> {
        let Some(binary) = this_binary() else { return Ok(()) };
        let path = self.out.join(RECORD);
        let record = Record { sources, binary, built };
        let document = canonical::to_bytes(&record);
        let text = [format!("{}\n", Digest::of(&document)).as_bytes(), &document].concat();
        let mut staged = tempfile::Builder::new()
            .prefix(".built-")
            .tempfile_in(&self.out)
            .map_err(io_error("make a file in", &self.out))?;
        staged.write_all(&text).map_err(io_error("write", staged.path()))?;
        set_mode(staged.path(), 0o644)?;
        staged.persist(&path).map_err(|error| io_error("write", &path)(error.error))?;
        Ok(())
    }
}
