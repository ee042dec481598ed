//! The way in while a switch is open, and what hooks and users put in the place of it: all of root's own comes back, and
//! nothing of a user's keeps a guest from its end.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::Folder;
use rustix::fs::{FlockOperation, fcntl_lock};
use stackc::model::{Phase, Switch, TxState};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

const TX: &str = "00000000000000a2";
const SSHD: &str = "/etc/ssh/sshd_config";
const OWN: &str = "/etc/ssh/sshd_config.d/10-stackc.conf";
const NSSWITCH: &str = "/etc/nsswitch.conf";
const SHADOW: &str = "/etc/shadow";
const LOCK: &str = "/etc/.pwd.lock";
/// Written by whoever holds that lock, just before they let go.
const OVER: &str = "/over";
const OPS: &str = "/home/ops";
const OPS_KEYS: &str = "/home/ops/.ssh/authorized_keys";
const ROOT_KEYS: &str = "/root/.ssh/authorized_keys";

/// A guest with two who log in, ready for the switch to its second generation.
fn ready() -> (Folder, Made, Switch) {
    let (folder, first, _) = Folder::on_first();
    let passwd = folder.text("/etc/passwd");
    folder
        .put("/etc/passwd", &format!("{passwd}ops:x:1000:1000::{OPS}:/bin/bash\nmail:x:8:8:::\n"));
    let group = folder.text("/etc/group");
    folder.put("/etc/group", &format!("{group}ops:x:1000:\nsudo:x:27:ops\nmail:x:8:\n"));
    folder.put(SHADOW, "root:*:19000::::::\nops:*:19000::::::\nmail:*:1::::::\n");
    folder.put("/etc/ssh/authorized_keys.d/ops", "ssh-ed25519 AAAA ops\n");
    folder.put(SSHD, "Port 22\n");
    folder.put(NSSWITCH, "passwd: files\n");
    folder.put("/etc/pam.d/sshd", "account required pam_unix.so\n");
    folder.put("/etc/security/limits.conf", "# none\n");
    folder.put("/etc/default/ssh", "SSHD_OPTS=\n");
    for home in ["/root", OPS] {
        folder.put(&format!("{home}/.ssh/authorized_keys"), "ssh-ed25519 AAAA desk\n");
        folder.put(&format!("{home}/.profile"), "umask 022\n");
    }
    let second = make(2, 60);
    let switch = second.switch(TX, 1, 2, &first.ledger());
    (folder, second, switch)
}

/// The same where the switch waits for its confirm, and how the way in was before.
fn waiting() -> (Folder, BTreeMap<PathBuf, String>) {
    let (folder, second, switch) = ready();
    let before = way_in(&folder);
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    (folder, before)
}

/// Everything in the folders of the way in, whatever bytes are in names and files.
fn way_in(folder: &Folder) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for top in ["/etc/ssh", "/etc/pam.d", "/etc/security", "/etc/default", "/root", "/home"] {
        walk(&folder.at(top), &mut found);
    }
    for file in [NSSWITCH, "/etc/passwd", SHADOW, "/etc/group"] {
        walk(&folder.at(file), &mut found);
    }
    found
}

fn walk(at: &Path, found: &mut BTreeMap<PathBuf, String>) {
    let stat = fs::symlink_metadata(at).expect("it is there");
    let what = if stat.is_symlink() {
        format!("-> {}", fs::read_link(at).expect("it is a link").display())
    } else if stat.is_dir() {
        for entry in fs::read_dir(at).expect("it is a folder") {
            walk(&entry.expect("it is listed").path(), found);
        }
        "folder".to_owned()
    } else {
        format!("{:?}", fs::read(at).expect("it is a file"))
    };
    let access = [stat.mode() & 0o7777, stat.uid(), stat.gid()];
    found
        .insert(at.to_owned(), if stat.is_symlink() { what } else { format!("{access:?} {what}") });
}

fn remove(at: &Path) {
    let is_folder = fs::symlink_metadata(at).expect("it is there").is_dir();
    let removed = if is_folder { fs::remove_dir_all(at) } else { fs::remove_file(at) };
    removed.expect("it is ours");
}

fn folder_instead(folder: &Folder, path: &str) {
    remove(&folder.at(path));
    folder.put(&format!("{path}/in/it"), "somebody's\n");
}

fn file_instead(folder: &Folder, path: &str) {
    remove(&folder.at(path));
    folder.put(path, "a file\n");
}

fn link_instead(folder: &Folder, path: &str, target: &str) {
    remove(&folder.at(path));
    symlink(target, folder.at(path)).expect("nothing is there");
}

/// What stands there is moved away, and a link leads to it.
fn moved_away(folder: &Folder, path: &str) {
    let aside = folder.at("/srv/aside");
    fs::create_dir_all(folder.at("/srv")).expect("it can be made");
    fs::rename(folder.at(path), &aside).expect("nothing is there");
    symlink(aside, folder.at(path)).expect("nothing is there");
}

fn set_mode(folder: &Folder, path: &str, mode: u32) {
    fs::set_permissions(folder.at(path), fs::Permissions::from_mode(mode)).expect("it is ours");
}

fn unnamed_file(folder: &Folder, path: &str) {
    let name = OsStr::from_bytes(b"\xff.conf");
    fs::write(folder.at(path).join(name), "AllowUsers nobody\n").expect("it can be written");
}

type Spoil = fn(&Folder);

const SPOILT: [(&str, Spoil); 22] = [
    ("a folder for a file", |f| folder_instead(f, SSHD)),
    ("a folder for a file of the switch", |f| folder_instead(f, OWN)),
    ("a file for a folder", |f| file_instead(f, "/etc/pam.d")),
    ("a file for a folder of the switch", |f| file_instead(f, "/etc/ssh/sshd_config.d")),
    ("a dangling link", |f| link_instead(f, NSSWITCH, "/nowhere")),
    ("a folder moved away behind a link", |f| moved_away(f, "/etc/ssh")),
    ("a link of root's home's folder", |f| link_instead(f, "/root/.ssh", "/etc")),
    ("a folder for root's keys", |f| folder_instead(f, ROOT_KEYS)),
    ("root's home moved away", |f| moved_away(f, "/root")),
    ("a home moved away", |f| moved_away(f, OPS)),
    ("a name that is no text", |f| unnamed_file(f, "/etc/ssh/sshd_config.d")),
    ("a name like ours", |f| f.put("/etc/ssh/sshd_config.d/0.stackc-1.conf", "Port 9\n")),
    ("accounts in a folder", |f| folder_instead(f, "/etc/passwd")),
    ("accounts behind a link", |f| link_instead(f, SHADOW, "/nowhere")),
    ("accounts that are gone", |f| remove(&f.at("/etc/group"))),
    ("accounts that nobody may read", |f| set_mode(f, "/etc/passwd", 0)),
    ("nobody in a group", |f| f.put("/etc/group", &f.text("/etc/group").replace("27:ops", "27:"))),
    ("a folder that nobody may pass", |f| set_mode(f, "/etc/pam.d", 0o700)),
    ("/etc that nobody may pass", |f| set_mode(f, "/etc", 0o700)),
    ("an empty file for names", |f| f.put(NSSWITCH, "")),
    ("a folder that is gone", |f| remove(&f.at("/etc/security"))),
    ("a folder that was not there", |f| f.put("/etc/hosts.deny/in/it", "")),
];

#[test]
fn whatever_stands_in_the_place_of_roots_way_in_is_removed_and_all_of_it_is_back() {
    for (what, spoil) in SPOILT {
        let (folder, before) = waiting();
        spoil(&folder);
        let state = folder.undo(TX);
        assert_eq!(state.phase, Phase::Undone, "{what}: {state:?}");
        assert_eq!(way_in(&folder), before, "{what}");
        assert!(!folder.at("/etc/hosts.deny").exists(), "{what}");
        assert_eq!(folder.at("/etc").metadata().expect("it is there").mode() & 0o7777, 0o755);
        let told = evidence(&state);
        assert!(told.contains("put back") || told.is_empty(), "{what}: {told}");
    }
}

#[test]
fn all_of_it_at_once_is_no_more_than_each_alone_and_what_stood_there_is_copied() {
    let (folder, before) = waiting();
    for path in [SSHD, NSSWITCH, ROOT_KEYS, "/etc/pam.d/sshd"] {
        folder_instead(&folder, path);
    }
    unnamed_file(&folder, "/etc/security");
    link_instead(&folder, "/etc/default/ssh", "/nowhere");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
    let copy = format!("/var/lib/stackc/drift/{TX}{SSHD}/in/it");
    assert_eq!(folder.text(&copy), "somebody's\n");
    assert!(state.drift_copies.contains(&copy), "{:?}", state.drift_copies);
}

#[test]
fn what_has_a_name_of_text_is_copied_beside_what_has_none_and_that_is_told() {
    let (folder, before) = waiting();
    let (by_hand, deep) = ("/etc/ssh/sshd_config.d/99-hand.conf", "/etc/pam.d/more/own");
    folder.put(by_hand, "# by hand\n");
    folder.put(deep, "# theirs\n");
    for unnamed in ["/etc/ssh/sshd_config.d", "/etc/pam.d/more"] {
        unnamed_file(&folder, unnamed);
    }
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
    for (path, text) in [(by_hand, "# by hand\n"), (deep, "# theirs\n")] {
        assert_eq!(folder.text(&format!("/var/lib/stackc/drift/{TX}{path}")), text);
    }
    let told = evidence(&state);
    for unnamed in ["/etc/ssh/sshd_config.d", "/etc/pam.d/more"] {
        let line = format!("removed without a copy: what has a name that is no text in {unnamed}");
        assert!(told.contains(&line), "{told}");
    }
}

fn evidence(state: &TxState) -> String {
    state.failure.as_ref().map(|failure| failure.evidence.join("\n")).unwrap_or_default()
}

#[test]
fn what_a_user_keeps_from_coming_back_is_told_and_keeps_no_undo_from_its_end() {
    let (folder, _) = waiting();
    folder_instead(&folder, OPS_KEYS);
    folder.put(SSHD, "AllowUsers nobody\n");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(folder.text(&format!("{OPS_KEYS}/in/it")), "somebody's\n", "it is a user's own");
    assert_eq!(folder.text(SSHD), "Port 22\n", "root's way in does not wait for it");
    let told = evidence(&state);
    assert!(told.contains(&format!("not put back: `{OPS_KEYS}`")), "{told}");
}

#[test]
fn no_link_of_a_user_is_followed_and_their_files_come_back_in_its_place() {
    let (folder, before) = waiting();
    folder.put("/srv/theirs/authorized_keys", "not ours\n");
    link_instead(&folder, "/home/ops/.ssh", "/srv/theirs");
    link_instead(&folder, "/home/ops/.profile", "/etc/shadow");
    let shadow = folder.text(SHADOW);
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
    assert_eq!(folder.text("/srv/theirs/authorized_keys"), "not ours\n");
    assert_eq!(folder.text(SHADOW), shadow);
}

#[test]
fn what_users_have_in_their_homes_keeps_no_switch_from_its_begin() {
    let (folder, second, switch) = ready();
    link_instead(&folder, "/home/ops/.ssh", "/etc/ssh");
    folder.put("/home/ops/.bashrc", &"#".repeat(2 << 20));
    folder.put("/home/ops/.bash_login/in/it", "a folder\n");
    let before = way_in(&folder);
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    remove(&folder.at("/home/ops/.ssh"));
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
}

#[test]
fn files_that_are_no_text_and_rows_that_are_none_come_back_to_the_byte() {
    let (folder, second, switch) = ready();
    let blob: Vec<u8> = (0..=255).cycle().take(900 << 10).collect();
    fs::write(folder.at("/etc/ssh/blob"), &blob).expect("it can be written");
    let mut passwd = folder.text("/etc/passwd").into_bytes();
    passwd.extend(b"old:x:9:9:J\xf6rg::\n");
    fs::write(folder.at("/etc/passwd"), &passwd).expect("it can be written");
    let before = way_in(&folder);
    folder.switch_over(&second, &switch);
    fs::write(folder.at("/etc/ssh/blob"), b"\xfe").expect("it can be written");
    let others = passwd.iter().position(|byte| *byte == b'\n').expect("it has rows");
    let changed = [b"root:x:7:7::/:/bin/false", &passwd[others..]].concat();
    fs::write(folder.at("/etc/passwd"), &changed).expect("it can be written");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
}

#[test]
fn a_way_in_that_is_too_long_to_be_kept_is_refused_by_name_before_anything_changes() {
    let whole = "x".repeat(1 << 20);
    let one = [("/etc/ssh/long", format!("{whole}x"))];
    let many = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
    let many = many.map(|n| (format!("/etc/ssh/long{n}"), format!("{n}{}", &whole[1..])));
    let one = one.map(|(path, text)| (path.to_owned(), text));
    for (files, path) in [(one.to_vec(), "/etc/ssh/long"), (many.to_vec(), "/etc/ssh/long")] {
        let (folder, second, switch) = ready();
        for (path, text) in files {
            folder.put(&path, &text);
        }
        folder.prepare(TX, &second);
        let refusal = folder.begin(&switch).expect_err("it cannot go back to that");
        let told = refusal.message;
        assert!(
            told.contains(&format!("`{path}")) && told.contains("move it away first"),
            "{told}"
        );
        assert!(!folder.at(&format!("/var/lib/stackc/tx/{TX}")).exists());
    }
}

/// Holds the lock of accounts as passwd(1) does, for a while.
fn hold_accounts(folder: &Folder, time: Duration) -> std::process::Child {
    let file = folder.at(LOCK);
    fs::write(&file, "").expect("it can be written");
    // Of one process a second opening of the file would end the lock: another one holds it.
    let script = format!(
        "import fcntl, time\nf = open('{}', 'r+')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep({})\nopen('{}', 'w')",
        file.display(),
        time.as_secs_f64(),
        folder.at(OVER).display()
    );
    let mut python = std::process::Command::new("python3");
    let mut child = python
        .args(["-c", &script])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 can be run");
    let mut line = [0; 4];
    let stdout = child.stdout.as_mut().expect("it is piped");
    std::io::Read::read_exact(stdout, &mut line).expect("it holds the lock");
    child
}

fn lock_root(folder: &Folder) {
    let locked = folder.text(SHADOW).replace("root:*", "root:!");
    folder.put(SHADOW, &locked);
}

#[test]
fn accounts_are_written_under_their_lock_which_is_waited_for_and_not_for_ever() {
    for (held, is_told) in [(Duration::from_millis(800), false), (Duration::from_secs(30), true)] {
        let (folder, before) = waiting();
        lock_root(&folder);
        let mut holder = hold_accounts(&folder, held);
        let state = folder.undo(TX);
        let outlived = !folder.at(OVER).exists();
        holder.kill().expect("it is ours");
        holder.wait().expect("it ends");
        assert_eq!(state.phase, Phase::Undone, "{state:?}");
        assert_eq!(way_in(&folder), before);
        let told = evidence(&state);
        assert_eq!(
            told.contains("without their lock: somebody holds `/etc/.pwd.lock`"),
            is_told,
            "{told}"
        );
        assert_eq!(outlived, is_told, "who was at work came to their end first");
        let file = fs::File::open(folder.at(LOCK)).expect("it is there");
        fcntl_lock(&file, FlockOperation::NonBlockingLockShared).expect("it is free again");
    }
}

#[test]
fn a_lock_of_accounts_that_cannot_be_had_at_all_is_told_and_no_more() {
    let (folder, before) = waiting();
    lock_root(&folder);
    folder.put(&format!("{LOCK}/in/it"), "a folder\n");
    let state = folder.undo(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(way_in(&folder), before);
    let told = evidence(&state);
    assert!(told.contains("without their lock: cannot lock"), "{told}");
}

#[test]
fn a_door_that_cannot_be_put_back_after_a_reboot_keeps_no_unit_of_the_old_generation_down() {
    let (folder, _) = waiting();
    folder.put(SSHD, "AllowUsers nobody\n");
    remove(&folder.at(&format!("/var/lib/stackc/tx/{TX}/way-in-texts")));
    folder.boot();
    folder.command(&["recover"]).output().expect("it can be run");
    let jobs = folder.system().jobs;
    let reloaded = jobs.iter().position(|job| job == "daemon-reload").expect("it reads again");
    assert!(jobs[reloaded..].contains(&"startlater app.service".to_owned()), "{jobs:?}");
    let state = folder.result(TX);
    assert_ne!(state.phase, Phase::Undone, "the door is not as it was");
    let told = evidence(&state);
    assert!(
        told.contains("the way in is not as before: ") && told.contains("way-in-texts"),
        "{told}"
    );
}
