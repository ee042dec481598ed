//! Stand-ins for the seams, which fail when told to.

mod faulty_guest;
mod memory;
pub mod operator;
pub mod pve;
mod skipping;
mod weak_disk;
mod weak_fs;

pub use faulty_guest::{Fault, Faulty};
pub use memory::{HOOK, Memory, SSHD};
pub use skipping::{EACH, Site, Skipping};
pub use weak_disk::{Disk, Fate};
pub use weak_fs::WeakFs;
