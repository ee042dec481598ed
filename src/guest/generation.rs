//! Generations on disk, and the one pointer that makes one of them live.

use super::error::GuestError;
use super::fs::{GuestFs, mkdir_all, remove_tree};
use super::packages::services;
use super::{kept, store};
use crate::model::layout::{CURRENT, STATE};
use crate::model::{
    Digest, Generation, GenerationId, Ledger, Outcome, ReleaseId, SecretsVersion, Switch,
};

const GENERATIONS: &str = "/var/lib/stackc/generations";

pub fn path(number: GenerationId) -> String {
    format!("{GENERATIONS}/{number}")
}

pub fn release_path(release: ReleaseId) -> String {
    format!("{STATE}/releases/{release}")
}

pub fn secrets_path(version: SecretsVersion) -> String {
    format!("{STATE}/secrets/{version}")
}

/// What `current` points to; none before the first switch.
pub fn live(fs: &mut dyn GuestFs) -> Result<Option<GenerationId>, GuestError> {
    if fs.stat(CURRENT)?.is_none() {
        return Ok(None);
    }
    let target = fs.read_link(CURRENT)?;
    let number = target.strip_prefix("generations/").and_then(|n| n.parse().ok());
    let wrong = || GuestError::Inconsistent(format!("`{CURRENT}` points to `{target}`"));
    number.map(|n| Some(GenerationId(n))).ok_or_else(wrong)
}

/// The number of the live generation; 0 before the first switch.
pub fn live_number(fs: &mut dyn GuestFs) -> Result<GenerationId, GuestError> {
    Ok(live(fs)?.unwrap_or(GenerationId::FOUND))
}

pub fn read(fs: &mut dyn GuestFs, number: GenerationId) -> Result<Generation, GuestError> {
    kept::read(fs, &format!("{}/generation.json", path(number)))
}

/// The bundle of a generation; none of the guest as it was found.
pub fn digest(fs: &mut dyn GuestFs, number: GenerationId) -> Result<Option<Digest>, GuestError> {
    if number == GenerationId::FOUND {
        return Ok(None);
    }
    Ok(read(fs, number)?.digest)
}

/// Re-hashes the tree of a generation; none when it is whole, or when there is none.
pub fn tree_fault(
    fs: &mut dyn GuestFs,
    number: GenerationId,
) -> Result<Option<String>, GuestError> {
    let Some(digest) = digest(fs, number)? else { return Ok(None) };
    Ok(store::verify(fs, &digest).err().map(|error| error.refusal("").message))
}

/// What a generation owns on the guest; nothing before the first one.
pub fn ledger(fs: &mut dyn GuestFs, number: GenerationId) -> Result<Ledger, GuestError> {
    if number == GenerationId::FOUND {
        return Ok(Ledger::default());
    }
    kept::read(fs, &format!("{}/ledger.json", path(number)))
}

/// Every generation's number, undone ones included, ascending.
pub fn numbers(fs: &mut dyn GuestFs) -> Result<Vec<GenerationId>, GuestError> {
    let names = fs.list(GENERATIONS)?;
    let mut numbers: Vec<_> =
        names.iter().filter_map(|name| name.parse().ok().map(GenerationId)).collect();
    numbers.sort();
    Ok(numbers)
}

/// The highest number ever given.
pub fn last_number(fs: &mut dyn GuestFs) -> Result<GenerationId, GuestError> {
    Ok(numbers(fs)?.last().copied().unwrap_or(GenerationId::FOUND))
}

/// Writes the folder of the generation that a switch makes, whole, under its number.
pub fn write(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let generation = &switch.generation;
    let folder = path(generation.number);
    if fs.stat(&folder)?.is_some() {
        return same(fs, generation);
    }
    mkdir_all(fs, GENERATIONS, 0o755)?;
    let staged = format!("{GENERATIONS}/.tmp-{}-{}", generation.number, switch.tx);
    remove_tree(fs, &staged)?;
    fs.mkdir(&staged, 0o755)?;
    let mut links = Vec::new();
    if let Some(digest) = generation.digest {
        links.push(("secrets", format!("../../secrets/{}", generation.secrets)));
        links.push(("tree", format!("../../store/{digest}")));
    }
    links.extend(generation.release.map(|id| ("release", format!("../../releases/{id}"))));
    for (name, target) in links {
        fs.symlink(&target, &format!("{staged}/{name}"))?;
    }
    kept::write(fs, &format!("{staged}/generation.json"), generation, 0o644)?;
    kept::write(fs, &format!("{staged}/ledger.json"), &switch.ledger, 0o644)?;
    let needed = services::needed(fs, generation.digest, &switch.ledger)?;
    services::name_needed(fs, &staged, &needed)?;
    fs.sync_dir(&staged)?;
    fs.rename(&staged, &folder)?;
    Ok(fs.sync_dir(GENERATIONS)?)
}

/// A folder of this number is the same call's work, or the number is taken.
fn same(fs: &mut dyn GuestFs, generation: &Generation) -> Result<(), GuestError> {
    if read(fs, generation.number)? == *generation {
        return Ok(());
    }
    Err(GuestError::Unfit(format!("generation {} is there already", generation.number)))
}

/// Generation 0: the guest as it was found, so that the first switch has something to go back to.
pub fn write_found(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    if fs.stat(&path(GenerationId::FOUND))?.is_some() {
        return Ok(());
    }
    let found = Generation::found(switch.generation.by.clone(), switch.generation.at.clone());
    let staged = format!("{GENERATIONS}/.tmp-0-{}", switch.tx);
    mkdir_all(fs, GENERATIONS, 0o755)?;
    remove_tree(fs, &staged)?;
    fs.mkdir(&staged, 0o755)?;
    kept::write(fs, &format!("{staged}/generation.json"), &found, 0o644)?;
    kept::write(fs, &format!("{staged}/ledger.json"), &Ledger::default(), 0o644)?;
    fs.sync_dir(&staged)?;
    fs.rename(&staged, &path(GenerationId::FOUND))?;
    Ok(fs.sync_dir(GENERATIONS)?)
}

/// Records how the transaction that made a generation ended. A generation that was never written has nothing to record. What
/// says so already is written again: whoever wrote it may have been killed before it was durable.
pub fn set_outcome(
    fs: &mut dyn GuestFs,
    number: GenerationId,
    outcome: Outcome,
) -> Result<(), GuestError> {
    let file = format!("{}/generation.json", path(number));
    if fs.stat(&file)?.is_none() {
        return Ok(());
    }
    let generation = Generation { outcome, ..read(fs, number)? };
    Ok(kept::put(fs, &file, &generation, 0o644)?)
}
