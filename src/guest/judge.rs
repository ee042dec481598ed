//! Which tool of a Debian machine judges a file: the same rule for the operator's tools and for the guest's own.

mod said;

use crate::model::{CronLine, GuestPath, cron_command};
use said::{complaints, complaints_of_logrotate, refusals};
use std::collections::BTreeSet;

const UNITS: &str = "/etc/systemd/system/";
/// Where Debian has logrotate, if it is there.
pub const LOGROTATE: &str = "/usr/sbin/logrotate";
/// With this logrotate says what it would do, and does nothing but make the folder of `createolddir`.
pub const DEBUG: &str = "--debug";
/// What `systemd-analyze` is asked; its exit code says nothing of a unit's own text.
pub const VERIFY: [&str; 3] = ["verify", "--man=no", "--recursive-errors=no"];
/// What a unit has of its own when only its drop-in is judged. An empty one would be masked.
pub const STUB: &str = "[Unit]\n";

/// A tool that knows better than we do whether a file can be read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    Visudo,
    Sshd,
    Logrotate,
    Shell(Shell),
    Unit,
    /// A unit that the bundle's own drop-ins may complete.
    UnitWithDropIns,
    /// A drop-in is read with its unit, which need not be there: `NAME.d/` beside a stub of that unit.
    DropIn {
        folder: String,
        unit: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shell {
    Sh,
    Bash,
}

impl Judge {
    /// The judge of what stands at a path with these bytes, in a bundle with these drop-ins.
    pub fn of(path: &GuestPath, bytes: &[u8], drop_ins: &DropIns) -> Option<Self> {
        let path = path.as_str();
        if path.starts_with("/etc/sudoers.d/") {
            return Some(Self::Visudo);
        }
        if path.starts_with("/etc/ssh/sshd_config.d/") {
            return Some(Self::Sshd);
        }
        if path.starts_with("/etc/logrotate.d/") {
            return Some(Self::Logrotate);
        }
        if let Some(name) = path.strip_prefix(UNITS) {
            return of_unit(name, drop_ins);
        }
        if path.starts_with("/etc/profile.d/") && path.strip_suffix(".sh").is_some() {
            return Some(Self::Shell(Shell::Sh));
        }
        Shell::of(bytes).map(Self::Shell)
    }

    /// The lines about a file's own text, of a judge whose exit code says nothing of it.
    pub fn faults<'a>(&self, said: &'a str, path: &str) -> Vec<&'a str> {
        match self {
            Self::Logrotate => complaints_of_logrotate(said, path),
            Self::Unit => [complaints(said, path), refusals(said, path)].concat(),
            Self::UnitWithDropIns | Self::DropIn { .. } => complaints(said, path),
            Self::Visudo | Self::Sshd | Self::Shell(_) => Vec::new(),
        }
    }
}

fn of_unit(name: &str, drop_ins: &DropIns) -> Option<Judge> {
    let Some((folder, file)) = name.split_once('/') else {
        let unit = if drop_ins.has_some_of(name) { Judge::UnitWithDropIns } else { Judge::Unit };
        return Some(unit);
    };
    let unit = folder.strip_suffix(".d").filter(|_| file.strip_suffix(".conf").is_some())?;
    // `service.d` is for every service.
    let unit = if unit.contains('.') { unit.to_owned() } else { format!("stackc.{unit}") };
    Some(Judge::DropIn { folder: folder.to_owned(), unit })
}

/// The folders of a bundle's drop-ins, without `.d`.
#[derive(Debug, Default)]
pub struct DropIns(BTreeSet<String>);

impl DropIns {
    pub fn among(paths: impl Iterator<Item = GuestPath>) -> Self {
        let folder = |path: GuestPath| {
            let (folder, _) = path.as_str().strip_prefix(UNITS)?.split_once('/')?;
            Some(folder.strip_suffix(".d")?.to_owned())
        };
        Self(paths.filter_map(folder).collect())
    }

    /// Whether one may be read with a unit: its own, an instance's, one of all units whose names begin alike or of its kind.
    fn has_some_of(&self, unit: &str) -> bool {
        let Some((name, kind)) = unit.rsplit_once('.') else { return false };
        let instances = name.split_once('@').map(|(before, _)| format!("{before}@"));
        self.0.iter().any(|folder| match folder.rsplit_once('.') {
            None => folder == kind,
            Some((of, of_kind)) => {
                let alike = of.ends_with('-') && name.starts_with(of);
                let of_instance = instances.as_ref().is_some_and(|start| of.starts_with(start));
                of_kind == kind && (of == name || alike || of_instance)
            }
        })
    }
}

impl Shell {
    /// The shell that a script names in its first line.
    fn of(bytes: &[u8]) -> Option<Self> {
        let line = bytes.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        match words.next()? {
            b"/usr/bin/env" | b"/bin/env" => Self::named(words.next()?),
            path => Self::at(path),
        }
    }

    fn at(path: &[u8]) -> Option<Self> {
        Self::named(path.strip_prefix(b"/usr").unwrap_or(path).strip_prefix(b"/bin/")?)
    }

    fn named(program: &[u8]) -> Option<Self> {
        match program {
            b"sh" => Some(Self::Sh),
            b"bash" => Some(Self::Bash),
            _ => None,
        }
    }

    pub fn program(self) -> &'static str {
        match self {
            Self::Sh => "/bin/sh",
            Self::Bash => "/bin/bash",
        }
    }
}

/// The commands of a table of cron, each with its shell and on the line where it stands.
pub fn jobs(path: &GuestPath, bytes: &[u8]) -> Vec<(Shell, String)> {
    if !path.as_str().starts_with("/etc/cron.d/") {
        return Vec::new();
    }
    let (mut shell, mut jobs) = (Some(Shell::Sh), Vec::new());
    for (above, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
        match (CronLine::of(line), shell) {
            (CronLine::Assignment { name: "SHELL", value }, _) => {
                shell = Shell::at(value.as_bytes());
            }
            (CronLine::Job { command, .. }, Some(shell)) => {
                jobs.push((shell, "\n".repeat(above) + &cron_command(command)));
            }
            _ => {}
        }
    }
    jobs
}

/// A file for logrotate to judge, line by line the same, without the folders of old logs: logrotate looks for them, or makes
/// them, while the switch or a package may be what brings them.
pub fn for_logrotate(bytes: &[u8]) -> Vec<u8> {
    let is_of_folder = |line: &[u8]| {
        let line = line.trim_ascii_start();
        [&b"olddir"[..], b"createolddir"].iter().any(|word| line.starts_with(word))
    };
    let lines = bytes.split(|byte| *byte == b'\n');
    let kept = lines.map(|line| if is_of_folder(line) { &b""[..] } else { line });
    kept.collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(path: &str, text: &str) -> Option<Judge> {
        Judge::of(&path.parse().expect("a path"), text.as_bytes(), &DropIns::default())
    }

    #[test]
    fn a_unit_that_drop_ins_may_complete_is_known() {
        let judge = |unit: &str, drop_in: &str| {
            let at = |name: &str| format!("/etc/systemd/system/{name}").parse::<GuestPath>();
            let drop_ins = DropIns::among(at(drop_in).into_iter());
            Judge::of(&at(unit).expect("a path"), b"[Unit]\n", &drop_ins)
        };
        for drop_in in ["x@.service.d/a.conf", "x@one.service.d/a.conf", "service.d/a.conf"] {
            assert_eq!(judge("x@.service", drop_in), Some(Judge::UnitWithDropIns), "{drop_in}");
        }
        assert_eq!(judge("a-b.service", "a-.service.d/x.conf"), Some(Judge::UnitWithDropIns));
        for drop_in in [
            "x.socket.d/a.conf",
            "y.service.d/a.conf",
            "socket.d/a.conf",
            "y.service",
            "x-y.service.d/a.conf",
        ] {
            assert_eq!(judge("x.service", drop_in), Some(Judge::Unit), "{drop_in}");
        }
    }

    #[test]
    fn logrotate_is_not_asked_for_folders_that_the_switch_makes() {
        let text = b"/a {\n\tolddir /old\n  createolddir 0755 root root\n  weekly\n}\n";
        assert_eq!(for_logrotate(text), b"/a {\n\n\n  weekly\n}\n");
    }

    #[test]
    fn a_drop_in_is_judged_with_its_unit_and_what_only_lies_beside_is_not() {
        let drop_in = |folder: &str, unit: &str| {
            let (folder, unit) = (folder.to_owned(), unit.to_owned());
            Some(Judge::DropIn { folder, unit })
        };
        let of = |name: &str| judge(&format!("/etc/systemd/system/{name}"), "[Unit]\n");
        assert_eq!(of("app.service"), Some(Judge::Unit));
        assert_eq!(of("app.service.d/10-x.conf"), drop_in("app.service.d", "app.service"));
        assert_eq!(of("app@.service.d/x.conf"), drop_in("app@.service.d", "app@.service"));
        assert_eq!(of("service.d/x.conf"), drop_in("service.d", "stackc.service"));
        assert_eq!(of("app.service.d/README"), None);
        assert_eq!(of("timers.target.wants/a.timer"), None);
    }

    #[test]
    fn a_job_of_cron_is_judged_by_the_shell_of_its_table_on_its_own_line() {
        let jobs = |path: &str, text: &str| jobs(&path.parse().expect("a path"), text.as_bytes());
        let table = "# x\n@daily root date +\\%F%in\nSHELL=/bin/bash\n* * * * * a [[ b ]]\n\
                     SHELL=/bin/fish\n@daily root end\n";
        let bash = (Shell::Bash, "\n\n\n[[ b ]]".to_owned());
        let found = jobs("/etc/cron.d/x", table);
        assert_eq!(found, [(Shell::Sh, "\ndate +%F".to_owned()), bash]);
        assert_eq!(jobs("/etc/cron.daily/x", table), []);
    }

    #[test]
    fn a_script_is_judged_by_the_shell_that_it_names() {
        let of = |first: &str| judge("/usr/local/bin/x", &format!("{first}\ntrue\n"));
        for first in ["#!/bin/sh", "#! /bin/sh -eu", "#!/usr/bin/sh", "#!/usr/bin/env sh"] {
            assert_eq!(of(first), Some(Judge::Shell(Shell::Sh)), "{first}");
        }
        for first in ["#!/bin/bash", "#!/usr/bin/bash -e", "#!/usr/bin/env bash"] {
            assert_eq!(of(first), Some(Judge::Shell(Shell::Bash)), "{first}");
        }
        assert_eq!(judge("/etc/profile.d/x.sh", "true\n"), Some(Judge::Shell(Shell::Sh)));
        for first in ["#!/bin/shellfish", "#!/usr/bin/python3", "#!", "# /bin/sh", "#!/usr/bin/env"]
        {
            assert_eq!(of(first), None, "{first}");
        }
    }
}
