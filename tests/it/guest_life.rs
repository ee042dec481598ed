//! The whole life of a guest that is a folder, with the real binary.

use crate::guest_bundle::{Made, health, make};
use crate::guest_fixture::{FOREIGN, Folder, caller, identity, name};
use stackc::model::protocol::{
    BeginRequest, BundleRequest, Done, FetchReply, FetchRequest, HistoryReply, HistoryRequest,
    ObserveRequest, ObservedGuest, RefusalCode, UndoRequest,
};
use stackc::model::{
    Bundle, Ledger, Nonce, Outcome, Phase, Placed, Probe, Switch, TxState, layout,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

const TX2: &str = "00000000000000a2";

#[test]
fn guest_goes_from_bundle_to_confirmed_generation() {
    let (folder, made, switch) = Folder::on_first();
    let observed = folder.observe(made.bundle.digest);
    let live = observed.live.expect("generation 1 is live");
    assert_eq!((live.number.0, live.outcome), (1, Outcome::Confirmed));
    assert_eq!(observed.pending, None);
    assert!(observed.drift.is_empty(), "{:?}", observed.drift);
    assert!(observed.recorded.is_none(), "what is live needs no plan");
    assert!(observed.firewall_active);
    assert_eq!(observed.debian, "12");
    assert_eq!(folder.text("/etc/ufw/ufw.conf"), "# ufw\nENABLED=yes\nLOGLEVEL=low\n");
    assert_eq!(
        folder.running(),
        "app active, [\"-A ufw-user-input -p tcp --dport 3001 -j ACCEPT\"]"
    );
    assert_eq!(folder.confirm(&switch).expect("again").phase, Phase::Confirmed);
    assert!(folder.begin(&switch).expect("again").already);
}

#[test]
fn guest_undone_by_silence_is_as_it_was_to_the_byte() {
    let (folder, first, _) = Folder::on_first();
    let (picture, running) = (folder.picture(), folder.running());
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX2).phase, Phase::AwaitingConfirm);
    assert_ne!(folder.picture(), picture);
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert_eq!(folder.picture(), picture);
    assert_eq!(folder.running(), running);
    let state = folder.confirm(&switch).expect("too late is no error");
    assert_eq!(state.phase, Phase::Undone);
    let failure = state.failure.expect("it says why");
    assert_eq!(failure.what, "nobody confirmed the switch in time");
}

#[test]
fn guest_found_as_it_was_gets_its_own_files_back() {
    let folder = Folder::new();
    let before = folder.picture();
    let made = make(1, 60);
    let switch = made.switch(TX2, 0, 1, &Ledger::default());
    folder.switch_over(&made, &switch);
    let sshd = "/etc/ssh/sshd_config.d/10-stackc.conf";
    assert_eq!(folder.text(sshd), "# version 1\n");
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.text(sshd), FOREIGN);
    assert_eq!(folder.picture(), before);
    // The folder's kernel had no table; of the one that it has now, only the frame is left.
    assert_eq!(folder.system().rules.v4, "*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n");
}

#[test]
fn guest_gives_a_found_file_back_when_a_later_generation_leaves_it() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let mut switch = second.switch(TX2, 1, 2, &first.ledger());
    for path in ["/etc/ssh/sshd_config.d/10-stackc.conf", "/etc/ufw/ufw.conf"] {
        switch.ledger.paths.remove(&name(path));
        switch.placement.place.remove(&name(path));
        switch.placement.remove.push(name(path));
    }
    folder.activate(&second, &switch);
    assert_eq!(folder.text("/etc/ssh/sshd_config.d/10-stackc.conf"), FOREIGN);
    assert_eq!(folder.text("/etc/ufw/ufw.conf"), "# ufw\nENABLED=no\nLOGLEVEL=low\n");
}

/// The second version, and the switch to it from the first.
fn second_after(first: &Made) -> (Made, Switch) {
    let second = make(2, 60);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    (second, switch)
}

/// A guest on a first version that listens, and the second version's switch waiting for its confirm.
fn waiting_switch(listener: &TcpListener, start_seconds: u32) -> (Folder, Switch) {
    let port = listener.local_addr().expect("it is bound").port();
    let tcp = Probe::Tcp { address: Ipv4Addr::LOCALHOST.into(), port, timeout_seconds: 1 };
    let mut listening = health(60);
    listening.start_seconds = start_seconds;
    listening.probes.insert("listens".to_owned(), tcp);
    let (folder, mut first, mut second) = (Folder::new(), make(1, 60), make(2, 60));
    first.set_health(listening);
    second.set_health(health(60));
    let switch = first.switch("00000000000000a1", 0, 1, &Ledger::default());
    folder.activate(&first, &switch);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.switch_over(&second, &switch);
    assert_eq!(folder.result(TX2).phase, Phase::AwaitingConfirm);
    (folder, switch)
}

#[test]
fn guest_says_undone_when_the_old_generation_answers_again() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let (folder, _) = waiting_switch(&listener, 20);
    drop(listener);
    let started = Instant::now();
    let slow = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        TcpListener::bind(address).expect("the port is still free")
    });
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    let took = started.elapsed();
    let listens = slow.join().expect("it listens");
    let state = folder.result(TX2);
    assert_eq!(state.phase, Phase::Undone);
    assert!(took > Duration::from_millis(1400) && took < Duration::from_secs(15), "{took:?}");
    assert_eq!(state.failure.expect("it says why").evidence, Vec::<String>::new());
    drop(listens);
}

#[test]
fn guest_that_is_back_and_stays_silent_is_undone_with_a_note() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (folder, _) = waiting_switch(&listener, 1);
    drop(listener);
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    let state = folder.result(TX2);
    assert_eq!(state.phase, Phase::Undone);
    let evidence = state.failure.expect("it says why").evidence;
    let note = "probe `listens` passed before the switch, and not 1 s after the undo: ";
    assert!(evidence.len() == 1 && evidence[0].starts_with(note), "{evidence:?}");
}

/// The switch, with these keys set in ufw's configuration.
fn with_keys(made: &Made, tx: &str, from: u64, owned: &Ledger, keys: &[&str]) -> Switch {
    let mut switch = made.switch(tx, from, from + 1, owned);
    let keys =
        keys.iter().map(|&key| (key.to_owned(), "yes".to_owned())).collect::<BTreeMap<_, _>>();
    let placed = Placed::Keys { keys };
    switch.ledger.paths.insert(name(layout::UFW_CONF), placed.clone());
    switch.placement.place.insert(name(layout::UFW_CONF), placed);
    switch
}

#[test]
fn guest_gives_back_keys_that_leave_and_removes_those_that_were_not_found() {
    let (folder, first, second) = (Folder::new(), make(1, 60), make(2, 60));
    let keys = ["ENABLED", "IPV6", "OWN"];
    let switch = with_keys(&first, "00000000000000a1", 0, &Ledger::default(), &keys);
    folder.activate(&first, &switch);
    let text = "# ufw\nENABLED=yes\nLOGLEVEL=low\nIPV6=yes\nOWN=yes\n";
    assert_eq!(folder.text(layout::UFW_CONF), text);
    let fewer = with_keys(&second, TX2, 1, &switch.ledger, &["ENABLED", "IPV6"]);
    folder.activate(&second, &fewer);
    let text = "# ufw\nENABLED=yes\nLOGLEVEL=low\nIPV6=yes\n";
    assert_eq!(folder.text(layout::UFW_CONF), text, "`OWN` was not found there");
    let mut none = first.switch("00000000000000a3", 2, 3, &fewer.ledger);
    none.ledger.paths.remove(&name(layout::UFW_CONF));
    none.placement.place.remove(&name(layout::UFW_CONF));
    none.placement.remove.push(name(layout::UFW_CONF));
    folder.activate(&first, &none);
    assert_eq!(folder.text(layout::UFW_CONF), "# ufw\nENABLED=no\nLOGLEVEL=low\n");
}

#[test]
fn guest_undoes_at_once_when_a_unit_does_not_start() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let (second, switch) = second_after(&first);
    folder.prepare(TX2, &second);
    folder.begin(&switch).expect("it begins");
    // ssh.service is no unit that an undo must see running here: only its reload fails.
    folder.change_system(|state| state.failing.extend([name("ssh.service")]));
    folder.run_switch(TX2);
    folder.change_system(|state| state.failing.clear());
    let state = folder.result(TX2);
    assert!(matches!(state.phase, Phase::Inconsistent | Phase::Undone), "{state:?}");
    let failure = state.failure.expect("it says why");
    assert!(failure.what.contains("`ssh.service` did not start"), "{failure:?}");
    assert_eq!(failure.units, [name("ssh.service")].into());
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
}

#[test]
fn guest_that_booted_in_the_window_is_back_on_the_old_generation() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    folder.boot();
    folder.command(&["recover"]).output().expect("it can be run");
    assert_eq!(folder.picture(), picture);
    let state = folder.result(TX2);
    assert_eq!(state.phase, Phase::Undone);
    let jobs = folder.system().jobs;
    assert_eq!(jobs, ["daemon-reload", "startlater app.service", "startlater ssh.service"]);
    let history: HistoryReply = folder
        .call(&["history"], &HistoryRequest { identity: identity() }, &[])
        .expect("it is told");
    let outcomes: Vec<Outcome> = history.generations.iter().map(|g| g.outcome).collect();
    assert_eq!(outcomes, [Outcome::Confirmed, Outcome::Confirmed, Outcome::Undone]);
    let phases: Vec<Phase> = history.transactions.iter().map(|t| t.state.phase).collect();
    assert_eq!(phases, [Phase::Confirmed, Phase::Undone]);
}

#[test]
fn guest_that_goes_down_in_a_switch_gives_that_as_the_reason_and_not_the_units_that_fell_with_it() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    folder.prepare(TX2, &second);
    folder.change_system(|state| {
        state.going_down = true;
        state.failing.extend([name("app.service")]);
    });
    folder.begin(&switch).expect("it begins");
    folder.run_switch(TX2);
    folder.boot();
    folder.command(&["recover"]).output().expect("it can be run");
    let failure = folder.result(TX2).failure.expect("it says why");
    assert_eq!(failure.what, "the guest went down before the switch was confirmed");
    assert!(failure.evidence[0].contains("`app.service` did not start"), "{failure:?}");
}

#[test]
fn guest_rolls_back_by_a_new_generation_of_the_older_bundle() {
    let (folder, first, _) = Folder::on_first();
    let first_picture = folder.picture();
    let second = make(2, 60);
    folder.activate(&second, &second.switch(TX2, 1, 2, &first.ledger()));
    let back = first.switch("00000000000000a3", 2, 3, &second.ledger());
    folder.activate(&first, &back);
    let mut picture = folder.picture();
    assert_eq!(picture["current"], "Some(\"generations/3\")");
    picture.insert("current".to_owned(), first_picture["current"].clone());
    assert_eq!(picture, first_picture);
}

#[test]
fn guest_gives_a_bundle_back_that_its_digest_proves() {
    let (folder, first, _) = Folder::on_first();
    let digest = first.bundle.digest;
    let request = FetchRequest { identity: identity(), digest, after: None };
    let FetchReply { manifest, mut files, .. } =
        folder.call(&["fetch"], &request, &[]).expect("it is live");
    let manifest = manifest.expect("it comes first");
    let proved = Bundle::prove(digest, manifest.clone(), files.clone());
    assert_eq!(proved.as_ref(), Some(&first.bundle));
    let (_, bytes) = files.iter_mut().next().expect("a bundle has files");
    bytes.push(b'x');
    assert_eq!(Bundle::prove(digest, manifest, files), None);
    let request = FetchRequest { digest: make(2, 60).bundle.digest, ..request };
    let refusal = folder.call::<FetchReply>(&["fetch"], &request, &[]).expect_err("never sent");
    assert_eq!(refusal.code, RefusalCode::Failed, "{refusal:?}");
}

#[test]
fn guest_refuses_what_does_not_fit() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    folder.prepare(TX2, &second);
    let stale = second.switch(TX2, 0, 2, &first.ledger());
    let refusal = folder.begin(&stale).expect_err("generation 1 is live");
    assert_eq!(refusal.code, RefusalCode::Stale);
    assert_eq!(refusal.message, "the plan was made against generation 0, and generation 1 is live");
    assert_eq!(refusal.state, "generation 1 is live");
    let mut stranger = caller(TX2);
    stranger.identity.uuid = "u-2".to_owned();
    let switch = second.switch(TX2, 1, 2, &first.ledger());
    let request = BeginRequest { caller: stranger, switch: switch.clone() };
    let refusal = folder.call::<Done>(&["begin"], &request, &[]).expect_err("it is another guest");
    assert_eq!(refusal.code, RefusalCode::Refused);
    assert_eq!(
        refusal.message,
        "this guest is `shop/dev` (u-1), and the operator means `shop/dev` (u-2)"
    );
    // Somebody wrote through a link into the store: the tree is no longer the bundle.
    let app = format!("/var/lib/stackc/store/{}/rootfs/usr/local/bin/app", second.bundle.digest);
    folder.put(&app, "#!/bin/sh\necho 9\n");
    let refusal = folder.begin(&switch).expect_err("the tree is damaged");
    assert_eq!(refusal.code, RefusalCode::Failed);
    assert!(refusal.message.ends_with("`rootfs/usr/local/bin/app` has other bytes"), "{refusal:?}");
    folder.prepare(TX2, &second);
    folder.begin(&switch).expect("sent again, it is whole");
}

#[test]
fn guest_tells_an_unknown_transaction_from_a_request_that_does_not_fit() {
    let (folder, ..) = Folder::on_first();
    let mut request =
        UndoRequest { identity: identity(), tx: name(TX2), who: "ops@desk".to_owned() };
    let refusal = folder.call::<TxState>(&["undo"], &request, &[]).expect_err("it never began");
    assert_eq!(refusal.code, RefusalCode::Unknown, "{refusal:?}");
    request.identity.uuid = "u-2".to_owned();
    let refusal = folder.call::<TxState>(&["undo"], &request, &[]).expect_err("another guest");
    assert_eq!(refusal.code, RefusalCode::Refused, "{refusal:?}");
}

#[test]
fn guest_keeps_a_second_operator_out_while_a_switch_waits() {
    let (folder, first, _) = Folder::on_first();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    let other = second.switch("00000000000000b2", 1, 3, &first.ledger());
    let refusal = folder.begin(&other).expect_err("the first one waits for its confirm");
    assert_eq!(refusal.code, RefusalCode::Busy);
    assert!(refusal.message.contains("ops@desk has switched to generation 2"), "{refusal:?}");
    let beside = BundleRequest { caller: caller("00000000000000b2"), digest: second.bundle.digest };
    let refusal = folder.call::<Done>(&["packages"], &beside, &[]);
    let refusal = refusal.expect_err("a long call would take the lock from the confirm");
    assert_eq!(refusal.code, RefusalCode::Busy);
    let mut wrong = switch.clone();
    wrong.nonce = Nonce("guess".to_owned());
    assert_eq!(folder.confirm(&wrong).expect_err("a guess").code, RefusalCode::Refused);
    assert_eq!(folder.confirm(&switch).expect("the right one").phase, Phase::Confirmed);
}

#[test]
fn guest_whose_alarm_finds_it_busy_sets_another() {
    let (folder, first, _) = Folder::on_first();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    let lock = std::fs::File::open(folder.at("/var/lib/stackc/lock")).expect("it is there");
    lock.lock().expect("nobody else has it");
    let output = folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert!(!output.status.success(), "it cannot undo anything now");
    assert!(folder.system().alarms.contains(&format!("{TX2} retry")), "{:?}", folder.system());
    drop(lock);
    folder.command(&["timer-undo", TX2, "0"]).output().expect("it can be run");
    assert_eq!(folder.result(TX2).phase, Phase::Undone);
}

#[test]
fn guest_goes_back_whole_though_a_unit_must_be_killed_for_it() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    folder.change_system(|state| state.deaf.extend([name("app.service")]));
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
    let jobs = folder.system().jobs;
    let ends = ["stop app.service", "kill app.service", "stop app.service", "start app.service"];
    let of_app: Vec<&str> =
        jobs.iter().map(String::as_str).filter(|j| j.ends_with("app.service")).collect();
    assert_eq!(of_app[of_app.len() - ends.len()..], ends, "{jobs:?}");
}

/// A unit of both generations is restarted, and not stopped first.
#[test]
fn guest_goes_back_whole_though_a_unit_that_it_restarts_must_be_killed_for_it() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let (second, mut switch) = second_after(&first);
    let back = &mut switch.undo_units;
    let app: stackc::model::UnitName = name("app.service");
    back.stop.retain(|unit| *unit != app);
    back.start.retain(|unit| *unit != app);
    back.restart = vec![app.clone()];
    folder.switch_over(&second, &switch);
    folder.change_system(|state| {
        state.deaf.insert(app);
        state.jobs.clear();
    });
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
    let mut of_app = folder.system().jobs;
    of_app.retain(|job| job.ends_with("app.service"));
    assert_eq!(of_app, ["restart app.service", "kill app.service", "restart app.service"]);
}

#[test]
fn guest_tells_of_damage_to_the_tree_that_it_goes_back_to() {
    let (folder, first, _) = Folder::on_first();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    let app = format!("/var/lib/stackc/store/{}/rootfs/usr/local/bin/app", first.bundle.digest);
    folder.put(&app, "#!/bin/sh\necho 7\n");
    let state = folder.undo(TX2);
    assert_eq!(state.phase, Phase::Undone);
    let evidence = state.failure.expect("it says why").evidence;
    assert!(
        evidence.iter().any(|line| line.contains("usr/local/bin/app` has other bytes")),
        "{evidence:?}"
    );
}

#[test]
fn guest_refuses_what_a_newer_stackc_has_kept_and_says_so() {
    let (folder, first, _) = Folder::on_first();
    let path = "/var/lib/stackc/generations/1/generation.json";
    let text = folder.text(path).replace(r#"{"format":1,"#, r#"{"format":2,"#);
    folder.put(path, &text);
    let (identity, digest) = (identity(), Some(first.bundle.digest));
    let (units, packages, paths) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let request = ObserveRequest { identity, digest, units, packages, paths };
    let refusal =
        folder.call::<ObservedGuest>(&["observe"], &request, &[]).expect_err("it is newer");
    assert!(
        refusal.message.contains("has format 2, and this stackc reads format 1"),
        "{refusal:?}"
    );
}

#[test]
fn guest_that_cannot_be_recovered_opens_the_door_and_waits_for_a_person() {
    let (folder, first, _) = Folder::on_first();
    let picture = folder.picture();
    let (second, switch) = second_after(&first);
    folder.switch_over(&second, &switch);
    // Somebody's folder where a link must come back: no rename can put it there.
    let in_the_way = folder.at("/etc/profile.d/only-1.sh");
    std::fs::create_dir(&in_the_way).expect("it can be made");
    for boot in 1..=5 {
        folder.boot();
        let output = folder.command(&["recover"]).output().expect("it can be run");
        assert!(!output.status.success(), "boot {boot} recovers what it cannot");
        let sshd = folder.text("/etc/ssh/sshd_config.d/10-stackc.conf");
        assert_eq!(sshd, "# version 1\n", "the door of boot {boot}");
        let ended = folder.command(&["recover-ended"]).output().expect("it can be run");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        // Three times the whole is tried again when the guest is up; then a person is waited for.
        let retries = usize::from(boot <= 3);
        assert_eq!(folder.system().alarms.len(), retries, "boot {boot}");
        if boot > 3 {
            let jobs = folder.system().jobs;
            assert_eq!(jobs.last().map(String::as_str), Some("stoplater app.service"), "{jobs:?}");
        }
    }
    assert_eq!(folder.result(TX2).phase, Phase::Inconsistent);
    let refusal = folder.begin(&second.switch("00000000000000b2", 1, 3, &first.ledger()));
    let refusal = refusal.expect_err("a person is needed");
    assert_eq!(refusal.code, RefusalCode::Inconsistent);
    std::fs::remove_dir(&in_the_way).expect("it is empty");
    assert_eq!(folder.undo(TX2).phase, Phase::Undone);
    assert_eq!(folder.picture(), picture);
}

#[test]
fn guest_shows_drift_as_what_is_there_instead() {
    let (folder, first, _) = Folder::on_first();
    folder.put("/etc/ssh/sshd_config.d/10-stackc.conf", "PermitRootLogin yes\n");
    std::fs::remove_file(folder.at("/usr/local/bin/app")).expect("it is there");
    folder.put("/etc/ufw/ufw.conf", "ENABLED=no\n");
    let drift = folder.observe(first.bundle.digest).drift;
    let drift: Vec<String> = drift.iter().map(|(path, what)| format!("{path}: {what}")).collect();
    assert_eq!(
        drift,
        [
            "/etc/ssh/sshd_config.d/10-stackc.conf: a file with other bytes",
            "/etc/ufw/ufw.conf: `ENABLED=no`",
            "/usr/local/bin/app: nothing is there",
        ]
    );
}
