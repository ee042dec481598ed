//! What the verbs that look at guests share: the workspace, the targets, a client, one line per event.

use super::{
    interrupts::Interrupts,
    output::{self, usage},
    progress::{Board, Progress},
    workspace::Workspace,
};
use crate::{
    activate::{Fetch, Seams},
    model::{Bundle, GenerationId, GuestAccess, ReleaseDocument, SecretValue, Site, Target, Vmid},
    proxmox::{Proxmox as _, ProxmoxClient, ProxmoxError, address_answers},
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
    sync::{Arc, Mutex, PoisonError},
};
use tokio::runtime::Runtime;

/// Where secrets are, until the vault takes their place.
const SECRETS: &str = "stacks/secrets.local.toml";
/// Guests at once, unless `--jobs` says otherwise: Proxmox has three workers for each of its daemons.
pub const JOBS: usize = 4;

/// Which guests a verb is about.
#[derive(Debug, Clone, clap::Args)]
pub struct Targets {
    /// project/env, a project, a pattern such as '*/dev', or @tag
    #[arg(value_name = "TARGET")]
    pub targets: Vec<String>,
}

impl Targets {
    /// Refuses a verb that was told neither guests nor `--all`, or both.
    pub fn require(&self, all: bool, to: &str) -> Result<(), ExitCode> {
        match (self.targets.is_empty(), all) {
            (true, false) => Err(usage(&format!("name the guests to {to}, or say --all"))),
            (false, true) => {
                Err(usage("--all means every guest: name some, or say --all, not both"))
            }
            _ => Ok(()),
        }
    }
}

/// A generation's number, as a word of the command line.
pub fn generation(word: &str) -> Result<GenerationId, String> {
    let wrong = "it is no generation; `stackc history` has their numbers, and 0 is the guest as it was found";
    word.parse().map(GenerationId).map_err(|_| wrong.to_owned())
}

/// Everything to reach the guests of a workspace with. What they are to be is not of it: a guest is reached also when
/// nothing compiles.
pub struct Fleet {
    pub store: Store,
    workspace: Workspace,
    access: GuestAccess,
    sudo_password: Option<SecretValue>,
    client: ProxmoxClient,
    runtime: Runtime,
    board: Board,
    interrupts: Arc<Interrupts>,
    secrets: Mutex<Option<Secrets>>,
}

impl Fleet {
    /// Sets up the client of a site.
    ///
    /// # Errors
    /// With the exit code, after the errors have been printed.
    pub fn open(workspace: &Workspace, site: &Site) -> Result<Self, ExitCode> {
        let store = workspace.store()?;
        let runtime = Runtime::new().map_err(|error| refuse(&error))?;
        let secrets = Secrets::load(&workspace.path().join(SECRETS)).map_err(|e| refuse(&e))?;
        let token = secrets.value(&site.token).map_err(|error| refuse(&error))?;
        let client = ProxmoxClient::new(site, token, runtime.handle().clone());
        let client = client.map_err(|error| refuse(&error))?;
        let (workspace, access) = (workspace.clone(), site.access.clone());
        let (board, secrets) = (Board::on_stderr(), Mutex::new(Some(secrets)));
        let sudo_password = workspace.sudo_password(&access)?;
        let interrupts = Interrupts::watch(&runtime, &board.whole()).map_err(|e| refuse(&e))?;
        Ok(Self {
            store,
            workspace,
            access,
            sudo_password,
            client: client.until(interrupts.stop()),
            runtime,
            board,
            interrupts,
            secrets,
        })
    }

    /// The secrets, read again when they were taken before.
    pub fn secrets(&self) -> Result<Secrets, VaultError> {
        let kept = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.map_or_else(|| Secrets::load(&self.workspace.path().join(SECRETS)), Ok)
    }

    /// Every guest in Proxmox that has a mark.
    pub fn marks(&self) -> Result<Vec<(Target, Vmid)>, ProxmoxError> {
        let guests = self.client.clone().neighbours()?.into_iter();
        Ok(guests.filter_map(|guest| Some((guest.mark?.target, guest.vmid))).collect())
    }

    /// From now on guests are being changed, so that an interrupt has an end to bring about and to tell.
    pub fn change(&self) {
        self.interrupts.change();
    }

    /// Nothing is being changed any more, or not yet: somebody is asked whether it may be.
    pub fn rest(&self) {
        self.interrupts.rest();
    }

    /// The exit code of a verb that ends with this one. What was interrupted and came to its good end all the same is done;
    /// a guest that is not whole is told in any case.
    pub fn ended(&self, code: u8) -> ExitCode {
        ExitCode::from(if self.interrupts.came() { cut_short(code) } else { code })
    }

    /// Where a guest shows what it is at.
    pub fn progress(&self, target: &Target) -> Progress {
        self.board.progress(target)
    }

    /// Works on one guest through the real Proxmox and SSH. `progress` is told each step, and what the guest says of it.
    pub fn with_seams<T>(&self, progress: &Progress, work: impl FnOnce(&mut Seams<'_>) -> T) -> T {
        let mut client = self.client.clone();
        let open = |door: Door| -> Box<dyn Connection> {
            let handle = self.runtime.handle().clone();
            let told = progress.clone();
            let connection =
                SshConnection::new(door, handle, Box::new(move |news| told.news(news)));
            Box::new(connection.until(self.interrupts.stop()))
        };
        let fetch: Fetch<'_> = &|document| self.fetch(document);
        let mut seams = Seams {
            proxmox: &mut client,
            open: &open,
            fetch,
            access: self.access.clone(),
            sudo_password: self.sudo_password.clone(),
            workspace: self.workspace.path().to_owned(),
            progress: &|step, text| progress.step(step, text),
            stopped: &|| self.interrupts.came(),
            answers: &address_answers,
        };
        let done = work(&mut seams);
        progress.rest();
        done
    }

    /// Keeps a bundle in `out`, as `stackc build` does.
    pub fn put(&self, bundle: &Bundle) -> Result<(), StoreError> {
        super::workspace::keep(&self.store, bundle).map(drop)
    }

    fn fetch(&self, release: &ReleaseDocument) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
        let mut archive = Vec::new();
        let (path, cache) = (self.workspace.path(), self.workspace.repository_cache());
        let pin = Pin { commit: release.commit.clone(), tree: release.tree.clone() };
        git::archive(path, &cache, &release.repo, &pin, &release.subfolder, &mut archive)?;
        Ok(archive)
    }
}

/// The exit code of what was interrupted, and would else have ended with this one.
fn cut_short(code: u8) -> u8 {
    let stands = [0, output::Exit::NotWhole.code()].contains(&code);
    if stands { code } else { output::Exit::Interrupted.code() }
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
    output::fail(error, output::Exit::Refused.code())
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
    output::tell(&format!("{question} [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok() && is_yes(&answer)
}

fn is_yes(answer: &str) -> bool {
    ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yes_is_one_however_it_is_written_and_nothing_else_is() {
        for answer in ["y\n", "Y", " yes \n", "Yes", "YES\n"] {
            assert!(is_yes(answer), "{answer}");
        }
        for answer in ["", "\n", "n", "no", "ye", "yesno", "y y"] {
            assert!(!is_yes(answer), "{answer}");
        }
    }

    #[test]
    fn an_interrupt_hides_no_guest_that_is_not_whole() {
        assert_eq!([0, 3, 4, 5, 6].map(cut_short), [0, 130, 130, 130, 6]);
    }

    #[test]
    fn parallel_work_keeps_the_order_of_its_items() {
        let squares = parallel((0..50_u64).collect(), 4, |n| n * n);
        assert_eq!(squares, (0..50).map(|n| n * n).collect::<Vec<_>>());
    }
}
