//! What a workspace compiles to: as the last build recorded it, or compiled now.

use super::{
    output::Format,
    workspace::{self, Workspace},
};
use crate::{
    compile::{Compiled, Report, Sources},
    model::{Bundle, Digest, Target},
    store::{self, Built, BuiltGuest, BuiltWarnings},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

/// What a workspace compiles to.
pub struct Look {
    pub built: Built,
    /// Of what this is the outcome.
    pub sources: Digest,
    pub found: Found,
}

/// How it was found.
pub enum Found {
    /// The last build was of the same sources; what it made may be lost since.
    Recorded(Sources),
    Compiled(Box<Compiled>),
}

/// Looks at a workspace; mistakes are printed, warnings are not.
pub fn look(workspace: &Workspace, format: Format) -> Result<Look, ExitCode> {
    let files = workspace.sources(format)?;
    let sources = store::digest_of_sources(&files.files);
    if let Some(built) = store::last_build(&workspace.out(), sources) {
        return Ok(Look { built, sources, found: Found::Recorded(files) });
    }
    let compiled = workspace::compile(&files, format)?;
    Ok(Look { built: built(&compiled), sources, found: Found::Compiled(Box::new(compiled)) })
}

impl Found {
    /// The bundles; what was not compiled yet is compiled now, and a mistake in it printed.
    pub fn compiled(self, format: Format) -> Result<Box<Compiled>, ExitCode> {
        match self {
            Self::Recorded(sources) => workspace::compile(&sources, format).map(Box::new),
            Self::Compiled(compiled) => Ok(compiled),
        }
    }
}

impl Look {
    /// Every guest with its tags in Proxmox.
    pub fn tags(&self) -> BTreeMap<Target, BTreeSet<String>> {
        let guests = self.built.guests.iter();
        guests.map(|guest| (guest.target.clone(), guest.tags.clone())).collect()
    }
}

fn built(compiled: &Compiled) -> Built {
    let report = compiled.warnings.as_ref();
    let render = |colour| report.map(|report| report.render(colour)).unwrap_or_default();
    let told = report.map_or_else(Vec::new, Report::told);
    let told = told.iter().map(|told| serde_json::to_value(told).expect("it is plain text"));
    let warnings = BuiltWarnings {
        plain: render(false),
        coloured: render(true),
        told: told.collect(),
        example_key: workspace::admits_example(compiled),
    };
    let guests = compiled.guests.iter().map(|(target, bundle)| guest(target, bundle));
    Built { guests: guests.collect(), warnings }
}

fn guest(target: &Target, bundle: &Bundle) -> BuiltGuest {
    BuiltGuest {
        target: target.clone(),
        digest: bundle.digest,
        payload: bundle.manifest.payload,
        tags: workspace::tags_of(bundle),
    }
}
