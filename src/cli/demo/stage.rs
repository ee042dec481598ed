//! What the demo is played on: it shows a command as a user would type it, its real output, and what is to be seen in it.

use super::http;
use anstream::{print, println};
use anstyle::{AnsiColor, Style};
use camino::Utf8PathBuf;
use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::IpAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const PROMPT: Style = AnsiColor::Green.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Why the story ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
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
    #[error("`{}` is not UTF-8, which a workspace's path must be", .0.display())]
    NotUtf8(PathBuf),
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
    /// Where commands run: at first a temporary folder, then the workspace in it.
    pub folder: Utf8PathBuf,
    /// What names the lab in each of its verbs.
    lab: Vec<&'static str>,
    started: Instant,
    scenes: Vec<(String, Instant)>,
}

impl Stage {
    pub fn new(stackc: PathBuf, folder: Utf8PathBuf, lab: Vec<&'static str>) -> Self {
        Self { stackc, folder, lab, started: Instant::now(), scenes: Vec::new() }
    }

    /// A new part of the story.
    pub fn scene(&mut self, title: &str) {
        self.scenes.push((title.to_owned(), Instant::now()));
        println!(
            "\n{TITLE}━━ {}. {title} {:━<2$}{TITLE:#}",
            self.scenes.len(),
            "",
            70_usize.saturating_sub(title.len())
        );
    }

    /// Runs a verb in the workspace, shows it with its output, and holds it to its exit code.
    pub fn stackc(&self, arguments: &[&str], wanted: u8) -> Result<String, DemoError> {
        let mut command = Command::new(&self.stackc);
        command.args(arguments);
        self.play(command, &shown("stackc", arguments), wanted)
    }

    /// Runs a verb of the lab.
    pub fn lab(&self, verb: &str, arguments: &[&str]) -> Result<String, DemoError> {
        self.stackc(&[&["lab", verb], self.lab.as_slice(), arguments].concat(), 0)
    }

    /// Runs another program in the workspace.
    pub fn shell(&self, program: &str, arguments: &[&str]) -> Result<String, DemoError> {
        let mut command = Command::new(program);
        command.args(arguments);
        self.play(command, &shown(program, arguments), 0)
    }

    fn play(&self, mut command: Command, shown: &str, wanted: u8) -> Result<String, DemoError> {
        println!("\n{PROMPT}${PROMPT:#} {shown}");
        let started = Instant::now();
        let failed = |cause| DemoError::Run { command: shown.to_owned(), cause };
        // One pipe for both, so that lines come in the order in which they were written.
        let (output, input) = io::pipe().map_err(failed)?;
        command.stdout(input.try_clone().map_err(failed)?).stderr(input);
        let mut child = command.current_dir(&self.folder).spawn().map_err(failed)?;
        // It holds the writing ends; while it lives, the reading end has no end.
        drop(command);
        let mut text = String::new();
        for line in BufReader::new(output).lines() {
            let line = line.map_err(failed)?;
            println!("  {line}");
            text.push_str(&line);
            text.push('\n');
        }
        let status = child.wait().map_err(failed)?;
        println!("{QUIET}  {:.1} s{QUIET:#}", started.elapsed().as_secs_f64());
        if status.code() == Some(i32::from(wanted)) {
            return Ok(text);
        }
        println!("{BAD}✗{BAD:#} it ends with {status}, and {wanted} was expected");
        Err(DemoError::Exit { command: shown.to_owned(), ended: status.to_string(), wanted })
    }

    /// How long each scene and the whole took.
    pub fn times(&self) {
        let ends = self.scenes.iter().skip(1).map(|(_, start)| *start).chain([Instant::now()]);
        println!("\n{TITLE}━━ Times {:━<64}{TITLE:#}", "");
        for ((title, start), end) in self.scenes.iter().zip(ends) {
            print_time(title, end - *start);
        }
        print_time("in all", self.started.elapsed());
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

/// A sentence of the teller.
pub(super) fn say(text: &str) {
    println!("{text}");
}

/// Asks an app over HTTP and shows the answer.
pub(super) fn curl(ip: IpAddr, port: u16) -> Result<String, DemoError> {
    println!("\n{PROMPT}${PROMPT:#} curl -s --retry 5 --retry-connrefused http://{ip}:{port}/");
    let silent = |cause| DemoError::Silent { address: format!("{ip}:{port}"), cause };
    let answer = http::get_when_ready(ip, port, "/").map_err(silent)?;
    for line in answer.body.lines() {
        println!("  {line}");
    }
    check(&format!("port {port} answers with 200"), answer.status == 200, &answer.body)?;
    Ok(answer.body)
}

/// Says that something is so, or ends the story because it is not.
pub(super) fn check(claim: &str, holds: bool, found: &str) -> Result<(), DemoError> {
    if holds {
        println!("{GOOD}✓{GOOD:#} {claim}");
        return Ok(());
    }
    println!("{BAD}✗{BAD:#} {claim}");
    Err(DemoError::NotSo { claim: claim.to_owned(), found: found.trim().to_owned() })
}

fn print_time(title: &str, time: Duration) {
    print!("  {title:<52}");
    println!("{:>7.1} s", time.as_secs_f64());
}

/// A command as a person types it.
fn shown(program: &str, arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@*".contains(c);
        if argument.chars().all(plain) { (*argument).to_owned() } else { format!("'{argument}'") }
    });
    [program.to_owned()].into_iter().chain(quoted).collect::<Vec<_>>().join(" ")
}
