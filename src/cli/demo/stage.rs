//! What the demo is played on: it shows a command as a user would type it, its real output, and what is to be seen in it.

use super::{claim::ClaimError, http, screen};
use crate::lab::{Interrupts, Place};
use camino::Utf8PathBuf;
use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader},
    net::IpAddr,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
    time::Instant,
};

/// Why the story ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("it was stopped")]
    Stopped,
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error("cannot listen for Ctrl-C")]
    Interrupts(#[source] io::Error),
    #[error("`{command}` ended with {ended}, and {wanted} was expected")]
    Exit { command: String, ended: String, wanted: u8 },
    #[error("cannot run `{command}`")]
    Run {
        command: String,
        #[source]
        cause: io::Error,
    },
    #[error("`http://{address}/` does not answer")]
    Silent {
        address: String,
        #[source]
        cause: io::Error,
    },
    #[error("it is not so that {claim}: {found}")]
    NotSo { claim: String, found: String },
    #[error("cannot change the workspace")]
    Workspace(#[from] crate::lab::workspace::WorkspaceError),
    #[error("cannot {doing} `{}`", path.display())]
    File {
        doing: &'static str,
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
}

pub(super) struct Stage {
    /// This very binary: the demo calls verbs as a user does.
    stackc: PathBuf,
    /// Where commands run: at first the demo's folder, then the workspace in it.
    pub folder: Utf8PathBuf,
    /// What names the lab to each of its verbs.
    lab: [(&'static str, String); 3],
    /// What ends the story early; nothing when it is no longer listened to.
    interrupts: Option<Interrupts>,
    started: Instant,
    scenes: Vec<(String, Instant)>,
}

impl Stage {
    pub fn new(
        stackc: PathBuf,
        folder: Utf8PathBuf,
        place: &Place,
        interrupts: Interrupts,
    ) -> Self {
        let (lab, interrupts) = (place.environment(), Some(interrupts));
        Self { stackc, folder, lab, interrupts, started: Instant::now(), scenes: Vec::new() }
    }

    /// A new part of the story.
    pub fn scene(&mut self, title: &str) {
        self.scenes.push((title.to_owned(), Instant::now()));
        screen::title(&format!("{}. {title}", self.scenes.len()));
    }

    /// From here on the story goes to its end, whoever would stop it.
    pub fn ignore_interrupts(&mut self) {
        self.interrupts = None;
    }

    /// What makes the lab's verbs mean this lab, as a user would say it to the shell.
    pub fn name_lab(&self) {
        let settings = self.lab.iter().map(|(name, value)| format!(" {name}={value}"));
        screen::command(&format!("export{}", settings.collect::<String>()));
    }

    /// Goes on in the workspace of the demo's folder.
    pub fn enter(&mut self, workspace: &str) {
        self.folder.push(workspace);
        screen::command(&format!("cd {}", self.folder));
    }

    /// Runs a verb in the workspace, shows it with its output, and holds it to its exit code.
    pub fn stackc(&self, arguments: &[&str], wanted: u8) -> Result<String, DemoError> {
        let mut command = of_this_demo(&self.stackc);
        command.args(arguments);
        self.play(command, &shown("stackc", arguments), wanted)
    }

    /// Runs a verb of the lab.
    pub fn lab(&self, verb: &str, arguments: &[&str]) -> Result<String, DemoError> {
        self.stackc(&[&["lab", verb], arguments].concat(), 0)
    }

    /// Runs another program in the workspace.
    pub fn shell(&self, program: &str, arguments: &[&str]) -> Result<String, DemoError> {
        let mut command = of_this_demo(program);
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        self.play(command, &shown(program, arguments), 0)
    }

    fn play(&self, mut command: Command, shown: &str, wanted: u8) -> Result<String, DemoError> {
        self.go_on()?;
        screen::command(shown);
        let started = Instant::now();
        let failed = |cause| DemoError::Run { command: shown.to_owned(), cause };
        // One pipe for both, so that lines come in the order in which they were written.
        let (output, input) = io::pipe().map_err(failed)?;
        command.stdin(Stdio::null()).stdout(input.try_clone().map_err(failed)?).stderr(input);
        // In a group of its own, so that Ctrl-C comes to the demo, which decides what ends and what is still put away.
        command.process_group(0).envs(self.lab.iter().cloned()).current_dir(&self.folder);
        let mut child = command.spawn().map_err(failed)?;
        // It holds the writing ends; while it lives, the reading end has no end.
        drop(command);
        self.interrupts.iter().for_each(|interrupts| interrupts.attend(&child));
        let text = show(output).map_err(failed);
        self.interrupts.iter().for_each(Interrupts::release);
        let status = child.wait().map_err(failed)?;
        self.go_on()?;
        screen::took(started.elapsed());
        if status.code() == Some(i32::from(wanted)) {
            return text;
        }
        screen::bad(&format!("it ends with {status}, and {wanted} was expected"));
        Err(DemoError::Exit { command: shown.to_owned(), ended: status.to_string(), wanted })
    }

    fn go_on(&self) -> Result<(), DemoError> {
        let stopped = self.interrupts.as_ref().is_some_and(Interrupts::came);
        if stopped { Err(DemoError::Stopped) } else { Ok(()) }
    }

    /// How long each scene and the whole took.
    pub fn times(&self) {
        let ends = self.scenes.iter().skip(1).map(|(_, start)| *start).chain([Instant::now()]);
        let scenes = self.scenes.iter().zip(ends);
        let mut rows: Vec<_> =
            scenes.map(|((title, start), end)| (title.clone(), end - *start)).collect();
        rows.push(("in all".to_owned(), self.started.elapsed()));
        screen::times(&rows);
    }

    /// The address of a project's guest in `dev`, from its definition.
    pub fn address(&self, project: &str) -> Result<IpAddr, DemoError> {
        let path = self.folder.join(format!("stacks/{project}.toml"));
        let text = fs::read_to_string(&path).map_err(|cause| DemoError::File {
            doing: "read",
            path: path.clone().into(),
            cause,
        })?;
        let definition: toml::Table = text.parse().unwrap_or_default();
        let ip = definition.get("envs").and_then(|envs| envs.get("dev")?.get("ip")?.as_str());
        let address = ip.and_then(|ip| ip.split('/').next()?.parse().ok());
        address.ok_or_else(|| DemoError::NotSo {
            claim: format!("`{path}` names the address of `dev`"),
            found: text,
        })
    }
}

/// A program that ends with the demo, also when that is killed: one that lived on would write into the lab of the next.
fn of_this_demo(program: impl AsRef<OsStr>) -> Command {
    // setpriv(1) is in an essential package.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// Shows what comes out of a command, line by line, and returns it.
fn show(output: io::PipeReader) -> io::Result<String> {
    let mut text = String::new();
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        screen::output(&line);
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}

/// Asks an app over HTTP and shows the answer.
pub(super) fn curl(ip: IpAddr, port: u16) -> Result<String, DemoError> {
    screen::command(&format!("curl -s --retry 5 --retry-connrefused http://{ip}:{port}/"));
    let silent = |cause| DemoError::Silent { address: format!("{ip}:{port}"), cause };
    let answer = http::get_when_ready(ip, port, "/").map_err(silent)?;
    answer.body.lines().for_each(screen::output);
    check(&format!("port {port} answers with 200"), answer.status == 200, &answer.body)?;
    Ok(answer.body)
}

/// Says that something is so, or ends the story because it is not.
pub(super) fn check(claim: &str, holds: bool, found: &str) -> Result<(), DemoError> {
    if holds {
        screen::good(claim);
        return Ok(());
    }
    screen::bad(claim);
    Err(DemoError::NotSo { claim: claim.to_owned(), found: found.trim().to_owned() })
}

/// A command as a person types it.
fn shown(program: &str, arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@*".contains(c);
        if argument.chars().all(plain) { (*argument).to_owned() } else { format!("'{argument}'") }
    });
    [program.to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
}
