//! Whether systemd starts sshd, as the drop-ins of its unit say it.
//!
//! Source: `service_verify` and `config_parse_exec` of systemd 252; systemd.service(5), systemd.unit(5).

use super::ssh_unit::Said;
use crate::{
    compile::sections::{
        firewall::admission::SSH_PORT,
        units::{Directive, Makers, program},
    },
    model::{GuestPath, unit_commands},
};

/// A directive that keeps sshd from starting, and what to do.
type Stop<'u> = (Directive<'u>, &'static str);

/// The programs that `ExecStart=` names.
struct Programs<'u> {
    last: Option<Directive<'u>>,
    /// Whether Debian's own was taken back.
    has_reset: bool,
    commands: Vec<Vec<String>>,
}

impl<'u> Programs<'u> {
    /// None where a quote is left open, which is told of every unit.
    fn of(said: &Said<'u>) -> Option<Self> {
        let mut all = said.all("Service", "ExecStart");
        let standing = said.standing("Service", "ExecStart");
        let commands: Option<Vec<_>> = standing.map(|d| unit_commands(d.value)).collect();
        Some(Self {
            has_reset: all.clone().any(|d| d.value.is_empty()),
            last: all.next_back(),
            commands: commands?.into_iter().flatten().collect(),
        })
    }

    /// Whether sshd is surely started in the foreground, as Debian does it.
    fn stay(&self) -> bool {
        let stays = |words: &Vec<String>| {
            program(&words[0]).ends_with("/sshd") && words.iter().any(|word| word == "-D")
        };
        !self.has_reset || self.commands.iter().any(stays)
    }
}

/// What keeps systemd from starting sshd, or starts something else.
pub fn check<'u>(makers: &Makers<'_>, said: &Said<'u>) -> Vec<Stop<'u>> {
    let Some(programs) = Programs::of(said) else { return Vec::new() };
    let found = [started(said, &programs), typed(said, &programs), failed(said, makers)];
    let never = ["Condition", "Assert"].map(|sort| conditioned(makers, said, sort));
    found.into_iter().chain(never).flatten().collect()
}

fn started<'u>(said: &Said<'u>, programs: &Programs<'u>) -> Option<Stop<'u>> {
    let last = programs.last?;
    let takes_several = said.value("Type").is_some_and(|d| d.value == "oneshot");
    let two = "write `ExecStart=` alone on a line before it: systemd refuses a service that starts two programs";
    match programs.commands.as_slice() {
        [] if programs.has_reset => {
            Some((last, "add an `ExecStart=` below it that starts /usr/sbin/sshd"))
        }
        [_, ..] if !programs.has_reset && !takes_several => Some((last, two)),
        [_, _, ..] if !takes_several => {
            Some((last, "leave the one that starts /usr/sbin/sshd: systemd refuses two programs"))
        }
        commands if programs.has_reset => {
            let others: Option<Vec<_>> = commands.iter().map(|c| other_program(c)).collect();
            others?.first().map(|help| (last, *help))
        }
        _ => None,
    }
}

/// What to do when a command starts something else, or sshd where stackc does not come.
fn other_program(words: &[String]) -> Option<&'static str> {
    let folders = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/"];
    if !words.iter().any(|word| word.contains("sshd")) {
        let is_debians = folders.iter().any(|folder| program(&words[0]).starts_with(folder));
        return is_debians.then_some("let it start /usr/sbin/sshd");
    }
    let port = |(n, word): (usize, &String)| match word.strip_prefix("-p")? {
        "" => words.get(n + 1)?.parse::<u16>().ok(),
        port => port.parse().ok(),
    };
    let ports: Vec<_> = words.iter().enumerate().filter_map(port).collect();
    let is_elsewhere = !ports.is_empty() && !ports.contains(&SSH_PORT);
    is_elsewhere.then_some("add `-p 22`, by which stackc comes")
}

/// A type that waits for what sshd in the foreground never does.
fn typed<'u>(said: &Said<'u>, programs: &Programs<'u>) -> Option<Stop<'u>> {
    let kind = said.value("Type")?;
    let waits = match kind.value {
        "forking" => programs.stay(),
        "dbus" => programs.stay() || said.value("BusName").is_none(),
        _ => false,
    };
    let help = "leave it out: systemd would wait for what sshd never tells, and then end it";
    waits.then_some((kind, help))
}

/// A command before sshd that always fails.
fn failed<'u>(said: &Said<'u>, makers: &Makers<'_>) -> Option<Stop<'u>> {
    let keys = ["ExecCondition", "ExecStartPre"];
    let mut all = keys.iter().flat_map(|key| said.standing("Service", key));
    let any_fails = |commands: Vec<Vec<String>>| commands.iter().any(|words| fails(words, makers));
    let found = all.find(|d| unit_commands(d.value).is_some_and(any_fails))?;
    Some((found, "leave it out: it fails, and then sshd is not started"))
}

fn fails(words: &[String], makers: &Makers<'_>) -> bool {
    let bare = program(&words[0]);
    let may_fail = words[0].strip_suffix(bare).is_some_and(|marks| marks.contains('-'));
    let name = bare.rsplit('/').next().unwrap_or(bare);
    let asks_for_nothing = match words {
        [_, question, path] if name == "test" && TESTS.contains(&question.as_str()) => {
            is_unmade(makers, path)
        }
        _ => false,
    };
    !may_fail && (name == "false" || asks_for_nothing)
}

/// What test(1) answers with no where nothing is.
const TESTS: [&str; 6] = ["-d", "-e", "-f", "-r", "-s", "-x"];

/// What a condition asks of a path that is there.
const PATHS: [&str; 8] = [
    "DirectoryNotEmpty",
    "FileIsExecutable",
    "FileNotEmpty",
    "PathExists",
    "PathIsDirectory",
    "PathIsMountPoint",
    "PathIsReadWrite",
    "PathIsSymbolicLink",
];

/// A condition that the guest never meets.
fn conditioned<'u>(makers: &Makers<'_>, said: &Said<'u>, sort: &str) -> Option<Stop<'u>> {
    let unmet = |d: Directive<'u>| {
        let asked = d.key.strip_prefix(sort).filter(|asked| PATHS.contains(asked))?;
        let help = match d.value.strip_prefix('!') {
            Some(path) => (asked == "PathExists" && is_made(makers, path.trim_start()))
                .then_some("leave it out: the bundle itself makes what must not be there"),
            None => is_unmade(makers, d.value)
                .then_some("leave it out, or declare in the bundle what must be there"),
        };
        Some((d, help?))
    };
    said.conditions(sort).find_map(unmet)
}

fn is_made(makers: &Makers<'_>, path: &str) -> bool {
    path.parse().is_ok_and(|path: GuestPath| makers.overlay.items.contains_key(&path))
}

/// Whether only the bundle could make what stands at a path, and does not.
fn is_unmade(makers: &Makers<'_>, path: &str) -> bool {
    let path = path.parse().ok().filter(|_| !path.contains('%'));
    path.is_some_and(|path| makers.is_unmade(&path))
}
