//! What the verbs that look at guests share: the workspace, the targets, a client, one line per event.

use super::{
    output,
    workspace::{self, Workspace},
};
use crate::{
    activate::{Failed, Fetch, Job, Seams, who},
    compile::{self, Compiled},
    model::{Bundle, ReleaseDocument, Target},
    proxmox::{ProxmoxClient, address_answers},
    remote::{Connection, Door, SshConnection},
    store::{
        Store, StoreError,
        git::{self, Pin},
    },
    vault::{Secrets, VaultError},
};
use std::{
    error::Error,
    io::IsTerminal,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};
use tokio::runtime::Runtime;

/// Where secrets are, until the vault takes their place.
const SECRETS: &str = "stacks/secrets.local.toml";
/// Guests at once, unless `--jobs` says otherwise: Proxmox has three workers for each of its daemons.
pub const JOBS: usize = 4;

/// Which guests a verb is about.
#[derive(Debug, Clone, clap::Args)]
pub struct Targets {
    /// `project/env`, `project`, or a glob of either such as `*/dev`
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

/// A compiled workspace and everything to reach its guests with.
pub struct Fleet {
    pub compiled: Compiled,
    pub store: Store,
    workspace: Workspace,
    client: ProxmoxClient,
    runtime: Runtime,
    secrets: Mutex<Option<Secrets>>,
}

impl Fleet {
    /// Compiles a workspace and sets up the client of its site.
    ///
    /// # Errors
    /// With the exit code, after the errors have been printed.
    pub fn open(workspace: &Workspace) -> Result<Self, ExitCode> {
        let compiled = workspace.compile()?;
        let store = workspace.store()?;
        let runtime = Runtime::new().map_err(|error| refuse(&error))?;
        let secrets = Secrets::load(&workspace.path().join(SECRETS)).map_err(|e| refuse(&e))?;
        let token = secrets.value(&compiled.site.token).map_err(|error| refuse(&error))?;
        let client = ProxmoxClient::new(&compiled.site, token, runtime.handle().clone());
        let client = client.map_err(|error| refuse(&error))?;
        let (workspace, secrets) = (workspace.clone(), Mutex::new(Some(secrets)));
        Ok(Self { compiled, store, workspace, client, runtime, secrets })
    }

    /// The secrets, read again when they were taken before.
    pub fn secrets(&self) -> Result<Secrets, VaultError> {
        let kept = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.map_or_else(|| Secrets::load(&self.workspace.path().join(SECRETS)), Ok)
    }

    /// The targets that the words name; all without words.
    pub fn select(&self, words: &[String]) -> Result<Vec<Target>, ExitCode> {
        let chosen = workspace::select(words, &workspace::tags(&self.compiled.guests))?;
        Ok(chosen.into_iter().collect())
    }

    /// The activation of each target, to be looked at.
    pub fn jobs(&self, targets: &[Target]) -> Result<Vec<Job<'_>>, ExitCode> {
        let secrets = || self.secrets();
        let jobs = targets
            .iter()
            .map(|target| Job::activate(&self.compiled.guests[target], &secrets, who()));
        jobs.collect::<Result<_, _>>().map_err(|error| refuse(&error))
    }

    /// Works on one guest through the real Proxmox and SSH. `progress` is told each step.
    pub fn with_seams<T>(
        &self,
        progress: &(dyn Fn(&str, &str) + Sync),
        work: impl FnOnce(&mut Seams<'_>) -> T,
    ) -> T {
        let mut client = self.client.clone();
        let open = |door: Door| -> Box<dyn Connection> {
            let handle = self.runtime.handle().clone();
            Box::new(SshConnection::new(door, handle, Box::new(|_, _| {})))
        };
        let fetch: Fetch<'_> = &|document| self.fetch(document);
        let mut seams = Seams {
            proxmox: &mut client,
            open: &open,
            fetch,
            access: self.compiled.site.access.clone(),
            workspace: self.workspace.path().to_owned(),
            progress: &|step, text| progress(step, text),
            answers: &address_answers,
        };
        work(&mut seams)
    }

    /// Keeps a bundle in `out`, as `stackc build` does.
    pub fn put(&self, bundle: &Bundle) -> Result<(), StoreError> {
        self.store.put(bundle, || compile::text::readme(bundle))?;
        self.store.link(&bundle.manifest.target, &bundle.digest).map(drop)
    }

    fn fetch(&self, release: &ReleaseDocument) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let mut archive = Vec::new();
        let (path, cache) = (self.workspace.path(), self.workspace.repository_cache());
        let pin = Pin { commit: release.commit.clone(), tree: release.tree.clone() };
        git::archive(path, &cache, &release.repo, &pin, &release.subfolder, &mut archive)?;
        Ok(archive)
    }
}

/// Runs the work of every item, this many at once, and returns the results in the items' order.
pub fn parallel<T: Send, R: Send>(
    items: Vec<T>,
    jobs: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let count = items.len();
    let queue = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(count));
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((at, item)) = next else { return };
                    let result = work(item);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Prints an error that came before anything changed, and returns its exit code.
pub fn refuse(error: &dyn Error) -> ExitCode {
    output::fail(error, output::REFUSED)
}

/// Prints a failed activation: what, evidence, state, and the command to go on with. Returns its exit code.
pub fn show_failure(target: &Target, failed: &Failed) -> u8 {
    anstream::eprintln!("error: {target}: {}", failed.error);
    causes(&failed.error);
    for line in failed.error.evidence() {
        anstream::eprintln!("    │ {line}");
    }
    anstream::eprintln!("  state: {}", failed.state());
    if let Some(next) = failed.error.next() {
        anstream::eprintln!("  next:  {next}");
    }
    failed.exit_code()
}

fn causes(error: &dyn Error) {
    let mut cause = error.source();
    while let Some(inner) = cause {
        anstream::eprintln!("  because: {inner}");
        cause = inner.source();
    }
}

/// Columns as wide as their widest cell.
pub fn table<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..N).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// Whether somebody sits there who can be asked.
pub fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for a yes; anything else is a no.
pub fn ask(question: &str) -> bool {
    anstream::eprint!("{question} [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "yes" | "Y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parallel_work_keeps_the_order_of_its_items() {
        let squares = parallel((0..50_u64).collect(), 4, |n| n * n);
        assert_eq!(squares, (0..50).map(|n| n * n).collect::<Vec<_>>());
    }
}
