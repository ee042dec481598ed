//! Hooks on a guest: when they run, what they see, and what their failure leaves.

use crate::guest_bundle::{Made, hooks, make};
use crate::guest_fixture::{Folder, caller, messages};
use stackc::model::protocol::{BundleRequest, Done, Refusal};
use stackc::model::{Hook, HooksDocument, Phase};
use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

const TX: &str = "00000000000000b2";
const NEXT_TX: &str = "00000000000000b3";
/// A hook that tells that it runs, and goes on for longer than any test waits.
const SLOW: &str = "echo $$ >child.new; mv child.new child; exec sleep 300";

/// A guest on generation 1 and version 2 with these hooks.
fn story(before: BTreeMap<String, Hook>, after: BTreeMap<String, Hook>) -> (Folder, Made, Made) {
    let (folder, first, _) = Folder::on_first();
    let mut made = make(2, 60);
    made.set_hooks(HooksDocument { before_switch: before, after_switch: after });
    for file in made.secrets.values_mut() {
        "TOKEN=swordfish\n".clone_into(&mut file.text);
    }
    (folder, first, made)
}

/// A program of the guest, and the command that runs it.
fn program<'a>(folder: &Folder, path: &'a str, script: &str) -> [&'a str; 1] {
    folder.put_program(path, &format!("#!/bin/sh\n{script}\n"));
    [path]
}

/// Everything before the hooks.
fn prepare(folder: &Folder, made: &Made) {
    let mut plain = make(2, 60);
    plain.bundle = made.bundle.clone();
    plain.secrets.clone_from(&made.secrets);
    assert_eq!(messages(TX, &plain).len(), 4, "none of them are hooks");
    folder.prepare(TX, &plain);
}

fn run_before(folder: &Folder, made: &Made, tx: &str) -> Result<Done, Refusal> {
    let request = BundleRequest { caller: caller(tx), digest: made.bundle.digest };
    folder.call(&["hooks"], &request, &[])
}

#[test]
fn hooks_before_the_switch_run_by_name_and_once_for_a_transaction() {
    let (folder, ..) = story(BTreeMap::new(), BTreeMap::new());
    let log = folder.at("/log").display().to_string();
    let one = program(&folder, "/usr/local/bin/one", &format!("echo one >>{log}"));
    let two = program(&folder, "/usr/local/bin/two", &format!("echo two >>{log}"));
    // Written in another order than they run in.
    let before = hooks(&[("20-two", &two), ("10-one", &one)]);
    let mut made = make(2, 60);
    made.set_hooks(HooksDocument { before_switch: before, ..HooksDocument::default() });
    prepare(&folder, &made);
    assert!(!run_before(&folder, &made, TX).expect("they are well").already);
    assert!(run_before(&folder, &made, TX).expect("they were well").already);
    assert_eq!(folder.text("/log"), "one\ntwo\n", "a reply that was lost runs nothing again");
    folder.outlast_lease_of_others(NEXT_TX);
    assert!(!run_before(&folder, &made, NEXT_TX).expect("they are well").already);
    assert_eq!(folder.text("/log"), "one\ntwo\none\ntwo\n", "another activation does");
}

#[test]
fn a_hook_before_the_switch_that_fails_changes_nothing_and_hides_secrets() {
    let before = hooks(&[("ask", &["/usr/local/bin/ask"]), ("then", &["/usr/local/bin/then"])]);
    let (folder, _, made) = story(before, BTreeMap::new());
    let picture = folder.picture();
    program(&folder, "/usr/local/bin/ask", "echo the token is swordfish; exit 3");
    program(&folder, "/usr/local/bin/then", "touch ran");
    prepare(&folder, &made);
    let refusal = run_before(&folder, &made, TX).expect_err("it fails");
    assert_eq!(refusal.message, "`hook ask` did not succeed");
    let told = refusal.details.join("\n");
    assert!(told.contains("the token is [secret]") && told.contains("exit code 3"), "{told}");
    assert!(!folder.at("/ran").exists(), "the first that fails is the last that runs");
    let mut now = folder.picture();
    now.retain(|path, _| picture.contains_key(path));
    assert_eq!(now, picture);
    program(&folder, "/usr/local/bin/ask", "exit 0");
    assert!(!run_before(&folder, &made, TX).expect("it is mended").already);
}

#[test]
fn a_program_of_the_bundle_is_the_new_one_before_the_switch_and_after_it() {
    let app = hooks(&[("app", &["/bin/sh", "-c", "true"]), ("new", &["/usr/local/bin/app"])]);
    let (folder, first, mut made) = story(BTreeMap::new(), BTreeMap::new());
    folder.put_program("/bin/sh", "#!/bin/sh\n");
    made.set_hooks(HooksDocument { before_switch: app.clone(), after_switch: app });
    let log = folder.at("/log").display().to_string();
    let path = "rootfs/usr/local/bin/app".parse().expect("a path");
    made.set_file(path, &format!("#!/bin/sh\necho new >>{log}\n"));
    let switch = made.switch(TX, 1, 2, &first.ledger());
    folder.activate(&made, &switch);
    assert_eq!(folder.text("/log"), "new\nnew\n");
}

#[test]
fn a_hook_sees_an_environment_of_its_own_a_known_umask_and_the_root_folder() {
    let (folder, ..) = story(BTreeMap::new(), BTreeMap::new());
    let seen = folder.at("/seen").display().to_string();
    let script = format!("{{ pwd; umask; env | sort; }} >{seen}");
    let run = program(&folder, "/usr/local/bin/look", &script);
    let mut made = make(2, 60);
    made.set_hooks(HooksDocument {
        before_switch: hooks(&[("look", &run)]),
        ..HooksDocument::default()
    });
    prepare(&folder, &made);
    let request = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    let mut command = folder.command(&["hooks"]);
    command.env("SSH_AUTH_SOCK", "/tmp/agent").env("DATABASE_URL", "postgres://");
    crate::guest_fixture::feed(command, &crate::guest_fixture::input(&request, &[]));
    let root = folder.dir.path().display().to_string();
    let text = folder.text("/seen").replace(&root, "");
    // What a shell adds for itself.
    let own = ["OLDPWD=", "PWD=", "SHLVL=", "_="];
    let lines: Vec<_> =
        text.lines().filter(|line| !own.iter().any(|o| line.starts_with(o))).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_hook_after_the_switch_that_fails_undoes_it_and_shows_why() {
    let after = hooks(&[("check", &["/usr/local/bin/check"])]);
    let (folder, first, made) = story(BTreeMap::new(), after);
    program(&folder, "/usr/local/bin/check", "echo swordfish is wrong; exit 4");
    let picture = folder.picture();
    let switch = made.switch(TX, 1, 2, &first.ledger());
    folder.switch_over(&made, &switch);
    let state = folder.result(TX);
    assert_eq!(state.phase, Phase::Undone);
    let failure = state.failure.expect("it says why");
    assert_eq!(failure.what, "`hook check` did not succeed");
    assert_eq!(failure.evidence[0], "[secret] is wrong");
    assert!(failure.evidence[1].contains("exit code 4"), "{:?}", failure.evidence);
    assert_eq!(folder.picture(), picture, "undone to the byte");
    assert!(folder.running().starts_with("app active"), "{}", folder.running());
}

#[test]
fn a_hook_that_takes_too_long_ends_with_all_that_it_started_and_undoes_the_switch() {
    let mut after = hooks(&[("slow", &["/usr/local/bin/slow"])]);
    for hook in after.values_mut() {
        hook.timeout_seconds = 1;
    }
    let (folder, first, made) = story(BTreeMap::new(), after);
    program(&folder, "/usr/local/bin/slow", "(sleep 300; touch late) & echo $! >child; wait");
    let switch = made.switch(TX, 1, 2, &first.ledger());
    let started = Instant::now();
    folder.switch_over(&made, &switch);
    assert!(started.elapsed() < Duration::from_secs(60), "it did not wait for the hook");
    let state = folder.result(TX);
    assert_eq!(state.phase, Phase::Undone);
    let evidence = state.failure.expect("it says why").evidence.join("\n");
    assert!(evidence.contains("killed by a signal or after 1 s"), "{evidence}");
    assert!(!runs(&folder.text("/child")), "what the hook started is gone too");
}

#[test]
fn a_hook_whose_call_died_is_ended_before_the_next_call_begins() {
    let before = hooks(&[("slow", &["/usr/local/bin/slow"])]);
    let (folder, _, made) = story(before, BTreeMap::new());
    program(&folder, "/usr/local/bin/slow", SLOW);
    prepare(&folder, &made);
    let request = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    let bytes = crate::guest_fixture::input(&request, &[]);
    let mut call = folder
        .command(&["hooks"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it can be run");
    std::io::Write::write_all(&mut call.stdin.take().expect("it is piped"), &bytes)
        .expect("it reads");
    kill_in_hook(&folder, call);
    let child = folder.text("/child");
    assert!(runs(&child), "it outlives its call");
    folder.call::<Done>(&["packages"], &request, &[]).expect("the guest takes the next call");
    assert!(!runs(&child), "two hooks never run beside each other");
}

#[test]
fn a_hook_of_a_switch_that_was_killed_does_not_outlive_the_way_back() {
    let after = hooks(&[("slow", &["/usr/local/bin/slow"])]);
    let (folder, first, made) = story(BTreeMap::new(), after);
    program(&folder, "/usr/local/bin/slow", SLOW);
    let picture = folder.picture();
    let switch = made.switch(TX, 1, 2, &first.ledger());
    folder.prepare(TX, &made);
    folder.begin(&switch).expect("it begins");
    let call = folder.command(&["switch", TX]).spawn().expect("it can be run");
    kill_in_hook(&folder, call);
    folder.command(&["switch-ended", TX]).output().expect("it can be run");
    assert_eq!(folder.result(TX).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
    assert!(!runs(&folder.text("/child")), "it would act on the old generation");
}

/// Kills a call as soon as its hook runs.
fn kill_in_hook(folder: &Folder, mut call: Child) {
    let started = Instant::now();
    while !folder.at("/child").exists() {
        assert!(started.elapsed() < Duration::from_secs(30), "the hook does not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    call.kill().expect("it runs");
    call.wait().expect("it ends");
}

/// Whether a process is there and at work.
fn runs(pid: &str) -> bool {
    let stat = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output();
    let stat = stat.expect("ps can be run").stdout;
    !stat.is_empty() && !stat.starts_with(b"Z")
}
