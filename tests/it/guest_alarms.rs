//! Going back by itself: what a program says, what a user names, and what cannot be read keep no undo from its end, and an
//! alarm that does not come to it rings again.

use crate::door_hooks::{OPEN, SSHD, shut};
use crate::fake::{Fault, Faulty};
use crate::guest_bundle::{hooks, make};
use crate::guest_fixture::{Folder, caller, input, name};
use crate::kill_points::{Kills, Left};
use crate::left_out::is_left_out;
use stackc::guest::{Command, Debian, Guest, Offline, RealFs, System as _, UnitJob, answer};
use stackc::model::protocol::BeginRequest;
use stackc::model::{HooksDocument, Ledger, Phase};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

const TX: &str = "00000000000000a2";
const NEXT_TX: &str = "00000000000000a3";
const LOCK: &str = "/var/lib/stackc/lock";

/// A guest whose second version waits for its confirm.
fn waiting() -> Folder {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    folder.switch_over(&second, &second.switch(TX, 1, 2, &first.ledger()));
    assert_eq!(folder.result(TX).phase, Phase::AwaitingConfirm);
    folder
}

fn ring(folder: &Folder, verb: &str) {
    folder.command(&[verb, TX, "0"]).output().expect("it can be run");
}

fn is_set(folder: &Folder, alarm: &str) -> bool {
    folder.system().alarms.contains(&format!("{TX} {alarm}"))
}

#[test]
fn a_file_whose_name_is_no_text_in_a_folder_of_the_new_generation_does_not_keep_it_from_going_back()
{
    let (folder, made) = (Folder::new(), make(1, 60));
    folder.switch_over(&made, &made.switch(TX, 0, 1, &Ledger::default()));
    let uploaded = folder.at("/etc/app").join(OsStr::from_bytes(b"caf\xe9.txt"));
    fs::write(&uploaded, "of a user").expect("the folder is there");
    ring(&folder, "timer-undo");
    let state = folder.result(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(fs::read_to_string(uploaded).expect("it is nobody's to take"), "of a user");
}

#[test]
fn an_alarm_that_cannot_read_the_decision_rings_again() {
    let folder = waiting();
    let decision = format!("/var/lib/stackc/tx/{TX}/decision");
    fs::create_dir(folder.at(&decision)).expect("nobody has decided");
    ring(&folder, "timer-undo");
    assert!(is_set(&folder, "retry"), "{:?}", folder.system().alarms);
    fs::remove_dir(folder.at(&decision)).expect("it is there");
    ring(&folder, "timer-undo");
    assert_eq!(folder.result(TX).phase, Phase::Undone);
}

/// Rings while the nth call of what runs fails, as when no program can be started; false when there are fewer. What waits
/// does not wait for long.
fn ring_without(folder: &Folder, verb: &str, call: usize) -> bool {
    let root = folder.dir.path();
    let mut fs = RealFs::open(root).expect("the folder is there");
    let (inner, fault) =
        (Offline::open(root).expect("the folder is there"), Fault::at(call, false, false));
    let mut system = Faulty { inner, fault: fault.clone() };
    let mut guest = Guest { fs: &mut fs, system: &mut system, news: &mut |_| {} };
    let words = [verb, TX, "0"].map(str::to_owned);
    answer(&mut guest, &words, &mut &b""[..]);
    fault.struck.get()
}

#[test]
fn an_alarm_that_cannot_start_a_program_decides_all_the_same() {
    let start = waiting();
    for call in 1.. {
        let folder = start.copy();
        if !ring_without(&folder, "timer-undo", call) {
            assert!(call > 5, "only {call} calls");
            return;
        }
        let phase = folder.result(TX).phase;
        let goes_back = [Phase::Undoing, Phase::Inconsistent].contains(&phase);
        assert!(
            phase == Phase::Undone || goes_back && is_set(&folder, "retry"),
            "{call}: {phase:?}"
        );
    }
}

#[test]
fn an_alarm_that_cannot_set_another_one_stays_and_tries_again() {
    let undone = waiting();
    fs::create_dir(undone.at(&format!("/var/lib/stackc/tx/{TX}/decision")))
        .expect("it can be made");
    let (reopened, ..) = shut();
    fs::remove_file(reopened.at(LOCK)).expect("it is there");
    fs::create_dir(reopened.at(LOCK)).expect("it is gone");
    for (start, verb, alarm) in
        [(undone, "timer-undo", "retry"), (reopened, "timer-hooks", "reopen")]
    {
        for call in 1.. {
            let folder = start.copy();
            let struck = ring_without(&folder, verb, call);
            assert!(is_set(&folder, alarm), "{verb}, call {call}: {:?}", folder.system().alarms);
            if !struck {
                assert!(call > 1, "{verb}: no call failed");
                break;
            }
        }
    }
}

#[test]
fn an_alarm_of_hooks_that_cannot_have_the_lock_rings_again() {
    let (folder, ..) = shut();
    fs::remove_file(folder.at(LOCK)).expect("it is there");
    fs::create_dir(folder.at(LOCK)).expect("it is gone");
    ring(&folder, "timer-hooks");
    assert!(is_set(&folder, "reopen"), "{:?}", folder.system().alarms);
    fs::remove_dir(folder.at(LOCK)).expect("it is there");
    ring(&folder, "timer-hooks");
    assert_eq!(folder.text(SSHD), OPEN);
}

/// A guest whose notes cannot be read is told late of why it went back, and goes back all the same.
#[test]
fn notes_that_cannot_be_read_keep_nothing_from_going_back() {
    for boots in [false, true] {
        let (folder, first, _) = Folder::on_first();
        let (second, old) = (make(2, 60), folder.picture());
        folder.switch_over(&second, &second.switch(TX, 1, 2, &first.ledger()));
        let notes = format!("/var/lib/stackc/tx/{TX}/state.json");
        folder.put(&notes, "damaged");
        if boots {
            folder.boot();
            folder.command(&["recover"]).output().expect("it can be run");
        } else {
            ring(&folder, "timer-undo");
            assert!(is_set(&folder, "retry"), "{:?}", folder.system().alarms);
        }
        assert_eq!(folder.picture(), old, "boots: {boots}");
        fs::remove_file(folder.at(&notes)).expect("it is there");
        ring(&folder, "timer-undo");
        assert_eq!(folder.result(TX).phase, Phase::Undone);
    }
}

/// A guest that cannot go back is no reason to restart what is back, for ever and ever, nor for more alarms each time.
#[test]
fn a_guest_that_cannot_go_back_leaves_alone_what_is_well_and_has_one_alarm_each_time_further_apart()
{
    let (folder, first, _) = Folder::on_first();
    let old = folder.picture();
    let second = make(2, 60);
    folder.switch_over(&second, &second.switch(TX, 1, 2, &first.ledger()));
    let in_the_way = folder.at("/etc/profile.d/only-1.sh");
    fs::create_dir(&in_the_way).expect("the second version has none");
    folder.change_system(|state| state.jobs.clear());
    let tries = 4;
    for _ in 0..tries {
        ring(&folder, "timer-undo");
        assert_eq!(folder.result(TX).phase, Phase::Inconsistent);
    }
    let of_app = || -> Vec<String> {
        let jobs = folder.system().jobs.into_iter();
        jobs.filter(|job| job.ends_with("app.service") || job.ends_with("ssh.service")).collect()
    };
    // Its first reload is the door's, which opens first.
    let once =
        ["reload ssh.service", "stop app.service", "reload ssh.service", "start app.service"];
    assert_eq!(of_app(), once, "each unit comes back once");
    let retries = || -> Vec<String> {
        let asked = folder.system().asked.into_iter();
        asked.filter(|alarm| alarm.contains("retry")).collect()
    };
    assert_eq!(retries(), vec![format!("{TX} retry 30"); tries], "one alarm a try");

    // Down since: what is down is started again, and nothing else.
    folder.change_system(|state| {
        state.units.get_mut(&name("app.service")).expect("it is known").active = "failed".into();
    });
    long_ago(&folder);
    ring(&folder, "timer-undo");
    assert_eq!(of_app()[once.len()..], ["start app.service"]);
    let last = retries().pop().expect("it is set");
    assert!(!last.ends_with(" 30"), "{last}");

    // With its files as before it has to read them again.
    fs::remove_dir(&in_the_way).expect("it is empty");
    ring(&folder, "timer-undo");
    assert_eq!(folder.result(TX).phase, Phase::Undone);
    assert_eq!(folder.picture(), old);
    let anew = ["stop app.service", "reload ssh.service", "restart app.service"];
    assert_eq!(of_app()[once.len() + 1..], anew);
    assert!(!folder.at(&tried()).exists());
}

/// A socket does not come up beside its service, nor with other files than it was made from.
#[test]
fn a_socket_and_its_service_come_back_both_when_their_files_do() {
    let (folder, first, _) = Folder::on_first();
    let second = make(2, 60);
    let mut switch = second.switch(TX, 1, 2, &first.ledger());
    for actions in [&mut switch.units, &mut switch.undo_units] {
        let pair = [name("pair.socket"), name("pair.service")];
        actions.stop.extend(pair.clone());
        actions.start.extend(pair);
    }
    for unit in switch.undo_units.start.clone() {
        folder.change_system(|state| drop(state.job(UnitJob::Start, &unit)));
    }
    folder.switch_over(&second, &switch);
    let in_the_way = folder.at("/etc/profile.d/only-1.sh");
    fs::create_dir(&in_the_way).expect("the second version has none");
    ring(&folder, "timer-undo");
    assert_eq!(folder.result(TX).phase, Phase::Inconsistent);
    fs::remove_dir(&in_the_way).expect("it is empty");
    ring(&folder, "timer-undo");
    let state = folder.result(TX);
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
}

fn tried() -> String {
    format!("/run/stackc/back-{TX}.json")
}

/// Going back fails since the guest is up.
fn long_ago(folder: &Folder) {
    let text = folder.text(&tried());
    let (head, rest) = text.split_once(r#""since_ms":"#).expect("it says since when");
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    folder.put(&tried(), &format!(r#"{head}"since_ms":0{rest}"#));
}

/// Hooks before the switch have shut the way in: nobody comes to see that what begins it has died.
#[test]
fn whoever_dies_while_a_switch_begins_leaves_an_alarm_that_opens_what_its_hooks_shut() {
    let (folder, _, switch) = shut();
    let bytes = input(&BeginRequest { caller: caller(TX), switch }, &[]);
    let kills = Kills::of("begin after hooks").each(&folder, &["begin"], &bytes, |folder, at| {
        for alarm in folder.system().alarms {
            let is_of_hooks = ["hooks", "begin"].iter().any(|name| alarm.ends_with(name));
            ring(folder, if is_of_hooks { "timer-hooks" } else { "timer-undo" });
        }
        assert_eq!(folder.text(SSHD), OPEN, "{at}: {:?}", folder.system().alarms);
        Left::Old
    });
    kills.expect_more_than(10);
}

/// The same when the next operator is there before any alarm rings.
#[test]
fn whoever_comes_after_a_begin_that_died_does_not_forget_the_way_in_of_its_hooks() {
    let (folder, _, switch) = shut();
    let bytes = input(&BeginRequest { caller: caller(TX), switch }, &[]);
    let kills = Kills::of("another after begin").each(&folder, &["begin"], &bytes, |folder, at| {
        folder.prepare(NEXT_TX, &make(3, 60));
        for alarm in folder.system().alarms {
            let is_of_hooks = ["hooks", "begin"].iter().any(|name| alarm.ends_with(name));
            ring(folder, if is_of_hooks { "timer-hooks" } else { "timer-undo" });
        }
        assert_eq!(folder.text(SSHD), OPEN, "{at}: {:?}", folder.system().alarms);
        Left::Old
    });
    kills.expect_more_than(10);
}

#[test]
fn what_a_program_says_at_length_is_noted_in_the_room_that_is_kept_for_the_end() {
    let (folder, first, _) = Folder::on_first();
    let script = "#!/bin/sh\nfor line in 1 2 3 4; do head -c 50000 /dev/zero | tr '\\0' $line; echo; done\nexit 3\n";
    folder.put_program("/usr/local/bin/loud", script);
    let mut made = make(2, 60);
    let after_switch = hooks(&[("loud", &["/usr/local/bin/loud"])]);
    made.set_hooks(HooksDocument { after_switch, ..HooksDocument::default() });
    folder.switch_over(&made, &made.switch(TX, 1, 2, &first.ledger()));
    let state = folder.result(TX);
    assert_eq!(state.phase, Phase::Undone, "{:?}", state.phase);
    let evidence = state.failure.expect("it says why").evidence;
    let lengths: Vec<usize> = evidence.iter().map(String::len).collect();
    assert!(evidence.len() >= 4 && lengths.iter().all(|length| *length <= 1000), "{lengths:?}");
}

/// `iptables-save` of a guest with thousands of bans: an undo puts back what was heard, and nothing else.
#[test]
fn an_answer_of_which_all_counts_is_whole_or_a_failure_and_never_its_end() {
    let said = |whole, lines: u32| {
        let words = ["seq", "1000001", &(1_000_000 + lines).to_string()];
        Debian.run(&Command { whole, ..Command::new(&words, Duration::from_secs(60)) })
    };
    let text = said(true, 200_000).expect("it is long, and no more").text;
    assert_eq!((text.len(), text.lines().next()), (1_600_000, Some("1000001")));
    let error = said(true, 2_500_000).expect_err("it is longer than any answer");
    assert!(error.to_string().ends_with("it says more than 8 MiB"), "{error}");
    let text = said(false, 2_500_000).expect("of a log the end is enough").text;
    assert!(text.len() <= 512 << 10 && text.ends_with("3500000\n"));
}

/// Debian's `nobody` is of the group `nogroup`.
#[test]
fn a_command_runs_as_a_user_whose_group_has_another_name() {
    if is_left_out("root", rustix::process::geteuid().is_root()) {
        return;
    }
    let (user, group) = (Some("nobody".to_owned()), Some(65534));
    let command = Command::new(&["id", "-un"], Duration::from_secs(60));
    let said = Debian.run(&Command { user, group, ..command }).expect("it can be run");
    assert_eq!((said.code, said.text.trim()), (Some(0), "nobody"));
}
