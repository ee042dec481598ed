//! `stackc schema`: the language of definitions, for editors.

use super::output;
use crate::compile::{self, SchemaOf};
use std::process::ExitCode;

/// Print the JSON Schema of a file of definitions, for editors
#[derive(Debug, clap::Args)]
pub struct SchemaArgs {
    /// Which file
    #[arg(value_enum)]
    file: File,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum File {
    /// stacks/site.toml
    Site,
    /// stacks/PROJECT.toml
    Project,
    /// templates/KIND/kind.toml
    Kind,
    /// stacks/lock.toml
    Lock,
}

pub fn run(args: &SchemaArgs) -> ExitCode {
    let schema = compile::schema(match args.file {
        File::Site => SchemaOf::Site,
        File::Project => SchemaOf::Project,
        File::Kind => SchemaOf::Kind,
        File::Lock => SchemaOf::Lock,
    });
    output::print(&format!("{schema:#}\n"));
    ExitCode::SUCCESS
}
