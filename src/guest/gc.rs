//! `gc`: removes what no kept generation needs.

use super::Guest;
use super::error::GuestError;
use super::fs::{GuestFs, remove_tree};
use super::{generation, journal, sweep};
use crate::model::layout::STATE;
use crate::model::protocol::{GcReply, GcRequest};
use crate::model::{Generation, GenerationId, Outcome};
use std::collections::BTreeSet;

/// Keeps the live generation, where a rollback from it would go, pending ones, and the last confirmed ones. Records of
/// older generations stay; their trees, releases and secrets leave, and the copies of what their activations overwrote.
pub fn gc(guest: &mut Guest, request: &GcRequest) -> Result<GcReply, GuestError> {
    sweep::sweep(guest)?;
    let needed = needed(guest.fs, request.keep)?;
    let mut removed = Vec::new();
    for folder in ["store", "releases", "secrets", "drift"] {
        for name in guest.fs.list(&format!("{STATE}/{folder}"))? {
            let id = name.split('.').next().unwrap_or(&name);
            if needed.contains(&format!("{folder}/{id}")) {
                continue;
            }
            // Renamed away first: a half-removed folder never has a whole one's name.
            let path = format!("{STATE}/{folder}/{name}");
            let gone = format!("{STATE}/{folder}/.tmp-gone-{name}");
            guest.fs.rename(&path, &gone)?;
            guest.fs.sync_dir(&format!("{STATE}/{folder}"))?;
            remove_tree(guest.fs, &gone)?;
            removed.push(format!("{folder}/{name}"));
        }
    }
    Ok(GcReply { removed })
}

fn needed(fs: &mut dyn GuestFs, keep: u32) -> Result<BTreeSet<String>, GuestError> {
    let mut generations: Vec<Generation> = Vec::new();
    for number in generation::numbers(fs)? {
        generations.push(generation::read(fs, number)?);
    }
    let mut kept: BTreeSet<GenerationId> = BTreeSet::new();
    if let Some(live) = generation::live(fs)? {
        kept.insert(live);
        kept.extend(generations.iter().find(|g| g.number == live).and_then(|g| g.parent));
    }
    let mut needed = BTreeSet::new();
    for tx in journal::pending(fs)? {
        let switch = journal::switch(fs, &tx)?;
        needed.insert(format!("drift/{tx}"));
        kept.extend([switch.from, switch.generation.number]);
    }
    let confirmed = generations.iter().rev().filter(|g| g.outcome == Outcome::Confirmed);
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    kept.extend(confirmed.take(keep).map(|generation| generation.number));
    let made = journal::records(fs)?.into_iter().filter(|record| kept.contains(&record.to));
    needed.extend(made.map(|record| format!("drift/{}", record.state.tx)));
    for generation in generations.iter().filter(|g| kept.contains(&g.number)) {
        needed.insert(format!("secrets/{}", generation.secrets));
        needed.extend(generation.digest.map(|digest| format!("store/{digest}")));
        needed.extend(generation.release.map(|release| format!("releases/{release}")));
    }
    Ok(needed)
}
