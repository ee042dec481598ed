//! Secrets at rest: `stacks/secrets.local.toml`, until an encrypted vault takes its place.
#![expect(
    clippy::disallowed_methods,
    reason = "the vault reads its file and checks who may read it"
)]

mod error;
mod file;
mod render;

pub use error::VaultError;
pub use file::Secrets;
pub use render::render;
