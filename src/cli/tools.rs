//! The tools of a Debian machine, asked about what was compiled: `check --tools`. The guest asks its own again before a switch.

use crate::{
    guest,
    model::{self, Bundle, Digest, GuestPath, Target, document},
};
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// How long one question may take: each is about one small file.
const LIMIT_SECONDS: &str = "20";

/// A tool, and Debian's package of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    IptablesRestore,
    Ip6tablesRestore,
    Shell,
    Sshd,
    SystemdAnalyze,
    Visudo,
}

impl Tool {
    pub fn program(self) -> &'static str {
        match self {
            Self::IptablesRestore => "iptables-restore",
            Self::Ip6tablesRestore => "ip6tables-restore",
            Self::Shell => "sh",
            Self::Sshd => "sshd",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::Visudo => "visudo",
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::IptablesRestore | Self::Ip6tablesRestore => "iptables",
            Self::Shell => "dash",
            Self::Sshd => "openssh-server",
            Self::SystemdAnalyze => "systemd",
            Self::Visudo => "sudo",
        }
    }
}

/// What the tools say of all bundles together.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// In the order of guests and paths.
    pub faults: Vec<Fault>,
    /// Tools that could not be asked, with the reason.
    pub unasked: BTreeMap<Tool, String>,
    /// How many files were judged.
    pub judged: usize,
}

/// A file that a tool refuses.
#[derive(Debug)]
pub struct Fault {
    pub guest: Target,
    pub path: String,
    pub tool: Tool,
    pub said: String,
}

/// Asks the tools about every file that they would read on a guest. The same bytes are asked about once.
pub fn judge(bundles: &BTreeMap<Target, Bundle>) -> io::Result<Verdicts> {
    let folder = tempfile::tempdir()?;
    let mut verdicts = Verdicts::default();
    let mut known: BTreeMap<(Tool, Digest), Option<String>> = BTreeMap::new();
    for (guest, bundle) in bundles {
        for (path, tool, bytes) in questions(bundle) {
            if verdicts.unasked.contains_key(&tool) {
                continue;
            }
            let said = match known.entry((tool, Digest::of(bytes))) {
                Entry::Occupied(said) => said.get().clone(),
                Entry::Vacant(place) => match ask(tool, folder.path(), &path, bytes)? {
                    Ok(said) => place.insert(said).clone(),
                    Err(why) => {
                        verdicts.unasked.insert(tool, why);
                        continue;
                    }
                },
            };
            verdicts.judged += 1;
            let fault = |said| Fault { guest: guest.clone(), path, tool, said };
            verdicts.faults.extend(said.map(fault));
        }
    }
    Ok(verdicts)
}

/// The files of a bundle that a tool reads, by their path on the guest.
fn questions(bundle: &Bundle) -> Vec<(String, Tool, &[u8])> {
    let rules = [
        (document::USER_RULES, "/etc/ufw/user.rules", Tool::IptablesRestore),
        (document::USER6_RULES, "/etc/ufw/user6.rules", Tool::Ip6tablesRestore),
    ];
    let rules = rules.into_iter().filter_map(|(name, path, tool)| {
        let bytes = bundle.files.get(&name.parse().ok()?)?;
        Some((path.to_owned(), tool, bytes.as_slice()))
    });
    let files = bundle.manifest.entries.iter().filter_map(|(path, entry)| {
        let (model::Entry::File { .. }, Some(on_guest)) = (entry, path.on_guest()) else {
            return None;
        };
        let bytes = bundle.files.get(path)?;
        Some((on_guest.to_string(), tool_for(&on_guest, bytes)?, bytes.as_slice()))
    });
    files.chain(rules).collect()
}

fn tool_for(path: &GuestPath, bytes: &[u8]) -> Option<Tool> {
    let path = path.as_str();
    if path.starts_with("/etc/sudoers.d/") {
        Some(Tool::Visudo)
    } else if path.starts_with("/etc/ssh/sshd_config.d/") {
        Some(Tool::Sshd)
    } else if path.strip_prefix("/etc/systemd/system/").is_some_and(|name| !name.contains('/')) {
        Some(Tool::SystemdAnalyze)
    } else {
        bytes.starts_with(b"#!/bin/sh").then_some(Tool::Shell)
    }
}

/// What a tool has against a file: nothing, or what it says; or why it cannot tell.
fn ask(
    tool: Tool,
    folder: &Path,
    path: &str,
    bytes: &[u8],
) -> io::Result<Result<Option<String>, String>> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let file = folder.join(name);
    fs::write(&file, bytes)?;
    let Some(program) = find(tool.program()) else {
        let why =
            format!("{} is not installed: apt-get install {}", tool.program(), tool.package());
        return Ok(Err(why));
    };
    let output = run(tool, &program, folder, &file)?;
    fs::remove_file(&file)?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = text + &String::from_utf8_lossy(&output.stdout);
    if let Some(why) = is_about_this_machine(tool, &text) {
        return Ok(Err(why));
    }
    let lines: Vec<&str> = match tool {
        Tool::SystemdAnalyze => guest::complaints(&text, name),
        _ if output.status.success() => Vec::new(),
        _ => text.lines().filter(|line| !line.trim().is_empty()).collect(),
    };
    let file = file.to_string_lossy().into_owned();
    let said = lines.join("\n").replace(&file, path);
    Ok(Ok(match tool {
        Tool::SystemdAnalyze => (!said.is_empty()).then_some(said),
        _ if output.status.success() => None,
        _ if said.is_empty() => Some(output.status.to_string()),
        _ => Some(said),
    }))
}

/// What a tool says when it is not the file's fault.
fn is_about_this_machine(tool: Tool, said: &str) -> Option<String> {
    let signs = match tool {
        Tool::IptablesRestore | Tool::Ip6tablesRestore => &[
            "Operation not permitted",
            "Permission denied",
            "unshare failed",
            "Failed to initialize",
        ][..],
        Tool::Sshd => &["Missing privilege separation directory", "unshare failed", "mount:"][..],
        _ => &[][..],
    };
    let line = said.lines().find(|line| signs.iter().any(|sign| line.contains(sign)))?;
    Some(format!("{} cannot work here: {}", tool.program(), line.trim()))
}

fn run(tool: Tool, program: &Path, folder: &Path, file: &Path) -> io::Result<Output> {
    let mut command = Command::new("timeout");
    command.arg(LIMIT_SECONDS).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    match tool {
        // In a network of its own, so that nothing of this machine's firewall is read or written.
        Tool::IptablesRestore | Tool::Ip6tablesRestore => {
            let user = if rustix::process::geteuid().is_root() { "-n" } else { "-rn" };
            command.args(["unshare", user]).arg(program).args(["--noflush", "--test"]).arg(file);
        }
        Tool::Shell => {
            command.arg(program).arg("-n").arg(file);
        }
        Tool::Sshd => {
            // As root it wants a folder that only a running sshd has; it gets one of its own.
            if rustix::process::geteuid().is_root() {
                let script = "mount -t tmpfs none /run && mkdir /run/sshd && exec \"$@\"";
                command.args(["unshare", "-m", "sh", "-c", script, "sh"]);
            }
            command.arg(program).arg("-t").arg("-f").arg(with_host_key(folder, file)?);
        }
        Tool::SystemdAnalyze => {
            let options = ["verify", "--man=no", "--recursive-errors=no"];
            command.arg(program).args(options).arg(file);
        }
        Tool::Visudo => {
            command.arg(program).args(["-c", "-f"]).arg(file);
        }
    }
    command.output()
}

/// A configuration of sshd that has a host key, without which it judges nothing, and then the file.
fn with_host_key(folder: &Path, file: &Path) -> io::Result<PathBuf> {
    let key = folder.join("ssh_host_ed25519_key");
    if !key.exists() {
        let options = ["-q", "-t", "ed25519", "-N", "", "-f"];
        Command::new("ssh-keygen").args(options).arg(&key).status()?;
    }
    let config = folder.join("sshd_config");
    let text = format!("HostKey {}\nInclude {}\n", key.display(), file.display());
    fs::write(&config, text)?;
    Ok(config)
}

/// Where a program is; tools of administrators are not on every user's `PATH`.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

impl Verdicts {
    /// For people: what is refused, the same of several guests once, and what was not asked.
    pub fn text(&self) -> String {
        let mut told: BTreeMap<(&str, Tool, &str), Vec<String>> = BTreeMap::new();
        for Fault { guest, path, tool, said } in &self.faults {
            told.entry((path, *tool, said)).or_default().push(guest.to_string());
        }
        let fault = |((path, tool, said), guests): ((&str, Tool, &str), Vec<String>)| {
            let said = said.replace('\n', "\n  | ");
            let (tool, guests) = (tool.program(), guests.join(", "));
            format!("error[{tool}]: {tool} refuses `{path}` of {guests}\n  | {said}\n\n")
        };
        let unasked = self.unasked.values().map(|why| format!("not checked: {why}\n"));
        told.into_iter().map(fault).chain(unasked).collect()
    }

    /// The tools that were asked.
    pub fn asked(&self) -> BTreeSet<&'static str> {
        let all = [
            Tool::IptablesRestore,
            Tool::Ip6tablesRestore,
            Tool::Shell,
            Tool::Sshd,
            Tool::SystemdAnalyze,
            Tool::Visudo,
        ];
        all.into_iter().filter(|tool| !self.unasked.contains_key(tool)).map(Tool::program).collect()
    }
}
