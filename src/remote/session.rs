//! One login: a master connection of its own, and a host key that was pinned before.

use super::RemoteError;
use crate::model::{GuestAccess, HostKey, SecretValue};
use openssh::{ControlPersist, KnownHosts, Session, SessionBuilder};
use std::{
    fs, io,
    net::IpAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::io::AsyncWriteExt;

const ROOT: &str = "root";

/// A guest on the same network accepts within milliseconds; ssh counts in whole seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// With the three unanswered probes that ssh allows, a dead connection is noticed after 15 s.
const ALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// A master that lost its stackc (kill -9) leaves by itself.
const MASTER_IDLE_SECONDS: usize = 60;

/// Where a guest is, who it is, and how to get in. It has no `Debug`: it may hold a password.
#[derive(Clone)]
pub struct Door {
    pub address: IpAddr,
    pub uuid: String,
    pub host_key: HostKey,
    pub access: GuestAccess,
    /// What `access.user` tells sudo where that asks.
    pub sudo_password: Option<SecretValue>,
    /// The workspace that `access.identity` is relative to.
    pub workspace: PathBuf,
}

/// Who may come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum As {
    /// `access.user`, or root as long as the guest does not have that user: the key of its creation lets root in.
    Whoever,
    /// `access.user` alone: a switch that shuts it out is not to be confirmed by another way in.
    Operator,
}

/// How a login becomes root.
enum Root {
    Itself,
    /// By sudo, which is told this when it asks.
    Sudo(Option<SecretValue>),
}

/// An open login. Closing it takes its files along.
pub(super) struct Login {
    pub(super) session: Arc<Session>,
    user: String,
    root: Root,
    _files: tempfile::TempDir,
}

impl Login {
    /// Connects anew within `limit`: TCP, key exchange, authentication. An ssh that is given up ends by its own limits,
    /// and finds no folder for its socket should it get in after all.
    pub(super) async fn open(door: &Door, who: As, limit: Duration) -> Result<Self, RemoteError> {
        tokio::time::timeout(limit, Self::enter(door, who)).await.unwrap_or_else(|_| {
            let log = format!("no answer within {} s", limit.as_secs());
            Err(RemoteError::Connect {
                address: door.address,
                user: door.access.user.to_string(),
                log,
            })
        })
    }

    async fn enter(door: &Door, who: As) -> Result<Self, RemoteError> {
        let user = door.access.user.as_str();
        let mut login = match Self::connect(door, user).await {
            Err(error) if who == As::Whoever && user != ROOT && error.is_denied() => {
                Self::connect(door, ROOT).await.map_err(|_| error)?
            }
            connected => connected?,
        };
        if let (Root::Sudo(password), Some(known)) = (&mut login.root, &door.sudo_password) {
            // Where sudo does not ask, a password would be taken for the beginning of what follows it.
            if !sudo(&login.session, "sudo -n true", "").await {
                let line = format!("{}\n", known.expose());
                if !sudo(&login.session, "sudo -k -S -p '' true", &line).await {
                    return Err(RemoteError::SudoPassword {
                        address: door.address,
                        user: login.user,
                    });
                }
                *password = Some(known.clone());
            }
        }
        Ok(login)
    }

    /// A shell command as root: directly, or through sudo.
    pub(super) fn as_root(&self, script: &str) -> String {
        let quoted = script.replace('\'', r"'\''");
        match &self.root {
            Root::Itself => format!("/bin/sh -c '{quoted}'"),
            // Its complaints are told apart by their words.
            Root::Sudo(None) => format!("env LC_ALL=C sudo -n /bin/sh -c '{quoted}'"),
            Root::Sudo(Some(_)) => {
                format!("env LC_ALL=C sudo -k -S -p '' /bin/sh -c '{quoted}'")
            }
        }
    }

    /// What such a command wants to read first: sudo takes one line, and leaves the rest to what it runs.
    pub(super) fn password_line(&self) -> String {
        match &self.root {
            Root::Sudo(Some(password)) => format!("{}\n", password.expose()),
            _ => String::new(),
        }
    }

    pub(super) fn sudo_asks(&self, address: IpAddr) -> RemoteError {
        RemoteError::SudoAsks { address, user: self.user.clone() }
    }

    async fn connect(door: &Door, user: &str) -> Result<Self, RemoteError> {
        let prepare = |cause| RemoteError::Prepare { address: door.address, cause };
        let files = files(door).map_err(prepare)?;
        let config = files.path().join("config");
        let mut builder = SessionBuilder::default();
        builder
            .user(user.to_owned())
            .known_hosts_check(KnownHosts::Strict)
            .config_file(&config)
            .control_directory(files.path())
            .control_persist(ControlPersist::IdleFor(
                std::num::NonZeroUsize::new(MASTER_IDLE_SECONDS).expect("it is not zero"),
            ))
            .connect_timeout(CONNECT_TIMEOUT)
            .server_alive_interval(ALIVE_INTERVAL);
        let session = builder.connect_mux(door.address.to_string()).await;
        let session = session.map_err(|error| not_connected(door, &error))?;
        let root = if user == ROOT { Root::Itself } else { Root::Sudo(None) };
        Ok(Self { session: Arc::new(session), user: user.to_owned(), root, _files: files })
    }
}

/// Whether a command of sudo's does well with this on its standard input.
async fn sudo(session: &Arc<Session>, command: &str, input: &str) -> bool {
    let mut command = session.raw_command(command);
    command.stdin(openssh::Stdio::piped());
    command.stdout(openssh::Stdio::null()).stderr(openssh::Stdio::null());
    let Ok(mut child) = command.spawn().await else { return false };
    let mut stdin = child.stdin().take().expect("it is piped");
    // One that does not ask does not read; its exit code tells.
    let _unread = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait().await.is_ok_and(|status| status.success())
}

fn not_connected(door: &Door, error: &openssh::Error) -> RemoteError {
    require_ssh().err().unwrap_or_else(|| refused(door, chain(error)))
}

/// What ssh's own words mean, which it has in no other language. What stands in a jump host's way is not in this log.
fn refused(door: &Door, log: String) -> RemoteError {
    let (address, user) = (door.address, door.access.user.to_string());
    if log.contains("Host key verification failed") {
        RemoteError::HostKey { address, pinned: door.host_key.clone() }
    } else if log.contains("Permission denied (")
        // An agent with more keys than sshd's MaxAuthTries: the right one may never have been shown.
        || log.contains("Too many authentication failures")
    {
        RemoteError::Denied { address, user, log }
    } else {
        RemoteError::Connect { address, user, log }
    }
}

/// Starts the ssh program, which then ends at once.
///
/// # Errors
/// When it is not there, which no second try mends.
pub fn require_ssh() -> Result<(), RemoteError> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-V").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match ssh.status() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(RemoteError::NoSsh),
        _ => Ok(()),
    }
}

/// The folder for ssh's files: short, because a socket's path has at most 108 bytes.
fn files(door: &Door) -> io::Result<tempfile::TempDir> {
    let files = tempfile::Builder::new().prefix("c").tempdir_in(own_folder()?)?;
    fs::write(files.path().join("config"), config(door))?;
    Ok(files)
}

/// A folder of this user's alone, which the next boot empties.
pub fn own_folder() -> io::Result<PathBuf> {
    let base = base_folder();
    match fs::DirBuilder::new().mode(0o700).create(&base) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&base)?;
    let mine = std::os::unix::fs::MetadataExt::uid(&found) == rustix::process::geteuid().as_raw();
    if !mine || !found.is_dir() {
        let text = format!("`{}` is not your own folder; remove it", base.display());
        return Err(io::Error::other(text));
    }
    Ok(base)
}

fn base_folder() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    runtime.filter(|folder| folder.as_os_str().len() < 40 && folder.is_dir()).map_or_else(
        || PathBuf::from(format!("/tmp/stackc-{}", rustix::process::geteuid().as_raw())),
        |folder| folder.join("stackc"),
    )
}

/// The ssh configuration of one guest: ours first, because the first value wins, then the user's own, jump hosts included.
///
/// The host key is compared by its fingerprint inside ssh (`KnownHostsCommand`, OpenSSH 8.5): it prints a known-hosts
/// line for the key that the server shows only when that key is the pinned one.
fn config(door: &Door) -> String {
    let pin = format!(
        r#"/bin/sh -c 'case "$1" in "$2") echo "$3 $4 $5";; esac' pin %f {} %H %t %K"#,
        door.host_key.as_str()
    );
    let mut text = format!(
        "Host {}\n  KnownHostsCommand {pin}\n  UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile /dev/null\n  \
         HostKeyAlias stackc-{}\n  HostKeyAlgorithms ssh-ed25519\n  StrictHostKeyChecking yes\n  \
         UpdateHostKeys no\n  CheckHostIP no\n  BatchMode yes\n  ForwardAgent no\n  ForwardX11 no\n  \
         ClearAllForwardings yes\n  PermitLocalCommand no\n  RequestTTY no\n  ServerAliveCountMax 3\n",
        door.address, door.uuid
    );
    if let Some(identity) = &door.access.identity {
        let path = door.workspace.join(identity);
        let file = quote(&path);
        text = format!("{text}  IdentityFile {file}\n  IdentitiesOnly yes\n");
    }
    text.push_str("Match all\n  Include ~/.ssh/config\n");
    text
}

fn quote(path: &Path) -> String {
    // `%` introduces a token in IdentityFile (ssh_config(5)).
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

/// An error with its causes: ssh's own words stand in the innermost.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn door() -> Door {
        let host_key = format!("SHA256:{}", "k".repeat(43)).parse().expect("a fingerprint");
        let user = "ops".parse().expect("a user");
        Door {
            address: Ipv4Addr::LOCALHOST.into(),
            uuid: "0".repeat(32),
            host_key,
            access: GuestAccess { user, identity: None, management: Vec::new() },
            sudo_password: None,
            workspace: PathBuf::new(),
        }
    }

    /// OpenSSH 9.2's words for an agent with seven keys, of which none of the first six fits.
    #[test]
    fn an_agent_with_too_many_keys_is_told_at_once_and_not_tried_again_as_a_lost_line() {
        let log =
            "Received disconnect from 10.0.10.101 port 22:2: Too many authentication failures";
        let error = refused(&door(), log.to_owned());
        assert!(error.is_denied() && !error.is_lost(), "{error}");
        let next = error.next().expect("there is something to do");
        assert!(next.contains("`access.identity` in stacks/site.toml names the one key"), "{next}");
    }
}
