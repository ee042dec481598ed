//! `stackc lab workspace`: the worked examples as a workspace of a lab.

use super::output;
use crate::{
    compile::{self, Sources},
    lab::{
        self, LabError, Place,
        workspace::{self, WorkspaceError},
    },
    model::{Bundle, DatabasesDocument, SecretName, document},
    store::{self, Unreadable},
};
use camino::{Utf8Path, Utf8PathBuf};
use std::{collections::BTreeSet, process::ExitCode};

#[derive(Debug, clap::Args)]
pub struct WorkspaceArgs {
    /// A new folder
    dir: Utf8PathBuf,
}

#[derive(Debug, thiserror::Error)]
enum VerbError {
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    #[error(transparent)]
    Sources(#[from] Unreadable),
    #[error("the worked examples do not compile:\n{0}")]
    Definitions(String),
}

/// Makes it. Exit codes: 0 done, 3 refused or failed; nothing but the new folder is touched.
pub fn run(place: &Place, arguments: &WorkspaceArgs) -> ExitCode {
    match make(place, &arguments.dir) {
        Ok(guests) => {
            output::print(&format!("workspace `{}`: {guests} guests\n", arguments.dir));
            ExitCode::SUCCESS
        }
        Err(error) => output::fail(&error, output::Exit::Refused.code()),
    }
}

/// The number of its guests.
fn make(place: &Place, dir: &Utf8Path) -> Result<usize, VerbError> {
    let lab = lab::read(place)?;
    workspace::create(dir, &lab)?;
    let sources = Sources { files: store::read_sources(dir.as_std_path())? };
    let compiled = compile::compile(&sources)
        .map_err(|report| VerbError::Definitions(report.render(false)))?;
    let names: BTreeSet<SecretName> = compiled.guests.values().flat_map(secrets).collect();
    workspace::write_secrets(dir, &lab, &names)?;
    Ok(compiled.guests.len())
}

/// The secrets that a guest's files and databases need.
fn secrets(bundle: &Bundle) -> BTreeSet<SecretName> {
    let mut names = bundle.manifest.secrets();
    let databases = bundle.files.iter().find(|(path, _)| path.as_str() == document::DATABASES);
    let databases = databases.map(|(_, bytes)| serde_json::from_slice::<DatabasesDocument>(bytes));
    if let Some(Ok(databases)) = databases {
        names.extend(databases.passwords());
    }
    names
}
