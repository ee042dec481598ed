//! What no plan can be made for.

use crate::model::{Target, canonical::CanonicalError};

#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error("the bundle of {target} has no `{name}`")]
    NoDocument { target: Target, name: &'static str },
    #[error("cannot read `{name}` of the bundle of {target}")]
    Document {
        target: Target,
        name: &'static str,
        #[source]
        cause: CanonicalError,
    },
    #[error(
        "{target} cannot become what its definition says without being created anew: {reasons}; let the definition say what is there, or destroy guest {vmid} to have it made anew"
    )]
    Recreation { target: Target, vmid: crate::model::Vmid, reasons: String },
    #[error(
        "{target} differs in what this version of stackc does not change: {reasons}; change guest {vmid} in Proxmox, or take the change back"
    )]
    ByHand { target: Target, vmid: crate::model::Vmid, reasons: String },
    #[error(
        "{target} is a virtual machine: this version of stackc compiles, shows and compares it, and makes containers only"
    )]
    Machine { target: Target },
    #[error(
        "{target} would give the database role {roles} another password while the running app still logs in with the one that it has; put its secret back, name and value, as the live generation has it"
    )]
    Password { target: Target, roles: String },
}
