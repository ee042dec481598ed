//! What happens to a guest while a command changes it, and to no wire: its processes, its power, its network, its app.

use crate::{
    dice::Dice,
    faults_moment::Moment,
    faults_process::Ended,
    faults_tiny::{RUN_LIMIT, Run, Tiny},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// How long a call of the guest's binary is waited for.
const CALL: Duration = Duration::from_secs(2);
/// A network is away for so many seconds at most; the guest waits 15 for its confirm.
const AWAY_SECONDS_MAX: usize = 60;
/// From a moment to longer than a switch and its undo take.
const FULL_MS_MAX: usize = 20_000;
/// From the line that begins a step.
const DELAY_MS_MAX: usize = 1_200;

/// An accident, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accident {
    pub what: What,
    pub moment: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// Whatever of the guest's binary runs is killed, by the machine below it.
    Kill,
    /// Every process of the guest ends at once, and it boots after this.
    Power(Duration),
    /// Packets vanish in both directions for this long.
    Network(Duration),
    /// What was not written to the disk is lost with the power.
    Loss,
    /// No block of the disk is free for this long.
    Full(Duration),
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "guest's process killed",
            Self::Power(_) => "power cut",
            Self::Network(_) => "network away",
            Self::Loss => "power lost with all caches",
            Self::Full(_) => "disk full",
        }
    }
}

impl Accident {
    /// One of each sort in turn, in a step and after a time by lot.
    pub fn by_lot(dice: &mut Dice, steps: usize, number: usize) -> Self {
        let ms = |ms: usize| Duration::from_millis(u64::try_from(ms).expect("it is short"));
        let what = match number % 5 {
            0 => What::Kill,
            1 => What::Power(ms(dice.roll(3_000))),
            2 => What::Loss,
            3 => What::Full(ms(dice.roll(FULL_MS_MAX))),
            _ => What::Network(ms(1_000 * (1 + dice.roll(AWAY_SECONDS_MAX)))),
        };
        let moment = Moment { step: dice.roll(steps), delay: ms(dice.roll(DELAY_MS_MAX)) };
        Self { what, moment }
    }

    /// Runs a command, and has the accident happen; whether that was before the command was over.
    pub fn strike(self, tiny: &Tiny<'_>, run: &Run) -> (Ended, bool) {
        let mut operator = run.start(tiny);
        let reached = self.moment.comes(tiny, &mut operator);
        let hit = reached && self.what.happens(tiny);
        (operator.finish(RUN_LIMIT), hit)
    }
}

impl What {
    fn happens(self, tiny: &Tiny<'_>) -> bool {
        match self {
            Self::Kill => {
                let until = Instant::now() + CALL;
                while !tiny.kill_calls() {
                    if Instant::now() > until {
                        return false;
                    }
                    thread::sleep(Duration::from_millis(2));
                }
            }
            Self::Power(dark) => {
                tiny.switch_off();
                thread::sleep(dark);
                tiny.switch_on();
            }
            Self::Loss => tiny.lose_power(),
            Self::Full(long) => {
                tiny.fill_disk();
                thread::sleep(long);
                tiny.clear_disk();
            }
            Self::Network(away) => {
                tiny.pull_cable();
                thread::sleep(away);
                tiny.plug_cable();
            }
        }
        true
    }
}

/// While this is on the guest, the flaws of its versions show.
pub const FLAWED: &str = "/run/flawed";

/// What is wrong with a version that compiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    UnitFails,
    UnitCrashes,
    UnitHangsInStart,
    UnitHangsInStop,
    HookHangs,
    HookLocksOut,
}

impl Flaw {
    pub const ALL: [Self; 6] = [
        Self::UnitFails,
        Self::UnitCrashes,
        Self::UnitHangsInStart,
        Self::UnitHangsInStop,
        Self::HookHangs,
        Self::HookLocksOut,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::UnitFails => "unit fails",
            Self::UnitCrashes => "unit crash-loops",
            Self::UnitHangsInStart => "unit hangs in start",
            Self::UnitHangsInStop => "unit hangs in stop",
            Self::HookHangs => "hook hangs",
            Self::HookLocksOut => "hook locks out",
        }
    }

    /// The unit with this flaw.
    pub fn unit(self, text: &str) -> String {
        let start = "ExecStart=/usr/bin/python3 /srv/app/web/built.py\n";
        let instead = |flaw: &str| {
            format!(
                "ExecStart=/bin/sh -c '{}; exec /usr/bin/python3 /srv/app/web/built.py'\n",
                shown(flaw)
            )
        };
        let with = |lines: &str| text.replace(start, lines);
        match self {
            Self::UnitFails => with(&instead("exit 1")),
            Self::UnitCrashes => {
                with(&(instead("{ sleep 0.4; exit 1; }") + "Restart=always\nRestartSec=100ms\n"))
            }
            Self::UnitHangsInStart => with(&format!(
                "TimeoutStartSec=5\nExecStartPre=/bin/sh -c '{}'\n{start}",
                shown("sleep 300")
            )),
            Self::UnitHangsInStop => {
                with(&format!("{start}ExecStop=/bin/sh -c '{}'\n", shown("sleep 300")))
            }
            Self::HookHangs | Self::HookLocksOut => text.to_owned(),
        }
    }

    /// The hook with this flaw, as the definitions have it.
    pub fn hook(self) -> String {
        let script = match self {
            Self::HookHangs => "sleep 300",
            Self::HookLocksOut => "iptables -I INPUT -p tcp --dport 22 -j DROP",
            // What hangs in its stop only has to when its switch is undone.
            Self::UnitHangsInStop => "exit 1",
            _ => return String::new(),
        };
        format!(
            "[project.hooks.flaw]\nwhen = \"after_switch\"\nrun = [\"/bin/sh\", \"-c\", \"{}\"]\ntimeout_seconds = 3\n",
            shown(script)
        )
    }
}

/// What happens only once a flaw is to show: a version to which nobody may go back was well when it went live.
fn shown(flaw: &str) -> String {
    format!("[ ! -e {FLAWED} ] || {flaw}")
}
