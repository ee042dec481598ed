//! What a newcomer may ask this project to show, against what its result files have.

use crate::fault_summary::{Counts, Run, Sort, Summary, Times, Verdict, states};
use std::collections::{BTreeMap, BTreeSet};

/// Result files by name.
pub type Summaries = BTreeMap<String, Summary>;

/// One question, and when it is answered.
pub struct Ask {
    pub what: &'static str,
    /// Faults as their sorts name them, up to a colon.
    faults: &'static [&'static str],
    enough: Enough,
}

/// When there is enough of something.
#[derive(Clone, Copy)]
enum Enough {
    /// Runs that took every place and were not stopped, of each of these calls, on each of these and in so many sizes.
    Everywhere { calls: &'static [&'static str], on: &'static [&'static str], sizes: usize },
    /// Runs that took every place and were not stopped, and so many states.
    Each { least: u64 },
    /// So many states on this, or wherever they were when it is empty.
    States { least: u64, on: &'static str },
    /// This was measured so often, and its median and its longest are no longer.
    Milliseconds { what: &'static str, least: usize, median: u64, longest: u64 },
}

const DISKS: &[&str] = &["ext4", "xfs"];
const CALLS: &[&str] =
    &["receive", "secrets", "begin", "switch", "confirm", "undo", "recover", "gc"];
/// What a boot has to end.
const OPEN: &[&str] = &["begin", "switch", "confirm", "undo", "recover"];
const ACCIDENTS: &[&str] = &["accident", "flaw"];

pub const ASKS: [Ask; 19] = [
    Ask {
        what: "The guest's binary is killed at every system call with one file, and at every one that changes something with 10 \
               and 100: of a switch and all before and after it, undo, recovery, gc, and while secrets come",
        faults: &["kill", "kill, then boot"],
        enough: Enough::Everywhere { calls: CALLS, on: DISKS, sizes: 3 },
    },
    Ask {
        what: "The power is cut at each of them",
        faults: &["power cut"],
        enough: Enough::Everywhere { calls: CALLS, on: DISKS, sizes: 3 },
    },
    Ask {
        what: "After a crash at some calls, as the title of the run says, the recovery is crashed at every third system call, \
               and some a third time",
        faults: &["crashed again"],
        enough: Enough::Everywhere { calls: OPEN, on: DISKS, sizes: 1 },
    },
    Ask {
        what: "A power cut on a disk that keeps only what POSIX promises: disks that differ",
        faults: &["weak disk"],
        enough: Enough::States { least: 100_000, on: "" },
    },
    Ask {
        what: "Each fsync, rename and journal write of the guest's code is left out: a tester sees it, or it is shown to make \
               no difference",
        faults: &["left out"],
        enough: Enough::Each { least: 200 },
    },
    Ask {
        what: "No block or no inode left (ext4), at every level from none to enough; no quota left from every call on that takes \
               room",
        faults: &["no block left", "no inode left", "quota used up"],
        enough: Enough::Each { least: 300 },
    },
    Ask {
        what: "The disk fails, turns read-only; the kernel kills for want of memory",
        faults: &["input/output error", "read-only half-way", "out of memory"],
        enough: Enough::Each { least: 1_000 },
    },
    Ask {
        what: "Real guests, Debian 12: kill, power, network cut, full disk, units that fail, crash, hang",
        faults: ACCIDENTS,
        enough: Enough::States { least: 400, on: "Debian 12" },
    },
    Ask {
        what: "Real guests, Debian 13: the same",
        faults: ACCIDENTS,
        enough: Enough::States { least: 100, on: "Debian 13" },
    },
    Ask {
        what: "Real guests: SSH and the API are cut in every phase and all over the bytes of both directions, \
               and the operator's own process is killed",
        faults: &["SSH cut", "API cut", "operator killed"],
        enough: Enough::States { least: 500, on: "" },
    },
    Ask {
        what: "Two operators race for one guest: exactly one wins",
        faults: &["two operators"],
        enough: Enough::States { least: 1_000, on: "a folder" },
    },
    Ask {
        what: "… also on a real guest, each by his own `stackc activate`",
        faults: &["two operators"],
        enough: Enough::States { least: 50, on: "Debian 12" },
    },
    Ask {
        what: "The confirm comes at the moment of the deadline: one decision",
        faults: &["confirm at the deadline"],
        enough: Enough::States { least: 1_000, on: "a folder" },
    },
    Ask {
        what: "… also on a real guest",
        faults: &["confirm at the deadline"],
        enough: Enough::States { least: 50, on: "Debian 12" },
    },
    Ask {
        what: "Real guests: lock-outs that get past the compiler, reachable again within 5 s of the deadline",
        faults: &["lock-out"],
        enough: Enough::States { least: 20, on: "" },
    },
    Ask {
        what: "… and the longest of them was no later",
        faults: &[],
        enough: Enough::Milliseconds { what: LET_IN, least: 20, median: 5_000, longest: 5_000 },
    },
    Ask {
        what: "Real guests: a failure that is seen is undone within 3 s (median) and 10 s (longest)",
        faults: &[],
        enough: Enough::Milliseconds { what: SERVES, least: 50, median: 3_000, longest: 10_000 },
    },
    Ask {
        what: "Real guest, random changes: files, units and rules differ in what the plan said, line by line (`docs/volatile.md`)",
        faults: &["no fault, against its plan"],
        enough: Enough::States { least: 200, on: "" },
    },
    Ask {
        what: "Real guests: new connections while the firewall changes, is enabled first and goes back, none lost",
        faults: &["new connection"],
        enough: Enough::States { least: 1_000, on: "" },
    },
];

/// What is measured, as its tests and its page name it.
pub const LET_IN: &str = "from the guest's own deadline to a fresh login";
pub const SERVES: &str = "from a failure to the old generation's answer";

/// What there is of one ask.
pub struct Shown<'a> {
    rows: Vec<(&'a Run, &'a Sort, &'a Counts)>,
    times: Option<&'a Times>,
}

impl Ask {
    fn has(&self, sort: &Sort) -> bool {
        let on = match self.enough {
            Enough::States { on, .. } => on,
            _ => "",
        };
        self.faults.iter().any(|fault| sort.is_of(fault)) && sort.on.starts_with(on)
    }

    pub fn shown<'a>(&self, summaries: &'a Summaries) -> Shown<'a> {
        let mut shown = Shown { rows: Vec::new(), times: None };
        let of_now = summaries.values().filter(|summary| !summary.is_of_other_code);
        for Summary { run, counts, times, .. } in of_now {
            let rows = counts.iter().filter(|(sort, _)| self.has(sort));
            shown.rows.extend(rows.map(|(sort, counts)| (run, sort, counts)));
            if let Enough::Milliseconds { what, .. } = self.enough {
                shown.times = shown.times.or(times.iter().find(|times| times.what == what));
            }
        }
        shown
    }

    pub fn wanted(&self) -> String {
        match self.enough {
            Enough::Everywhere { on, sizes: 1, .. } => format!("each, on {}", on.join(" and ")),
            Enough::Everywhere { on, sizes, .. } => {
                format!("each, on {}, {sizes} sizes", on.join(" and "))
            }
            Enough::Each { least } => format!("each, at least {least}"),
            Enough::States { least, .. } => least.to_string(),
            Enough::Milliseconds { least, median, longest, .. } => {
                format!("{least} times, median {median} ms, longest {longest} ms")
            }
        }
    }

    /// What is missing; none when all is there.
    pub fn missing(&self, shown: &Shown) -> Option<String> {
        if shown.rows.is_empty() && shown.times.is_none() {
            return Some("not run".to_owned());
        }
        let is_run = |fault: &&&str| shown.rows.iter().any(|(_, sort, _)| sort.is_of(fault));
        if let Some(fault) = self.faults.iter().find(|fault| !is_run(fault)) {
            return Some(format!("not run: {fault}"));
        }
        match (self.enough, shown.times) {
            (Enough::Everywhere { calls, on, sizes }, _) => shown.missing_places(calls, on, sizes),
            (Enough::Each { .. }, _) if shown.is_part() => Some("not all of it".to_owned()),
            (Enough::Each { least } | Enough::States { least, .. }, _) => {
                let short = least.saturating_sub(shown.states());
                (short > 0).then(|| format!("{short} more"))
            }
            (Enough::Milliseconds { least, .. }, Some(times)) if times.count < least => {
                Some(format!("{} more", least - times.count))
            }
            (Enough::Milliseconds { median, longest, .. }, Some(times)) => {
                let is_late = times.median_ms > median || times.longest_ms > longest;
                is_late.then(|| "it takes longer".to_owned())
            }
            (Enough::Milliseconds { .. }, None) => Some("not run".to_owned()),
        }
    }
}

impl Shown<'_> {
    /// Those that a fault has met.
    fn states(&self) -> u64 {
        let all: u64 = self.rows.iter().map(|(.., counts)| states(counts)).sum();
        let late = self.rows.iter().filter_map(|(.., counts)| counts.get(&Verdict::TooLate));
        all - late.sum::<u64>()
    }

    pub fn failed(&self) -> u64 {
        self.rows.iter().filter_map(|(.., counts)| counts.get(&Verdict::Failed)).sum()
    }

    /// Whether a run of it was stopped, or took a sample.
    fn is_part(&self) -> bool {
        self.rows.iter().any(|(run, ..)| !run.ended || run.sample)
    }

    fn missing_places(&self, calls: &[&str], on: &[&str], sizes: usize) -> Option<String> {
        let whole = self.rows.iter().filter(|(run, ..)| run.ended && !run.sample);
        let whole: BTreeSet<(&str, &str, &str)> =
            whole.map(|(_, sort, _)| (&*sort.on, &*sort.size, &*sort.verb)).collect();
        let has = |on: &str, size: &str| calls.iter().all(|call| whole.contains(&(on, size, call)));
        let all: BTreeSet<&str> = whole.iter().map(|(_, size, _)| *size).collect();
        let is_met = |on: &&&str| all.iter().filter(|size| has(on, size)).count() >= sizes;
        let short: Vec<&str> = on.iter().filter(|place| !is_met(place)).copied().collect();
        (!short.is_empty()).then(|| format!("not all of it on {}", short.join(", ")))
    }

    pub fn run(&self) -> String {
        match self.times {
            Some(Times { count, median_ms, longest_ms, .. }) => {
                format!("{count}: median {median_ms} ms, longest {longest_ms} ms")
            }
            None => self.states().to_string(),
        }
    }
}
