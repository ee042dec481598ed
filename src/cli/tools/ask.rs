//! One tool, asked about one file.

use crate::{
    guest::judge::{self, DropIns, Judge, Shell},
    model::GuestPath,
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// How long one question may take: each is about one small file.
const LIMIT_SECONDS: &str = "20";
/// How `timeout` says that it ended what it ran.
const TIMED_OUT: i32 = 124;

/// A tool, and Debian's package of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    Bash,
    Ip6tablesRestore,
    IptablesRestore,
    Logrotate,
    Sh,
    Sshd,
    SystemdAnalyze,
    Visudo,
}

impl Tool {
    pub fn program(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Ip6tablesRestore => "ip6tables-restore",
            Self::IptablesRestore => "iptables-restore",
            Self::Logrotate => "logrotate",
            Self::Sh => "sh",
            Self::Sshd => "sshd",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::Visudo => "visudo",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::IptablesRestore | Self::Ip6tablesRestore => "iptables",
            Self::Logrotate => "logrotate",
            Self::Sh => "dash",
            Self::Sshd => "openssh-server",
            Self::SystemdAnalyze => "systemd",
            Self::Visudo => "sudo",
        }
    }

    /// Whether its exit code says nothing of the file.
    fn is_known_by_its_words(self) -> bool {
        matches!(self, Self::Logrotate | Self::SystemdAnalyze)
    }

    /// What it says when it is not the file's fault.
    fn is_about_this_machine(self, said: &str) -> Option<String> {
        let signs = match self {
            Self::IptablesRestore | Self::Ip6tablesRestore => &[
                "Operation not permitted",
                "Permission denied",
                "unshare failed",
                "Failed to initialize",
            ][..],
            Self::Sshd => {
                &["Missing privilege separation directory", "unshare failed", "mount:"][..]
            }
            Self::SystemdAnalyze => &["Failed to initialize manager", "Failed to start manager"],
            Self::Bash | Self::Logrotate | Self::Sh | Self::Visudo => &[],
        };
        let line = said.lines().find(|line| signs.iter().any(|sign| line.contains(sign)))?;
        Some(format!("{} cannot work here: {}", self.program(), line.trim()))
    }
}

/// What a file is to the tool that reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The firewall's rules of an address family.
    Rules(Tool),
    File(Judge),
}

impl Subject {
    pub const RULES: Self = Self::Rules(Tool::IptablesRestore);
    pub const RULES6: Self = Self::Rules(Tool::Ip6tablesRestore);

    pub fn of(path: &GuestPath, bytes: &[u8], drop_ins: &DropIns) -> Option<Self> {
        Judge::of(path, bytes, drop_ins).map(Self::File)
    }

    pub fn tool(&self) -> Tool {
        match self {
            Self::Rules(tool) => *tool,
            Self::File(Judge::Visudo) => Tool::Visudo,
            Self::File(Judge::Sshd) => Tool::Sshd,
            Self::File(Judge::Logrotate) => Tool::Logrotate,
            Self::File(Judge::Shell(Shell::Sh)) => Tool::Sh,
            Self::File(Judge::Shell(Shell::Bash)) => Tool::Bash,
            Self::File(Judge::Unit | Judge::UnitWithDropIns | Judge::DropIn { .. }) => {
                Tool::SystemdAnalyze
            }
        }
    }
}

/// What a tool has against a file.
#[derive(Debug)]
pub enum Answer {
    Fine,
    Refused(String),
    /// It could not judge, for a reason that is this machine's.
    Unable(String),
}

/// Where files are laid out for the tools.
pub struct Desk {
    folder: TempDir,
}

impl Desk {
    pub fn open() -> io::Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// Asks about the bytes that would stand at a path of a guest.
    pub fn ask(&self, subject: &Subject, path: &GuestPath, bytes: &[u8]) -> io::Result<Answer> {
        let tool = subject.tool();
        let Some(program) = find(tool.program()) else {
            let (program, package) = (tool.program(), tool.package());
            let why = format!("{program} is not installed: apt-get install {package}");
            return Ok(Answer::Unable(why));
        };
        // Of its own, so that nothing that was asked about before lies beside it.
        let folder = tempfile::tempdir_in(&self.folder)?;
        let (given, file) = lay_out(subject, folder.path(), path, bytes)?;
        let mut command = Command::new("timeout");
        command.arg(LIMIT_SECONDS).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        match tool {
            // In a network of its own, so that nothing of this machine's firewall is read or written.
            Tool::IptablesRestore | Tool::Ip6tablesRestore => {
                let user = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
                command.args(["unshare", user]).arg(program).args(["--noflush", "--test"])
            }
            Tool::Logrotate => command.arg(program).arg(judge::DEBUG),
            Tool::Bash | Tool::Sh => command.arg(program).arg("-n"),
            Tool::Sshd => {
                if let Some(why) = self.lack_of_host_key()? {
                    return Ok(Answer::Unable(why));
                }
                // As root it wants a folder that only a running sshd has; it gets one of its own.
                if rustix::process::geteuid().is_root() {
                    let script = "mount -t tmpfs none /run && mkdir /run/sshd && exec \"$@\"";
                    command.args(["unshare", "-m", "sh", "-c", script, "sh"]);
                }
                command.arg(program).arg("-t").arg("-h").arg(self.host_key()).arg("-f")
            }
            Tool::SystemdAnalyze => command.arg(program).args(judge::VERIFY),
            Tool::Visudo => command.arg(program).args(["-c", "-f"]),
        };
        Ok(answer(subject, &command.arg(given).output()?, &file, path))
    }

    fn host_key(&self) -> PathBuf {
        self.folder.path().join("ssh_host_ed25519_key")
    }

    /// Why there is no host key, without which sshd judges nothing; none when there is one.
    fn lack_of_host_key(&self) -> io::Result<Option<String>> {
        if self.host_key().exists() {
            return Ok(None);
        }
        let Some(program) = find("ssh-keygen") else {
            let why =
                "ssh-keygen, which sshd needs, is not installed: apt-get install openssh-client";
            return Ok(Some(why.to_owned()));
        };
        let options = ["-q", "-t", "ed25519", "-N", "", "-f"];
        let made = Command::new(program).args(options).arg(self.host_key()).output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        let why = format!("sshd cannot work here: ssh-keygen makes no key: {}", said.trim());
        Ok((!made.status.success()).then_some(why))
    }
}

/// Writes a file where its tool can read it: what the tool is given, and the file itself.
fn lay_out(
    subject: &Subject,
    folder: &Path,
    path: &GuestPath,
    bytes: &[u8],
) -> io::Result<(PathBuf, PathBuf)> {
    let (given, file) = match subject {
        Subject::File(Judge::DropIn { folder: beside, unit }) => {
            fs::create_dir(folder.join(beside))?;
            fs::write(folder.join(unit), judge::STUB)?;
            (folder.join(unit), folder.join(beside).join(path.file_name()))
        }
        _ => (folder.join(path.file_name()), folder.join(path.file_name())),
    };
    match subject {
        Subject::File(Judge::Logrotate) => fs::write(&file, judge::for_logrotate(bytes))?,
        _ => fs::write(&file, bytes)?,
    }
    Ok((given, file))
}

fn answer(subject: &Subject, output: &Output, file: &Path, path: &GuestPath) -> Answer {
    let tool = subject.tool();
    let said = [&output.stderr[..], &output.stdout].concat();
    let said = String::from_utf8_lossy(&said).replace(&*file.to_string_lossy(), path.as_str());
    if output.status.code() == Some(TIMED_OUT) {
        let program = tool.program();
        return Answer::Unable(format!("{program} said nothing in {LIMIT_SECONDS} s"));
    }
    if let Some(why) = tool.is_about_this_machine(&said) {
        return Answer::Unable(why);
    }
    let lines: Vec<&str> = match subject {
        Subject::File(judge) if tool.is_known_by_its_words() => judge.faults(&said, path.as_str()),
        _ if output.status.success() => Vec::new(),
        _ => said.lines().filter(|line| !line.trim().is_empty()).collect(),
    };
    match lines.as_slice() {
        [] if tool.is_known_by_its_words() || output.status.success() => Answer::Fine,
        [] => Answer::Refused(output.status.to_string()),
        lines => Answer::Refused(lines.join("\n")),
    }
}

/// Where a program is; tools of administrators are not on every user's `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}
