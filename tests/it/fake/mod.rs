//! Stand-ins for the seams, which fail when told to.

mod faulty_guest;
pub mod operator;
pub mod pve;

pub use faulty_guest::{Fault, Faulty};
