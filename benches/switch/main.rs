//! What a switch costs on real guests, each beside a yardstick of the same run: nothing to do beside as many cold
//! `ssh guest true`, one changed value beside nothing to do, a first activation beside one script that does the same by
//! hand. Some ten minutes; ends with 1 when an aim was missed.
//!
//! It needs root: it makes a lab of its own with 20 guests, and takes it down.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs programs on real guests")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../figures/mod.rs"]
mod figures;
mod first;
mod guests;
mod memory;
mod runs;
mod served;
mod value;

use figures::Figure;
use guests::Guests;
use runs::{in_turn, time};
use std::{process::ExitCode, time::Duration};

/// As many guests at once.
const COUNTS: [usize; 3] = [1, 4, guests::MANY];
/// How long `stackc-guest` may be, in bytes, and what it may take at most.
const SIZE_MAX: u64 = 3 << 20;
const MEMORY_KIB_MAX: u64 = 30 << 10;

/// What was measured, and what was missed of it.
#[derive(Default)]
struct Report {
    missed: Vec<String>,
}

fn main() -> ExitCode {
    let guests = Guests::up();
    let mut report = Report::default();
    println!("{:<58}{:>12}{:>10}{:>6}  at most", "", "median", "ratio", "runs");
    let noop = nothing_to_do(&guests, &mut report);
    value::change(&guests, noop, &mut report);
    value::lose_nothing(&guests, &mut report);
    first::activation(&guests, &mut report);
    memory(&guests, &mut report);
    for missed in &report.missed {
        println!("missed: {missed}");
    }
    if report.missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns what it takes for one guest.
fn nothing_to_do(guests: &Guests, report: &mut Report) -> Figure {
    let times = COUNTS.map(|count| {
        let [ssh, noop] =
            in_turn(|| time(|| guests.ssh_true(count)), || time(|| guests.activate(count)));
        report.beside(&format!("ssh guest true, {count} at once"), ssh, ssh, None);
        report.beside(&format!("nothing to do, {count} at once"), noop, ssh, Some(1.3));
        noop
    });
    times[0]
}

fn memory(guests: &Guests, report: &mut Report) {
    let bytes = memory::guest_binary_bytes(guests);
    report.limit("stackc-guest, bytes", bytes, SIZE_MAX);
    let kib = memory::peak_of_a_switch(guests);
    report.limit("stackc-guest, KiB at once in a switch of 500 files", kib, MEMORY_KIB_MAX);
}

impl Report {
    /// A time, as a ratio to a yardstick; `most` is what the ratio may be.
    fn beside(&mut self, what: &str, time: Figure, yardstick: Figure, most: Option<f64>) {
        let ratio = time.median.as_secs_f64() / yardstick.median.as_secs_f64();
        let aim = most.map_or_else(String::new, |most| format!("{most} ×"));
        line(what, time, &format!("{ratio:.2}"), &aim);
        if most.is_some_and(|most| ratio > most) {
            self.missed.push(format!("{what}: {ratio:.2} × and not {aim}"));
        }
    }

    /// A time by itself; `most` is what it may be beyond `floor`.
    fn beyond(&mut self, what: &str, time: Figure, floor: Figure, most: Option<Duration>) {
        let over = time.median.saturating_sub(floor.median);
        let told = format!("+{} ms", over.as_millis());
        let aim = most.map_or_else(String::new, |most| format!("+{} ms", most.as_millis()));
        line(what, time, &told, &aim);
        if most.is_some_and(|most| over > most) {
            self.missed.push(format!("{what}: {told} and not {aim}"));
        }
    }

    fn limit(&mut self, what: &str, found: u64, most: u64) {
        println!("{what:<58}{found:>12}{:>10}{:>6}  {most}", "", "");
        if found > most {
            self.missed.push(format!("{what}: {found} and not {most}"));
        }
    }
}

fn line(what: &str, Figure { median, runs }: Figure, beside: &str, aim: &str) {
    let milliseconds = format!("{:.1} ms", median.as_secs_f64() * 1000.0);
    println!("{}", format!("{what:<58}{milliseconds:>12}{beside:>10}{runs:>6}  {aim}").trim_end());
}
