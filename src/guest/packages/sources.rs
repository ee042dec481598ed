//! Where packages come from: files of apt that are stackc's.

use crate::guest::error::GuestError;
use crate::guest::fs::{GuestFs, mkdir_all, replace};
use crate::guest::{generation, store};
use crate::model::{AptDocument, GenerationId, document};
use std::collections::BTreeMap;

/// Where a bundle's sources and pins stand, with the beginning and the end of the names of their files.
const SOURCES: [&str; 3] = ["/etc/apt/sources.list.d", "stackc-", ".sources"];
const PINS: [&str; 3] = ["/etc/apt/preferences.d", "stackc-", ""];

/// Puts back what apt reads for a generation: an undone switch leaves no source or pin of the other one.
pub fn restore(fs: &mut dyn GuestFs, generation: GenerationId) -> Result<(), GuestError> {
    let digest = match generation {
        GenerationId::FOUND => None,
        number => generation::read(fs, number)?.digest,
    };
    let apt: Option<AptDocument> = match digest {
        Some(digest) => store::document(fs, &digest, document::APT)?,
        None => None,
    };
    set(fs, &apt.unwrap_or_default())
}

/// Makes exactly these the sources and pins of stackc; whoever dies in between does it again. Others' files stay.
pub fn set(fs: &mut dyn GuestFs, apt: &AptDocument) -> Result<(), GuestError> {
    set_files(fs, SOURCES, &apt.sources)?;
    set_files(fs, PINS, &apt.pins)
}

fn set_files(
    fs: &mut dyn GuestFs,
    [folder, start, end]: [&str; 3],
    texts: &BTreeMap<String, String>,
) -> Result<(), GuestError> {
    for (name, text) in texts {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
            return Err(GuestError::Unfit(format!("`{name}` is no name for a file of apt")));
        }
        let path = format!("{folder}/{start}{name}{end}");
        let there = fs.stat(&path)?.is_some() && fs.read(&path)? == text.as_bytes();
        if !there {
            mkdir_all(fs, folder, 0o755)?;
            replace(fs, &path, text.as_bytes(), 0o644)?;
        }
    }
    let found = fs.list(folder)?;
    let name_of = |file: &str| file.strip_prefix(start)?.strip_suffix(end).map(str::to_owned);
    let is_left = |file: &&String| name_of(file).is_some_and(|name| !texts.contains_key(&name));
    let left: Vec<&String> = found.iter().filter(is_left).collect();
    for file in &left {
        fs.remove(&format!("{folder}/{file}"))?;
    }
    if !left.is_empty() {
        fs.sync_dir(folder)?;
    }
    Ok(())
}
