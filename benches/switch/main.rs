//! What a switch costs on real guests, each beside a yardstick of the same run: nothing to do beside as many cold
//! `ssh guest true`, one changed value beside nothing to do, a first activation beside one script that does the same by
//! hand. Some ten minutes; ends with 1 when an aim was missed. With `STACKC_WRITE=1` what it shows becomes `docs/speed.md`.
//!
//! It needs root: it makes a lab of its own with 20 guests, and takes it down.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs programs on real guests")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../figures/mod.rs"]
mod figures;
mod first;
mod guests;
mod memory;
mod report;
mod runs;
mod served;
mod value;

use figures::Figure;
use guests::Guests;
use report::Report;
use runs::{in_turn, time};
use std::{process::ExitCode, time::Instant};

/// As many guests at once.
const COUNTS: [usize; 3] = [1, 4, guests::MANY];
/// How long `stackc-guest` may be, in bytes, and what it may take at most.
const SIZE_MAX: u64 = 3_000_000;
const MEMORY_KIB_MAX: u64 = 30 << 10;

fn main() -> ExitCode {
    let started = Instant::now();
    let guests = Guests::up();
    let mut report = Report::begin();
    let noop = nothing_to_do(&guests, &mut report);
    value::change(&guests, noop, &mut report);
    value::lose_nothing(&guests, &mut report);
    first::activation(&guests, &mut report);
    memory(&guests, &mut report);
    report.end(started.elapsed())
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
