//! `detach`: stackc leaves a guest that is as it was found, and then its mark leaves Proxmox: as long as the guest is found,
//! the same again finishes.

use super::{
    ActivateError, Back, Failed, Seams, Stage, Way, find,
    look::{claim, reached},
    provision::reread,
    time, way_back,
};
use crate::model::{
    Container, GenerationId, Setting,
    protocol::{Caller, DetachRequest},
};
use std::collections::BTreeSet;

/// What a guest that was detached keeps of the app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detached {
    /// Where that is which releases shared.
    pub shared: Option<String>,
}

/// The way to the guest as it was found; none where no generation is live, also after a `detach` that was cut off.
///
/// # Errors
/// Before anything has changed.
pub fn way_off(seams: &mut Seams<'_>, back: &Back<'_>) -> Result<Option<Way>, Failed> {
    let mut found = find(seams, back.target, back.vmid)?;
    reached(back.target, &mut found).map_err(Failed::refused)?;
    if found.guest.is_some_and(|guest| guest.live.is_none() && guest.pending.is_none()) {
        return Ok(None);
    }
    let back = Back { to: Some(GenerationId::FOUND), who: back.who.clone(), ..*back };
    way_back(seams, &back).map(Some)
}

/// Takes stackc off a guest on which nothing of it is live, and the mark, the host key's line and these tags off its
/// configuration in Proxmox.
///
/// # Errors
/// The same call again continues; the mark goes last.
pub fn detach(
    seams: &mut Seams<'_>,
    back: &Back<'_>,
    tags: &BTreeSet<String>,
) -> Result<Detached, Failed> {
    let mut found = find(seams, back.target, back.vmid)?;
    let over = claim(back.target, &back.who, found.guest.as_ref()).map_err(Failed::refused)?;
    let (identity, connection) = reached(back.target, &mut found).map_err(Failed::refused)?;
    let (tx, who) = (time::new_tx(), back.who.clone());
    let why = time::since_now(&format!("detach of {}", back.target));
    let request = DetachRequest { caller: Caller { identity, tx, who, why, over } };
    let after = |error: ActivateError| Failed { stage: Stage::BeforeSwitch, error };
    (seams.progress)("detach", "stackc leaves the guest");
    let reply = connection.detach(&request).map_err(|error| after(error.into()))?;
    (seams.progress)("unmark", "its mark leaves Proxmox");
    if let Some(container) = &found.container {
        unmark(seams, container, tags).map_err(after)?;
    }
    Ok(Detached { shared: reply.shared })
}

fn unmark(
    seams: &mut Seams<'_>,
    container: &Container,
    tags: &BTreeSet<String>,
) -> Result<(), ActivateError> {
    let bare = Container { mark: None, host_key: None, ..container.clone() };
    let others: BTreeSet<String> = container.tags.difference(tags).cloned().collect();
    let or_unset = |empty: bool, key, setting| if empty { Setting::Unset(key) } else { setting };
    let notes = Setting::Description(container.notes.clone());
    let mut settings = vec![or_unset(container.notes.is_empty(), "description", notes)];
    if others != container.tags {
        settings.push(or_unset(others.is_empty(), "tags", Setting::Tags(others)));
    }
    match seams.proxmox.set(&bare, &settings) {
        // Whether it was done or not: the guest itself says.
        Err(error) if error.outcome_unknown() || error.is_interrupted() => {
            let marked = reread(seams, container)?.mark.is_some();
            if marked { Err(error.into()) } else { Ok(()) }
        }
        done => Ok(done?),
    }
}
