//! The real binary killed at its state-changing system calls: each time the guest is whole, old or new, and converges.

use crate::guest_fixture::{
    BINARY, Folder, Made, caller, feed, identity, input, make, messages, name, reply,
};
use stackc::model::protocol::{BeginRequest, ConfirmRequest, Done, Refusal, UndoRequest};
use stackc::model::{Ledger, Phase, Switch, TxState};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Every system call that changes a file, its name or its access, or makes it durable.
const SYSCALLS: [&str; 13] = [
    "write",
    "renameat",
    "renameat2",
    "linkat",
    "unlinkat",
    "symlinkat",
    "mkdirat",
    "fsync",
    "fdatasync",
    "syncfs",
    "fchmod",
    "fchownat",
    "copy_file_range",
];
const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";

/// How many calls are passed over between two kills; `STACKC_KILLS=all` kills at each one.
fn stride() -> usize {
    if std::env::var("STACKC_KILLS").as_deref() == Ok("all") { 1 } else { 5 }
}

type Picture = BTreeMap<String, String>;

/// A guest on generation 1 and the way to generation 2.
struct Story {
    start: Folder,
    made: Made,
    owned: Ledger,
    switch: Switch,
    old: Picture,
    new: Picture,
}

impl Story {
    fn new() -> Self {
        let (start, first, _) = Folder::on_first();
        let made = make(2, 60);
        let switch = made.switch(TX, 1, 2, &first.ledger());
        let old = start.picture();
        let done = start.copy();
        done.activate(&made, &switch);
        let new = done.picture();
        Self { start, made, owned: first.ledger(), switch, old, new }
    }

    fn begin(&self) -> Vec<u8> {
        let request = BeginRequest { caller: caller(TX), switch: self.switch.clone() };
        input(&request, &[])
    }

    fn confirm(&self) -> Vec<u8> {
        let (tx, nonce) = (self.switch.tx.clone(), self.switch.nonce.clone());
        input(&ConfirmRequest { identity: identity(), tx, nonce }, &[])
    }

    /// The guest is whole on one of the two, with nothing half-made left.
    fn is_new(&self, folder: &Folder, at: &str) -> bool {
        let picture = folder.picture();
        let is_new = picture["current"] == self.new["current"];
        assert_eq!(&picture, if is_new { &self.new } else { &self.old }, "{at}: torn");
        is_new
    }

    /// The same activation again, by a new transaction, ends on the new version.
    fn converges(&self, folder: &Folder, at: &str) {
        if self.is_new(folder, at) {
            return;
        }
        folder.prepare(NEXT_TX, &self.made);
        let last = folder.observe(self.made.bundle.digest).last_number.0;
        let switch = self.made.switch(NEXT_TX, 1, last + 1, &self.owned);
        folder.activate(&self.made, &switch);
        let mut picture = folder.picture();
        picture.insert("current".to_owned(), self.new["current"].clone());
        assert_eq!(picture, self.new, "{at}: does not converge");
    }
}

/// Runs a call and kills it as it enters its `number`th `syscall`; false when it has fewer of them.
fn killed(folder: &Folder, words: &[&str], bytes: &[u8], syscall: &str, number: usize) -> bool {
    let inject = format!("inject={syscall}:signal=SIGKILL:when={number}");
    let mut command = Command::new("strace");
    command.args([
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={syscall}"),
        "-e",
        &inject,
    ]);
    command.arg(BINARY).arg("--root").arg(folder.dir.path()).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("strace is installed: apt-get install strace");
    let _unread = std::io::Write::write_all(&mut child.stdin.take().expect("it is piped"), bytes);
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!told.contains("strace:"), "{told}");
    output.status.signal() == Some(9)
}

/// Kills a call at each number in turn, on a fresh copy of `from`, and judges what is left.
fn each_kill(from: &Folder, words: &[&str], bytes: &[u8], judge: impl Fn(&Folder, &str)) -> usize {
    let mut kills = 0;
    for (offset, syscall) in SYSCALLS.into_iter().enumerate() {
        for number in (1 + offset % stride()..).step_by(stride()) {
            let folder = from.copy();
            if !killed(&folder, words, bytes, syscall, number) {
                break;
            }
            judge(&folder, &format!("{words:?} killed at {syscall} {number}"));
            kills += 1;
        }
    }
    kills
}

fn recover(folder: &Folder) {
    folder.boot();
    let output = folder.command(&["recover"]).output().expect("it can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_no_leftovers(folder.dir.path());
}

fn assert_no_leftovers(root: &Path) {
    let found = Command::new("find")
        .arg(root)
        .args(["-name", "*stackc-0*", "-o", "-name", ".tmp-*", "-o", "-name", ".gone-*"])
        .output();
    let found = found.expect("find can be run").stdout;
    assert!(found.is_empty(), "left over: {}", String::from_utf8_lossy(&found));
}

fn again(folder: &Folder, words: &[&str], bytes: &[u8]) -> TxState {
    let state: Result<TxState, Refusal> =
        reply(&feed(folder.command(words), bytes)).expect("it answers");
    state.unwrap_or_else(|refusal| panic!("{words:?} again: {refusal:?}"))
}

#[test]
fn guest_killed_in_any_message_before_the_switch_converges_by_the_same_message() {
    let story = Story::new();
    let mut before = story.start.copy();
    let mut kills = 0;
    for (verb, request, more) in messages(TX, &story.made) {
        let bytes = [request, more].concat();
        kills += each_kill(&before, &[verb], &bytes, |folder, at| {
            assert!(!story.is_new(folder, at));
            let rebooted = folder.copy();
            recover(&rebooted);
            story.converges(&rebooted, at);
            story.converges(folder, at);
        });
        before = before.copy();
        feed(before.command(&[verb]), &bytes);
    }
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn guest_killed_in_begin_is_on_the_old_generation_and_the_same_begin_goes_on() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    let bytes = story.begin();
    let kills = each_kill(&before, &["begin"], &bytes, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        story.converges(&rebooted, at);
        let done: Result<Done, Refusal> =
            reply(&feed(folder.command(&["begin"]), &bytes)).expect("it answers");
        done.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
        folder.run_switch(TX);
        assert_eq!(again(folder, &["confirm"], &story.confirm()).phase, Phase::Confirmed);
        assert!(story.is_new(folder, at));
    });
    assert!(kills > 10, "only {kills} kills");
}

#[test]
fn guest_killed_in_the_switch_is_whole_whether_it_boots_or_its_service_ends() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    let running = before.running();
    let kills = each_kill(&before, &["switch", TX], &[], |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        story.converges(&rebooted, at);
        folder.command(&["switch-ended", TX]).output().expect("it can be run");
        let state = again(folder, &["confirm"], &story.confirm());
        assert_eq!(state.phase == Phase::Confirmed, story.is_new(folder, at), "{state:?}");
        if state.phase != Phase::Confirmed {
            assert_eq!(state.phase, Phase::Undone, "{at}");
            assert_eq!(folder.running(), running, "{at}");
        }
        story.converges(folder, at);
        assert_no_leftovers(folder.dir.path());
    });
    assert!(kills > 8, "only {kills} kills");
}

#[test]
fn guest_killed_in_confirm_or_undo_keeps_the_one_decision() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    before.run_switch(TX);
    let confirm = story.confirm();
    let confirms = each_kill(&before, &["confirm"], &confirm, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        let phase = again(&rebooted, &["confirm"], &confirm).phase;
        assert_eq!(phase == Phase::Confirmed, story.is_new(&rebooted, at), "{at}");
        story.converges(&rebooted, at);
        assert_eq!(again(folder, &["confirm"], &confirm).phase, Phase::Confirmed, "{at}");
        assert!(story.is_new(folder, at));
    });
    let request = UndoRequest { identity: identity(), tx: name(TX), who: "ops@desk".to_owned() };
    let undo = input(&request, &[]);
    let undos = each_kill(&before, &["undo"], &undo, |folder, at| {
        let rebooted = folder.copy();
        recover(&rebooted);
        assert!(!story.is_new(&rebooted, at));
        assert_eq!(again(folder, &["undo"], &undo).phase, Phase::Undone, "{at}");
        assert!(!story.is_new(folder, at));
        story.converges(folder, at);
        assert_no_leftovers(folder.dir.path());
    });
    assert!(confirms > 1 && undos > 5, "only {confirms} and {undos} kills");
}

#[test]
fn guest_killed_in_recovery_recovers_at_the_next_boot() {
    let story = Story::new();
    let before = story.start.copy();
    before.prepare(TX, &story.made);
    feed(before.command(&["begin"]), &story.begin());
    before.run_switch(TX);
    before.boot();
    let kills = each_kill(&before, &["recover"], &[], |folder, at| {
        recover(folder);
        assert!(!story.is_new(folder, at));
        story.converges(folder, at);
    });
    assert!(kills > 5, "only {kills} kills");
}

#[test]
fn guest_killed_while_it_mends_its_live_tree_never_lacks_it() {
    let (damaged, first, _) = Folder::on_first();
    let tree = format!("/var/lib/stackc/store/{}", first.bundle.digest);
    damaged.put(&format!("{tree}/rootfs/usr/local/bin/app"), "#!/bin/sh\necho 9\n");
    let (verb, request, more) = messages(TX, &first).swap_remove(0);
    let bytes = [request, more].concat();
    let mut kills = 0;
    for syscall in ["renameat", "renameat2", "unlinkat", "syncfs", "fsync"] {
        for number in 1.. {
            let folder = damaged.copy();
            if !killed(&folder, &[verb], &bytes, syscall, number) {
                break;
            }
            kills += 1;
            let at = format!("killed at {syscall} {number}");
            assert!(folder.at(&tree).join("rootfs/usr/local/bin/app").is_file(), "{at}: missing");
            let done: Done = reply(&feed(folder.command(&[verb]), &bytes))
                .and_then(Result::ok)
                .unwrap_or_else(|| panic!("{at}: not mended by the same call"));
            let text = folder.text(&format!("{tree}/rootfs/usr/local/bin/app"));
            assert_eq!(text, "#!/bin/sh\necho 1\n", "{at}: {done:?}");
            recover(&folder);
        }
    }
    assert!(kills > 10, "only {kills} kills");
}
