//! What would happen: a pure function from what is wanted and what is there to ordered steps, each with its cause.

mod changes;
pub mod difference;
mod documents;
mod drift;
mod error;
pub mod firewall;
mod foreign;
mod found;
mod hooks;
mod leaves;
mod live;
mod packages;
mod passwords;
mod placement;
mod recreation;
mod release;
mod settings;
mod steps;
mod switch;
mod text;
mod unit_file;
mod units;

pub use changes::{FileChange, changes};
pub use documents::Documents;
pub use drift::{Drift, Drifted, drift, lines as drift_lines};
pub use error::PlanError;
pub use foreign::taken_paths;
pub use live::Live;
pub use placement::{ledger, placement};
pub use recreation::container_of;
pub use settings::{SettingChange, When, setting_changes, setting_name};
pub use steps::{Effect, Plan, PlannedStep, Step, Wanted, plan, secrets_differ};
pub use switch::{NewGeneration, parent, switch};
pub use text::{pending_text, text};
pub use units::{UnitChange, UnitDecision, watched_units};
