//! The workspace that a verb works on, and which of its guests are meant.

use super::{
    output::{self, Format},
    secret_line::secret_line,
};
use crate::{
    compile::{self, Compiled, Sources},
    model::{
        Bundle, GuestAccess, ProxmoxDocument, SecretValue, Site, Target, document, pattern::fits,
    },
    plan::difference,
    store::{self, BuiltWarnings, Change, SourceError, Store, StoreError, Unreadable},
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Where the definitions are.
#[derive(Debug, Clone, clap::Args)]
pub struct Workspace {
    /// The folder with `stacks/`, `templates/` and `keys/`
    #[arg(short = 'C', long = "workspace", value_name = "DIR", default_value = ".", global = true)]
    pub path: PathBuf,
    /// Ask once for what `access.user` tells sudo on guests; without a terminal it is the first line of stdin
    #[arg(long, global = true)]
    pub ask_sudo_password: bool,
}

/// The worked examples' key, whose private half was thrown away.
const EXAMPLE_KEY: &str = include_str!("../../keys/ops.pub");

const EXAMPLE_KEY_ADMITTED: &str = "warning: `keys/ops.pub` is the worked examples' key, whose private half nobody has\n  \
    help: put your own public key there before you activate, or no guest lets you in\n";

/// A folder of a workspace for what can be made again.
const OUT: &str = "out";

impl Workspace {
    /// Reads every source; a failure is printed.
    pub fn sources(&self, format: Format) -> Result<Sources, ExitCode> {
        let files = store::read_sources(&self.path);
        Ok(Sources { files: files.map_err(|error| self.unreadable(&error, format))? })
    }

    /// Compiles everything; mistakes are printed, and a warning when nobody could log in.
    pub fn compile(&self, format: Format) -> Result<Compiled, ExitCode> {
        let compiled = compile(&self.sources(format)?, format)?;
        if admits_example(&compiled) {
            output::tell(EXAMPLE_KEY_ADMITTED);
        }
        Ok(compiled)
    }

    /// The password for sudo on guests, when it was said that there is one.
    pub fn sudo_password(&self, access: &GuestAccess) -> Result<Option<SecretValue>, ExitCode> {
        if !self.ask_sudo_password {
            return Ok(None);
        }
        let password = secret_line(&format!("password of `{}` for sudo: ", access.user));
        password.map(Some).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => output::fail(&error, output::Exit::Interrupted.code()),
            _ => output::fail(&error, output::Exit::Refused.code()),
        })
    }

    /// How the site is reached, whatever else is wrong in the workspace; mistakes in it are printed.
    pub fn site(&self, format: Format) -> Result<Site, ExitCode> {
        let files = store::read_site(&self.path);
        let files = files.map_err(|error| self.unreadable(&error, format))?;
        compile::site(&Sources { files }).map_err(|report| mistakes(&report, format))
    }

    /// What of a workspace cannot be read, each thing with its file; there are no lines.
    fn unreadable(&self, unreadable: &Unreadable, format: Format) -> ExitCode {
        let Unreadable(faults) = unreadable;
        if format == Format::Json {
            let faults: Vec<_> = faults.iter().map(|fault| self.fault(fault)).collect();
            output::print_json(&json!({ "mistakes": faults }));
        }
        for fault in faults {
            output::fail(fault, output::Exit::Mistake.code());
        }
        ExitCode::from(output::Exit::Mistake.code())
    }

    fn fault(&self, fault: &SourceError) -> serde_json::Value {
        let below = fault.path().strip_prefix(&self.path).ok().map(Path::to_string_lossy);
        json!({
            // None where the workspace itself is not there.
            "file": below.filter(|path| !path.is_empty()),
            "line": null, "column": null, "end_line": null, "end_column": null,
            "code": "unreadable-workspace", "related": [],
            "message": fault.to_string(), "help": null, "guests": [],
        })
    }

    /// Where everything is that can be made again.
    pub fn out(&self) -> PathBuf {
        self.path.join(OUT)
    }

    /// The bundles of this workspace.
    pub fn store(&self) -> Result<Store, ExitCode> {
        let opened = Store::open(&self.out());
        opened.map_err(|error| output::fail(&error, output::Exit::Refused.code()))
    }

    /// Copies of remote repositories.
    pub fn repository_cache(&self) -> PathBuf {
        self.out().join("cache").join("git")
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Keeps a bundle in `out/` with a text for its reviewers. New means: not what the last build of this guest made.
pub fn keep(store: &Store, bundle: &Bundle) -> Result<Change, StoreError> {
    store.put(bundle, || compile::text::readme(bundle, &difference::contents(bundle)))?;
    store.link(&bundle.manifest.target, &bundle.digest)
}

/// Compiles sources; mistakes are printed.
pub(super) fn compile(sources: &Sources, format: Format) -> Result<Compiled, ExitCode> {
    compile::compile(sources).map_err(|report| mistakes(&report, format))
}

/// Prints the mistakes of a workspace: for people, and for programs where a document is awaited.
pub fn mistakes(report: &compile::Report, format: Format) -> ExitCode {
    output::tell(&report.render(output::stderr_has_colour()));
    if format == Format::Json {
        output::print_json(&json!({ "mistakes": report.told() }));
    }
    ExitCode::from(output::Exit::Mistake.code())
}

/// Prints what the author should know though everything compiles; beside a document, only that nobody could log in.
pub fn warnings(warnings: &BuiltWarnings, format: Format) {
    if warnings.example_key {
        output::tell(EXAMPLE_KEY_ADMITTED);
    }
    match format {
        Format::Text if output::stderr_has_colour() => output::tell(&warnings.coloured),
        Format::Text => output::tell(&warnings.plain),
        Format::Json => {}
    }
}

/// The guests that words mean; all of them when there is no word. A word that means none is refused.
pub fn select(
    words: &[String],
    guests: &BTreeMap<Target, BTreeSet<String>>,
) -> Result<BTreeSet<Target>, ExitCode> {
    if words.is_empty() {
        return Ok(guests.keys().cloned().collect());
    }
    let mut chosen = BTreeSet::new();
    for word in words {
        let means = |(target, tags): &(&Target, &BTreeSet<String>)| means(word, target, tags);
        let found: Vec<_> = guests.iter().filter(means).map(|(target, _)| target.clone()).collect();
        if found.is_empty() {
            output::tell(&format!("error: no guest is meant by `{word}`\n{}", known(guests)));
            return Err(ExitCode::from(output::Exit::Usage.code()));
        }
        chosen.extend(found);
    }
    Ok(chosen)
}

/// The one guest that a word means.
pub fn select_one(
    word: &str,
    guests: &BTreeMap<Target, BTreeSet<String>>,
) -> Result<Target, ExitCode> {
    let mut found = select(&[word.to_owned()], guests)?;
    if let (Some(target), true) = (found.pop_first(), found.is_empty()) {
        return Ok(target);
    }
    output::tell(&format!("error: `{word}` means more than one guest; name project/env\n"));
    Err(ExitCode::from(output::Exit::Usage.code()))
}

fn known(guests: &BTreeMap<Target, BTreeSet<String>>) -> String {
    let names: Vec<_> = guests.keys().map(Target::to_string).collect();
    format!(
        "  help: write project/env, a project, a pattern such as '*/dev', or @tag; there are: {}\n",
        names.join(", ")
    )
}

/// `project/env`, `project`, a pattern with `*` and `?`, or `@tag`.
fn means(word: &str, target: &Target, tags: &BTreeSet<String>) -> bool {
    if let Some(tag) = word.strip_prefix('@') {
        return tags.contains(tag);
    }
    if word.contains('/') {
        return fits(word, &target.to_string());
    }
    fits(word, target.project.as_str())
}

/// Every guest with its tags in Proxmox.
pub fn tags(guests: &BTreeMap<Target, Bundle>) -> BTreeMap<Target, BTreeSet<String>> {
    guests.iter().map(|(target, bundle)| (target.clone(), tags_of(bundle))).collect()
}

/// A guest's tags in Proxmox.
pub(super) fn tags_of(bundle: &Bundle) -> BTreeSet<String> {
    proxmox(bundle).map(|guest| guest.tags).unwrap_or_default()
}

/// Whether a guest lets in the worked examples' key.
pub(super) fn admits_example(compiled: &Compiled) -> bool {
    let is_example = |key: &String| key.trim() == EXAMPLE_KEY.trim();
    let mut guests = compiled.guests.values().filter_map(proxmox);
    guests.any(|guest| guest.ssh_public_keys.iter().any(is_example))
}

fn proxmox(bundle: &Bundle) -> Option<ProxmoxDocument> {
    let path = document::PROXMOX.parse().expect("documents have plain names");
    serde_json::from_slice(bundle.files.get(&path)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_guests_by_name_project_pattern_or_tag() {
        let target = Target {
            project: "shop".parse().expect("a name"),
            env: "dev".parse().expect("a name"),
        };
        let tags = BTreeSet::from(["web".to_owned()]);
        for word in ["shop/dev", "shop", "*/dev", "sh*/d?v", "@web", "*"] {
            assert!(means(word, &target, &tags), "{word}");
        }
        for word in ["shop/qa", "sho", "*/qa", "@db", "dev", "shop/devx"] {
            assert!(!means(word, &target, &tags), "{word}");
        }
    }
}
