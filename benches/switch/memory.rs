//! What `stackc-guest` takes on a guest: bytes of its file, memory in a switch.

use crate::guests::Guests;
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

const FILES: usize = 500;
/// Between two looks. A process that lives shorter is none that does much.
const PAUSE: Duration = Duration::from_millis(2);

pub fn guest_binary_bytes(guests: &Guests) -> u64 {
    let path = "/usr/local/lib/stackc/*/stackc-guest";
    guests.say(&format!("stat -c %s {path} | sort -n | tail -n 1")).parse().expect("it is a number")
}

/// The most memory that a process of the guest's binary had at once in an activation of many files, in KiB. Guests are
/// containers, so that their processes are this machine's too. Source: proc(5), `VmHWM`.
pub fn peak_of_a_switch(guests: &Guests) -> u64 {
    guests.define("many", FILES);
    let done = AtomicBool::new(false);
    let peak = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(Ordering::Relaxed) {
                peak = peak.max(resident());
                thread::sleep(PAUSE);
            }
            peak
        });
        guests.activate(1);
        done.store(true, Ordering::Relaxed);
        watch.join().expect("looking does not fail")
    });
    assert!(peak > 0, "it was seen at work");
    peak
}

/// The most of any that runs now.
fn resident() -> u64 {
    let processes = fs::read_dir("/proc").expect("Linux has it").flatten();
    let statuses = processes.filter_map(|process| {
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        status.starts_with("Name:\tstackc-guest\n").then_some(status)
    });
    let peak = |status: String| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    statuses.filter_map(peak).max().unwrap_or(0)
}
