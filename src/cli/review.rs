//! `stackc build --review`: one page for people who would rather look than read.

mod guest;
mod page;
mod ports;

use super::output;
use crate::{
    model::{Bundle, Target},
    plan::difference::{Difference, difference},
    store::{self, Store, StoreError},
};
use rayon::prelude::*;
use std::{path::Path, process::ExitCode};

/// What is said of a guest whose env the definitions lost.
pub const GONE_GUEST: &str = "gone from the definitions; the guest itself is left alone, and `stackc rollback` still reaches it";

/// A guest's bundle beside what was built for it before.
struct Reviewed<'a> {
    bundle: &'a Bundle,
    before: Before,
}

enum Before {
    Same,
    /// Something differs; where there was no bundle, everything does.
    Other(Difference),
    /// `out/` names a bundle of which it has not every byte any more.
    Lost(Difference),
}

/// Writes the page for these bundles, each compared with what `out/` has as its guest's last build, and for the targets that
/// are gone from the definitions.
pub fn write(
    file: &Path,
    store: &Store,
    bundles: &[&Bundle],
    gone: &[Target],
) -> Result<(), ExitCode> {
    let refused = |error: StoreError| output::fail(&error, output::Exit::Refused.code());
    let reviewed = bundles.par_iter().map(|bundle| reviewed(store, bundle)).collect();
    let reviewed: Vec<Reviewed<'_>> = Result::map_err(reviewed, refused)?;
    let page = page::html(&reviewed, gone);
    store::write_whole(file, page.as_bytes()).map_err(refused)
}

fn reviewed<'a>(store: &Store, bundle: &'a Bundle) -> Result<Reviewed<'a>, StoreError> {
    let before = match store.latest(&bundle.manifest.target)? {
        Some(digest) if digest == bundle.digest => Before::Same,
        Some(digest) => match store.get(&digest) {
            Ok(old) => Before::Other(difference(Some(&old), bundle)),
            Err(error) if error.is_lost() => Before::Lost(difference(None, bundle)),
            Err(error) => return Err(error),
        },
        None => Before::Other(difference(None, bundle)),
    };
    Ok(Reviewed { bundle, before })
}
