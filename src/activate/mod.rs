//! Runs plans: over Proxmox and over the connection to a guest, until the guest is what its bundle says or is whole on
//! what it was before.
#![expect(
    clippy::disallowed_methods,
    reason = "activation draws names, waits, reads the clock, and leaves signs of life"
)]

mod alive;
mod compare;
mod confirm;
mod detach;
mod error;
mod exit;
mod job;
mod keep;
mod look;
mod provision;
mod release;
mod rollback;
mod run;
mod time;
mod waits;

pub use compare::{Compared, compare};
pub use detach::{Detached, detach, way_off};
pub use error::{ActivateError, Failed, Stage};
pub use exit::Exit;
pub use job::{Job, SecretsOfJob, secret_names, who};
pub use keep::{Keeper, gc, pin};
pub use look::{Fetch, Found, Seams, drift, fetch_bundle, find, history, look};
pub use provision::preflight;
pub use release::release_id;
pub use rollback::{Back, Way, way_back};
pub use run::{Activated, activate, settle, start};
