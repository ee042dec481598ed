//! The most memory that a program had.

use std::{
    fs,
    process::{Child, Command},
    thread,
    time::Duration,
};

/// Between two looks. What a program takes in its last moment and never again may be missed; nothing here does that.
const PAUSE: Duration = Duration::from_micros(200);

/// Runs a program to its end: the most memory that was its own at once, in KiB. Source: proc(5), `VmHWM`.
pub fn peak_kib(command: &mut Command) -> u64 {
    let mut child = command.spawn().expect("the program runs");
    let mut peak = 0;
    while child.try_wait().expect("it is our child").is_none() {
        peak = peak.max(resident(&child).unwrap_or(0));
        thread::sleep(PAUSE);
    }
    peak
}

/// None once the program has ended.
fn resident(child: &Child) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
