//! Signs of life. A run that changes a guest keeps a file of its transaction's name locked, and the kernel lets go of that
//! however the run ends: so the next run on this machine knows that a lease's holder is dead, and need not wait until the
//! lease is over.

use crate::model::TxId;
use crate::remote::own_folder;
use std::{
    fs::{self, File},
    io,
    path::PathBuf,
};

/// Held for as long as a run is at work.
#[derive(Debug)]
pub(super) struct Alive {
    path: PathBuf,
    _locked: File,
}

impl Alive {
    /// To be given before the guest hears of the run.
    pub(super) fn sign(tx: &TxId) -> io::Result<Self> {
        let path = path(tx)?;
        let locked = File::create(&path)?;
        locked.lock()?;
        Ok(Self { path, _locked: locked })
    }

    /// Nothing of the run is left on its guest, so nobody will ask. A file that stays is empty, and goes with the next boot.
    pub(super) fn forget(self) {
        drop(fs::remove_file(self.path));
    }
}

/// Whether a run was one of this machine's, and is over.
pub(super) fn is_dead(tx: &TxId) -> bool {
    path(tx).and_then(File::open).is_ok_and(|file| file.try_lock().is_ok())
}

fn path(tx: &TxId) -> io::Result<PathBuf> {
    Ok(own_folder()?.join(format!("run-{tx}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activate::time::new_tx;

    #[test]
    fn a_run_is_dead_when_it_was_here_and_is_no_longer() {
        let tx = new_tx();
        assert!(!is_dead(&tx), "it may live on another machine");
        let alive = Alive::sign(&tx).expect("it is signed");
        assert!(!is_dead(&tx), "it is at work");
        drop(alive);
        assert!(is_dead(&tx));
        Alive::sign(&tx).expect("it is signed").forget();
        assert!(!is_dead(&tx), "there is nothing to know");
    }
}
