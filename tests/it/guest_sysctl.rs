//! Kernel parameters that a file set, when the file leaves: their values of before are there again.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, name};
use stackc::model::{EntryPath, Phase};

const KEY: &str = "/proc/sys/net/core/somaxconn";
/// Does what systemd-sysctl does, in its folder.
const SYSCTL: &str = "#!/bin/sh
root=${0%/usr/lib/systemd/systemd-sysctl}
while read -r key _ value; do echo \"$value\" >\"$root/proc/sys/$key\" || exit 1; done <\"$root$1\"
";

/// A version with a file for sysctl.d.
fn with_sysctl(version: u32) -> Made {
    let mut made = make(version, 60);
    let path: EntryPath = name("rootfs/etc/sysctl.d/60-stackc.conf");
    let entries = &mut made.bundle.manifest.entries;
    let like = entries[&name::<EntryPath>("rootfs/usr/local/bin/app")].clone();
    entries.insert(path.clone(), like);
    made.set_file(path, "net.core.somaxconn = 2048\n");
    made
}

fn guest() -> (Folder, Made) {
    let (folder, first, _) = Folder::on_first();
    folder.put_program("/usr/lib/systemd/systemd-sysctl", SYSCTL);
    folder.put(KEY, "4096\n");
    (folder, first)
}

#[test]
fn guest_whose_parameter_leaves_has_its_value_of_before_again() {
    let (folder, first) = guest();
    let second = with_sysctl(2);
    folder.activate(&second, &second.switch("00000000000000a2", 1, 2, &first.ledger()));
    folder.put(KEY, "2048\n");
    // Another bundle that sets it as well takes nothing back.
    let third = with_sysctl(3);
    folder.activate(&third, &third.switch("00000000000000a3", 2, 3, &second.ledger()));
    assert_eq!(folder.text(KEY), "2048\n");
    let fourth = make(4, 60);
    folder.activate(&fourth, &fourth.switch("00000000000000a4", 3, 4, &third.ledger()));
    assert_eq!(folder.text(KEY), "4096\n");
    assert!(!folder.at("/run/stackc/sysctl.conf").exists());
}

#[test]
fn guest_that_goes_back_gives_up_what_the_new_generation_had_set() {
    let (folder, first) = guest();
    let second = with_sysctl(2);
    folder.switch_over(&second, &second.switch("00000000000000a2", 1, 2, &first.ledger()));
    folder.put(KEY, "2048\n");
    assert_eq!(folder.undo("00000000000000a2").phase, Phase::Undone);
    assert_eq!(folder.text(KEY), "4096\n");
}

#[test]
fn guest_whose_kernel_takes_no_value_back_goes_back_all_the_same_and_says_so() {
    let (folder, first) = guest();
    let second = with_sysctl(2);
    folder.switch_over(&second, &second.switch("00000000000000a2", 1, 2, &first.ledger()));
    folder.put_program("/usr/lib/systemd/systemd-sysctl", "#!/bin/sh\nexit 1\n");
    let state = folder.undo("00000000000000a2");
    assert_eq!(state.phase, Phase::Undone);
    let evidence = state.failure.expect("somebody asked for it").evidence;
    let told = evidence.iter().any(|line| line.starts_with("kernel parameters are not as before"));
    assert!(told, "{evidence:?}");
}
