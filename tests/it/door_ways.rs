//! Ways back of the way in that would shut somebody out themselves, or lose what is somebody else's.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, name};
use stackc::model::{Phase, Switch};
use std::fs;
use std::os::unix::fs::symlink;

const TX: &str = "00000000000000a2";
const OPS: &str = "ops:x:1000:1000::/home/ops:/bin/bash\n";
const OPS_KEYS: &str = "/home/ops/.ssh/authorized_keys";
const KEYS: &str = "ssh-ed25519 AAAA desk\n";

/// A guest on its first generation, and the switch to the second.
fn ready() -> (Folder, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    (folder, second, switch)
}

/// The same with more in it, where the switch waits for its confirm.
fn waiting(change: impl FnOnce(&Folder)) -> Folder {
    let (folder, second, switch) = ready();
    change(&folder);
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    folder
}

fn assert_undone(folder: &Folder) {
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
}

#[test]
fn a_guest_that_was_booting_when_a_switch_began_lets_users_in_when_it_is_undone() {
    let folder = waiting(|folder| folder.put("/run/nologin", "System is booting up.\n"));
    fs::remove_file(folder.at("/run/nologin")).expect("the boot is over");
    assert_undone(&folder);
    assert!(!folder.at("/run/nologin").exists());
    let folder = waiting(|_| {});
    folder.put("/run/nologin", "nobody\n");
    assert_undone(&folder);
    assert!(!folder.at("/run/nologin").exists(), "a hook's goes");
}

#[test]
fn what_would_shut_out_at_the_next_boot_only_goes_too() {
    const WANTS: &str = "/etc/systemd/system/multi-user.target.wants/ssh.service";
    const INTERFACES: &str = "/etc/network/interfaces";
    let folder = waiting(|folder| {
        folder.put(INTERFACES, "auto eth0\n");
        folder.put(WANTS, "");
        fs::remove_file(folder.at(WANTS)).expect("it is there");
        symlink("/lib/systemd/system/ssh.service", folder.at(WANTS)).expect("nothing is there");
    });
    fs::remove_file(folder.at(WANTS)).expect("it is there");
    folder.put(INTERFACES, "# nothing\n");
    let came =
        ["/etc/nftables.conf", "/etc/iptables/rules.v4", "/etc/systemd/system/default.target"];
    for path in came {
        folder.put(path, "out\n");
    }
    assert_undone(&folder);
    assert!(folder.at(WANTS).is_symlink());
    assert_eq!(folder.text(INTERFACES), "auto eth0\n");
    assert_eq!(came.map(|path| folder.at(path).exists()), [false; 3]);
}

#[test]
fn a_folder_that_was_removed_since_the_switch_took_something_out_of_it_keeps_no_undo_from_its_end()
{
    let folder = waiting(|_| {});
    let left = folder.at("/etc/profile.d/only-1.sh");
    assert!(!left.is_symlink(), "the first generation's alone");
    fs::remove_dir_all(folder.at("/etc/profile.d")).expect("it is there");
    assert_undone(&folder);
    assert!(left.is_symlink());
}

#[test]
fn who_has_keys_at_home_alone_is_let_in_again() {
    let folder = waiting(|folder| {
        let passwd = folder.text("/etc/passwd");
        folder.put("/etc/passwd", &format!("{passwd}{OPS}"));
        folder.put(OPS_KEYS, KEYS);
    });
    let passwd = folder.text("/etc/passwd");
    folder.put("/etc/passwd", &passwd.replace("/bin/bash", "/bin/false"));
    fs::remove_file(folder.at(OPS_KEYS)).expect("it is there");
    assert_undone(&folder);
    assert_eq!(folder.text(OPS_KEYS), KEYS);
    assert!(folder.text("/etc/passwd").contains(OPS));
}

#[test]
fn accounts_that_were_emptied_come_back_whole() {
    let (folder, second, switch) = ready();
    let passwd = format!("{}mail:x:8:8::/:/bin/sh\n", folder.text("/etc/passwd"));
    folder.put("/etc/passwd", &passwd);
    folder.switch_over(&second, &switch);
    folder.put("/etc/passwd", "");
    assert_undone(&folder);
    assert_eq!(folder.text("/etc/passwd"), passwd);
}

#[test]
fn files_of_a_user_take_no_room_from_what_has_to_be_kept() {
    let (folder, second, switch) = ready();
    let passwd = folder.text("/etc/passwd");
    folder.put("/etc/passwd", &format!("{passwd}ann:x:1000:1000::/home/ann:/bin/bash\n"));
    folder.put("/etc/ssh/authorized_keys.d/ann", KEYS);
    let files = [".bash_login", ".bash_profile", ".bashrc", ".profile"];
    let of_ssh = ["authorized_keys", "authorized_keys2", "environment", "rc"];
    let of_ssh = of_ssh.map(|file| format!(".ssh/{file}"));
    for (at, file) in files.into_iter().map(str::to_owned).chain(of_ssh).enumerate() {
        folder.put(&format!("/home/ann/{file}"), &at.to_string().repeat(1 << 20));
    }
    folder.prepare(TX, &second);
    folder.begin(&switch).expect("a user's own files are no reason to refuse");
}

#[test]
fn sshd_that_hangs_as_it_starts_is_begun_anew_and_not_waited_for() {
    let ssh = || name("ssh.service");
    let set = |folder: &Folder, active: &str| {
        folder.change_system(|state| {
            state.units.entry(ssh()).or_default().active = active.to_owned();
            state.jobs.clear();
        });
    };
    let folder = waiting(|folder| set(folder, "active"));
    set(&folder, "activating");
    assert_undone(&folder);
    let jobs = folder.system().jobs;
    let of_ssh: Vec<_> = jobs.iter().filter(|job| job.ends_with("ssh.service")).collect();
    assert_eq!(of_ssh[0], "restart ssh.service", "{jobs:?}");
}

#[test]
fn rules_of_others_that_a_start_of_ufw_flushes_are_there_after_it() {
    let (folder, second, switch) = ready();
    let theirs = "*filter\n:INPUT DROP [0:0]\n:f2b-sshd - [0:0]\n-A INPUT -p tcp -j f2b-sshd\n\
        -A f2b-sshd -s 203.0.113.9/32 -j REJECT\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n\
        -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination 10.1.0.2\nCOMMIT\n";
    folder.change_system(|state| {
        state.rules.v4 = theirs.to_owned();
        state.rules.v6 = theirs.replace("203.0.113.9/32", "2001:db8::9/128");
    });
    folder.activate(&second, &switch);
    let rules = folder.system().rules;
    for (rules, host) in [(rules.v4, "203.0.113.9/32"), (rules.v6, "2001:db8::9/128")] {
        for rule in ["-A INPUT -p tcp -j f2b-sshd", host, "--to-destination 10.1.0.2"] {
            assert!(rules.contains(rule), "{rule}: {rules}");
        }
    }
}
