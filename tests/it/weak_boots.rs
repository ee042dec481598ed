//! A recovery that dies in each boot: after three of them the guest is held for a person.

use crate::fake::{Disk, WeakFs};
use crate::weak_guest::WeakGuest;
use crate::weak_story::TX;
use stackc::guest::{Answer, GuestFs as _};
use stackc::model::protocol::RefusalCode;

/// A guest with an open transaction loses its power late in its recovery, at any moment of the next one, and late in those
/// that follow. What was cut before it changed anything does not count, so that the fifth boot at the latest tries nothing.
///
/// # Errors
/// When it tries, and where the second boot ended; and when a recovery is refused that is not held.
pub fn is_held(open: &WeakGuest) -> Result<(), String> {
    let none = || "it is held in the first boots".to_owned();
    let once = late(open)?.ok_or_else(none)?;
    for (number, disk) in cuts(&once)?.ok_or_else(none)?.iter().enumerate() {
        for disk in [disk.cut_hard(), disk.cut_kept()].into_iter().filter(is_open) {
            let mut guest = Some(once.booted(disk));
            for _ in 0..3 {
                guest = guest.map_or(Ok(None), |guest| late(&guest))?;
            }
            if guest.is_some() {
                return Err(format!("five boots recover, the second cut after {}", number + 1));
            }
        }
    }
    Ok(())
}

/// The disk after each effect of a recovery; none when the guest is held.
fn cuts(guest: &WeakGuest) -> Result<Option<Vec<Disk>>, String> {
    let mut guest = guest.fork();
    match guest.call(&["recover"], &[]) {
        Answer::Reply(_) => Ok(Some(guest.fs.take_cuts())),
        Answer::Refused(why) if why.code == RefusalCode::Inconsistent => Ok(None),
        other => Err(format!("recovery is refused: {other:?}")),
    }
}

/// The next boot, of a guest that loses its power in this one's recovery as late as the transaction is open then; none when
/// it is held.
fn late(guest: &WeakGuest) -> Result<Option<WeakGuest>, String> {
    let Some(cuts) = cuts(guest)? else { return Ok(None) };
    let cut = cuts.iter().rev().map(Disk::cut_hard).find(is_open);
    let cut = cut.ok_or("the transaction is over when recovery begins")?;
    Ok(Some(guest.booted(cut)))
}

fn is_open(disk: &Disk) -> bool {
    let mut fs = WeakFs::new(disk.clone());
    fs.stat(&format!("/var/lib/stackc/tx/{TX}")).is_ok_and(|stat| stat.is_some())
}
