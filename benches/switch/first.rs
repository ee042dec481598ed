//! The first activation of a guest that has its packages already, beside one script that does the same by hand.

use crate::{
    Report,
    guests::{Guests, WEB, must},
    runs::in_turn,
    served,
};
use std::{
    fs::File,
    process::{Command, Stdio},
    time::Duration,
};

const AIM: f64 = 1.5;
const BY_HAND: &str = include_str!("by_hand.sh");
const AS_NEW: &str = include_str!("as_new.sh");
const LEAVE: &str = include_str!("leave.sh");
/// Links that `systemctl enable` makes are the script's own work.
const NOT_COPIED: &str = "*.wants";
const VALUE: &str = "first";

pub fn activation(guests: &Guests, report: &mut Report) {
    guests.define(VALUE, 0);
    guests.activate(1);
    pack(guests);
    let [by_hand, first] = in_turn(
        || {
            leave(guests);
            until_served(guests, || by_hand(guests))
        },
        || {
            guests.shell(AS_NEW);
            until_served(guests, || guests.activate(1))
        },
    );
    report.beside("one script over one cold ssh, to where it serves", by_hand, by_hand, None);
    report.beside("first activation, to where it serves", first, by_hand, Some(AIM));
}

fn until_served(guests: &Guests, work: impl FnOnce() + Send) -> Duration {
    assert_eq!(served::value(guests.address(), WEB), None, "the guest is as new");
    served::while_at((guests.address(), WEB), VALUE, work).0
}

/// Takes stackc off the guest, which is as it was found then, but for packages and users.
fn leave(guests: &Guests) {
    must(&mut guests.stackc(&["rollback", "--to", "0", "--yes", "bench/e0"]));
    guests.shell(LEAVE);
}

/// The bundle's own files as an archive.
fn pack(guests: &Guests) {
    let overlay = guests.workspace().join("out/guests/bench/e0/rootfs");
    let mut tar = Command::new("tar");
    tar.args(["cf", "files.tar", "--owner=0", "--group=0", "--exclude", NOT_COPIED, "-C"]);
    must(tar.arg(overlay).arg(".").current_dir(guests.workspace()));
}

fn by_hand(guests: &Guests) {
    let files = File::open(guests.workspace().join("files.tar")).expect("it was packed");
    let script = format!("bash -c '{BY_HAND}' by-hand {}", guests.network());
    let mut ssh = guests.ssh(guests.address(), &script);
    let done = ssh.stdin(files).stdout(Stdio::null()).output().expect("ssh runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
