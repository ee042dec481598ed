//! The running side of a real Debian guest: systemctl, iptables, ufw, journalctl.

use super::system::{
    Alarm, Command, Load, Output, Rules, System, SystemError, UnitJob, Units, run, switch_unit,
};
use super::{child, probe, systemd};
use crate::model::{Probe, TxId, UnitName};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::io::ErrorKind::NotFound;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// What is no job of a unit, and may take its time all the same.
const WORK_LIMIT: Duration = Duration::from_secs(100);
/// For commands that only ask.
const ASK_LIMIT: Duration = Duration::from_secs(20);
/// Has ufw start in a network namespace, and tells what it says only when it fails.
const UFW_APART: &str =
    "said=$(/lib/ufw/ufw-init start 2>&1) || { echo \"$said\"; exit 1; }; ip6tables-save";

/// The real guest.
#[derive(Debug)]
pub struct Debian;

/// Time since boot (`CLOCK_BOOTTIME`).
pub fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The path of this very program.
pub fn own_program() -> Result<String, SystemError> {
    let spawn = |cause| SystemError::Spawn { program: "stackc-guest".to_owned(), cause };
    Ok(std::env::current_exe().map_err(spawn)?.display().to_string())
}

impl Debian {
    fn systemctl(&mut self, words: &[&str], limit: Duration) -> Result<Output, SystemError> {
        let mut argv = vec!["systemctl"];
        argv.extend(words);
        run(self, &Command::new(&argv, limit))
    }

    fn is_loaded(&mut self, unit: &str) -> Result<bool, SystemError> {
        let show = self.systemctl(&["show", "--property=ActiveState", "--", unit], ASK_LIMIT)?;
        Ok(["=active", "=activating"].iter().any(|state| show.text.trim().ends_with(state)))
    }

    /// Whether a timer by such a name is set, and not the one that rings now. Where that cannot be known none is.
    fn waits(&mut self, pattern: &str) -> bool {
        let words = ["list-units", "--plain", "--no-legend", "--state=waiting", "--", pattern];
        self.systemctl(&words, ASK_LIMIT).is_ok_and(|waiting| !waiting.text.trim().is_empty())
    }

    /// The rules that one of iptables' programs prints.
    fn saved(&mut self, program: &str) -> Result<String, SystemError> {
        match run(self, &Command::asking(&[program], ASK_LIMIT)) {
            // A guest without the programs, fresh from its template, has nobody who could have set a rule.
            Err(SystemError::Spawn { cause, .. }) if cause.kind() == NotFound => Ok(String::new()),
            saved => saved.map(|saved| rules_only(&saved.text)),
        }
    }

    /// Runs `systemd-run`, which refuses a name that is taken: a unit that was started before is as good. Asking first
    /// would cost a process each time, for what hardly ever is.
    fn start_once(&mut self, unit: &str, start: &Command) -> Result<(), SystemError> {
        match run(self, start) {
            Err(error) if !self.is_loaded(unit)? => Err(error),
            _ => Ok(()),
        }
    }
}

impl System for Debian {
    fn boot_id(&mut self) -> Result<String, SystemError> {
        let path = "/proc/sys/kernel/random/boot_id";
        let text = std::fs::read_to_string(path)
            .map_err(|cause| SystemError::Spawn { program: path.to_owned(), cause })?;
        Ok(text.trim().to_owned())
    }

    fn uptime(&mut self) -> Duration {
        uptime()
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn is_going_down(&mut self) -> bool {
        // Its exit code is no success for a guest that is degraded; what it prints is in systemctl(1).
        let asked = self.run(&Command::new(&["systemctl", "is-system-running"], ASK_LIMIT));
        asked
            .map_or(true, |output| matches!(output.text.trim(), "stopping" | "offline" | "unknown"))
    }

    fn units(&mut self, names: &[UnitName]) -> Result<Units, SystemError> {
        // Of a template nothing runs, and the service manager takes its name for a mistake.
        let (templates, mut names): (Vec<&UnitName>, Vec<&UnitName>) =
            names.iter().partition(|name| name.is_template());
        let instances = systemd::instances(&templates).map_err(SystemError::Units)?;
        names.extend(instances.iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let reports = systemd::reports(&names).map_err(SystemError::Units)?;
        Ok(names.into_iter().cloned().zip(reports).collect())
    }

    fn job(&mut self, job: UnitJob, unit: &UnitName) -> Result<(), SystemError> {
        let words: &[&str] = match job {
            UnitJob::Start => &["start", "--"],
            UnitJob::StartLater => &["start", "--no-block", "--"],
            UnitJob::Stop => &["stop", "--"],
            UnitJob::StopLater => &["stop", "--no-block", "--"],
            UnitJob::Kill => &["kill", "--signal=KILL", "--"],
            UnitJob::Restart => &["restart", "--"],
            UnitJob::Reload => &["reload", "--"],
        };
        if matches!(job, UnitJob::Start | UnitJob::Restart) {
            // A unit that hit its start limit before would refuse the very start that repairs it. Unknown units: no matter.
            drop(self.systemctl(&["reset-failed", "--", unit.as_str()], ASK_LIMIT));
        }
        let mut words = words.to_vec();
        words.push(unit.as_str());
        let limit = systemd::job_limit(job, unit).map_err(SystemError::Units)?;
        match self.systemctl(&words, limit) {
            Err(error @ SystemError::Failed { .. }) if job == UnitJob::Stop => {
                match self.units(std::slice::from_ref(unit))?.remove(unit) {
                    Some(report) if report.is_ending() => Err(error),
                    Some(report) if report.is_active() => self.systemctl(&words, limit).map(drop),
                    // What is not there is stopped.
                    _ => Ok(()),
                }
            }
            other => other.map(drop),
        }
    }

    fn daemon_reload(&mut self) -> Result<(), SystemError> {
        self.systemctl(&["daemon-reload"], WORK_LIMIT).map(drop)
    }

    fn journal(&mut self, unit: &UnitName, during: &Range<Duration>) -> Vec<String> {
        let now = uptime();
        let ago = |time: Duration| now.saturating_sub(time).as_secs_f64();
        let since = format!("--since=-{:.3}s", ago(during.start));
        let until = format!("--until=-{:.3}s", ago(during.end));
        let words = [
            "journalctl",
            "--no-pager",
            "-q",
            "-o",
            "cat",
            "-n",
            "30",
            &since,
            &until,
            "-u",
            unit.as_str(),
        ];
        let output = self.run(&Command::new(&words, ASK_LIMIT));
        output.map_or_else(|error| vec![error.to_string()], |output| output.tail(30))
    }

    fn arm(&mut self, tx: &TxId, alarm: Alarm, after: Duration) -> Result<(), SystemError> {
        // A retry is armed from within the last one's own unit, whose name is taken until it ends.
        let mut name = format!("stackc-undo-{tx}-{}", alarm.name());
        if alarm.is_again() {
            if self.waits(&format!("{name}-*.timer")) {
                return Ok(());
            }
            name = format!("{name}-{}", uptime().as_secs());
        }
        let timer = format!("{name}.timer");
        // At early boot a timer starts after the very unit that arms it: that job cannot be waited for.
        let waits = !alarm.is_again();
        let program = own_program()?;
        let words = [
            "systemd-run",
            if waits { "--quiet" } else { "--no-block" },
            "--collect",
            &format!("--unit={name}"),
            &format!("--on-active={}ms", after.as_millis()),
            "--timer-property=AccuracySec=100ms",
            "--property=TimeoutStartSec=infinity",
            // Killed, for want of memory for one, it would never ring again.
            "--property=Restart=on-abnormal",
            "--property=RestartSec=3",
            &program,
            alarm.verb(),
            tx.as_str(),
            "0",
        ];
        self.start_once(&timer, &Command::new(&words, ASK_LIMIT))?;
        if !waits || self.is_loaded(&timer)? {
            Ok(())
        } else {
            Err(SystemError::Failed {
                command: format!("systemd-run --unit={name}"),
                ending: "the timer is not active afterwards".to_owned(),
                tail: Vec::new(),
            })
        }
    }

    fn disarm(&mut self, tx: &TxId) -> Result<(), SystemError> {
        let timers = format!("stackc-undo-{tx}-*.timer");
        self.systemctl(&["stop", "--", &timers], ASK_LIMIT).map(drop)
    }

    fn start_switch(&mut self, tx: &TxId) -> Result<(), SystemError> {
        let unit = switch_unit(tx);
        let program = own_program()?;
        // However the switch ends, by the kernel's hand too: what it did not finish is undone at once. That waits for the
        // lock, and then for units.
        let after = format!("--property=ExecStopPost={program} switch-ended {tx}");
        let words = [
            "systemd-run",
            "--quiet",
            "--collect",
            &format!("--unit={unit}"),
            "--property=KillMode=mixed",
            "--property=TimeoutStopSec=600",
            &after,
            &program,
            "switch",
            tx.as_str(),
        ];
        self.start_once(unit.as_str(), &Command::new(&words, ASK_LIMIT))
    }

    fn end_switch(&mut self, tx: &TxId) -> Result<(), SystemError> {
        let unit = switch_unit(tx);
        if self.is_loaded(unit.as_str())? {
            let kill = ["kill", "--signal=KILL", "--kill-whom=main", "--", unit.as_str()];
            self.systemctl(&kill, ASK_LIMIT)?;
        }
        Ok(())
    }

    fn save_firewall(&mut self) -> Result<Rules, SystemError> {
        Ok(Rules { v4: self.saved("iptables-save")?, v6: self.saved("ip6tables-save")? })
    }

    fn look(&mut self, names: &[UnitName]) -> Result<(Rules, Units), SystemError> {
        std::thread::scope(|scope| {
            let v6 = scope.spawn(|| Self.saved("ip6tables-save"));
            let units = self.units(names)?;
            let v4 = self.saved("iptables-save")?;
            let v6 = v6.join().expect("what runs a program does not panic")?;
            Ok((Rules { v4, v6 }, units))
        })
    }

    fn load_firewall(&mut self, rules: &Rules, load: Load) -> Result<(), SystemError> {
        let options: &[&str] = match load {
            Load::Test => &["--test", "-n"],
            Load::Chains => &["-n"],
            Load::Tables => &[],
        };
        for (program, text) in [("iptables-restore", &rules.v4), ("ip6tables-restore", &rules.v6)] {
            if text.is_empty() {
                continue;
            }
            // The lock of other iptables callers is waited for, within the limit.
            let mut argv = vec![program, "-w", "10"];
            argv.extend(options);
            let input = text.clone().into_bytes();
            run(self, &Command { input, ..Command::new(&argv, ASK_LIMIT) })?;
        }
        Ok(())
    }

    fn set_ufw(&mut self, enabled: bool) -> Result<(), SystemError> {
        // What ufw.service runs at boot. `ufw enable` ends in the same, but writes user.rules anew on its way there.
        let init = |verb| Command::new(&["/lib/ufw/ufw-init", verb], WORK_LIMIT);
        if !enabled {
            return run(self, &init("force-stop")).map(drop);
        }
        // Half a frame, of an earlier accident, counts as started or fails; flushed, it does neither (reliability.md §0).
        if run(self, &init("start")).is_ok() && super::firewall::is_loaded(&self.save_firewall()?) {
            return Ok(());
        }
        run(self, &init("flush-all"))?;
        run(self, &init("start")).map(drop)
    }

    fn ufw_frame6(&mut self) -> Result<String, SystemError> {
        let words = ["unshare", "--net", "--", "sh", "-c", UFW_APART];
        Ok(rules_only(&run(self, &Command::asking(&words, ASK_LIMIT))?.text))
    }

    fn run_aloud(
        &mut self,
        command: &Command,
        said: &mut dyn FnMut(&str),
    ) -> Result<Output, SystemError> {
        child::run(command, said)
    }

    fn end_all_in(&mut self, folder: &str) -> Result<(), SystemError> {
        child::end_all_in(Path::new(folder))
    }

    fn program(&mut self) -> Result<String, SystemError> {
        own_program()
    }

    fn probe(&mut self, probe: &Probe) -> Result<(), String> {
        probe::ask(probe)
    }
}

/// `iptables-save` shares its output with warnings about other tables; only rules go back in.
fn rules_only(text: &str) -> String {
    let is_rule = |line: &&str| line.starts_with(['*', ':', '-', '[']) || line.trim() == "COMMIT";
    text.lines().filter(is_rule).flat_map(|line| [line, "\n"]).collect()
}
