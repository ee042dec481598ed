//! stackc leaves a guest: nothing of it stays but what is the app's, wherever it dies on the way.

use crate::{
    activate_faults::{Operator, WHO, never, on_two, stacks},
    crash_tracer::{self, Strike},
    fake::operator::{At, Fault, World},
    found_guest::{TX, ZERO, files, go, on_first, to_found},
    found_operator::job,
    guest_fixture::{Folder, SENT, caller, in_memory, input, reply},
    kill_points::{Kills, Left},
};
use stackc::{
    activate::{Back, Detached, Failed, detach, way_off},
    guest::{GuestFs as _, RealFs},
    model::{
        Target,
        protocol::{DetachReply, DetachRequest, Refusal, RefusalCode},
    },
};
use std::collections::{BTreeMap, BTreeSet};

fn detach_guest(folder: &Folder) -> Result<DetachReply, Refusal> {
    folder.call(&["detach"], &DetachRequest { caller: caller(TX) }, &[])
}

#[test]
fn what_is_live_is_not_detached_from() {
    let (folder, ..) = on_first();
    let picture = folder.picture();
    let refusal = detach_guest(&folder).expect_err("the app would lose its files");
    assert_eq!(refusal.code, RefusalCode::Refused);
    assert!(refusal.message.contains("generation 1 is live"), "{refusal:?}");
    assert_eq!(folder.picture(), picture);
}

/// A guest as it was found, with what stackc still keeps there and what the app has left.
fn before_detach() -> (Folder, BTreeMap<String, String>) {
    let (folder, before, _) = on_first();
    folder.put("/var/lib/stackc/shared/uploads/cat.png", "a cat\n");
    folder.put("/etc/apt/sources.list.d/stackc-own.sources", "Types: deb\n");
    go(&folder, &to_found(&folder, ZERO));
    folder.put("/usr/local/lib/stackc/0.1.0/stackc-guest", "a program\n");
    (folder, before)
}

/// # Panics
/// When something of stackc's is left, or something of the app's is not.
fn assert_detached(folder: &Folder, before: &BTreeMap<String, String>, at: &str) {
    for gone in ["/var/lib/stackc", "/var/lib/stackc.gone", "/usr/local/lib/stackc"] {
        assert!(!folder.at(gone).exists(), "{at}: {gone} is left");
    }
    let mut now = files(folder);
    // Made by the test itself, and a folder of everybody's.
    for path in ["/usr/local", "/usr/local/lib", "/etc/apt", "/etc/apt/sources.list.d"] {
        now.remove(path);
    }
    assert_eq!(&now, before, "{at}");
    assert!(!folder.at("/etc/systemd/system/stackc-recover.service").exists(), "{at}");
    assert!(!folder.at("/etc/systemd/system/sysinit.target.wants").exists(), "{at}");
    assert_eq!(folder.text("/var/lib/stackc-shared/uploads/cat.png"), "a cat\n", "{at}");
}

#[test]
fn nothing_but_the_apps_own_records_is_left_of_stackc() {
    let (folder, before) = before_detach();
    let shared = Some("/var/lib/stackc-shared".to_owned());
    assert_eq!(detach_guest(&folder), Ok(DetachReply { shared: shared.clone() }));
    assert_detached(&folder, &before, "once");
    assert_eq!(detach_guest(&folder), Ok(DetachReply { shared }), "the reply may have been lost");
    assert_detached(&folder, &before, "again");
}

#[test]
fn records_of_an_app_are_not_moved_over_others() {
    let (folder, _) = before_detach();
    folder.put("/var/lib/stackc-shared/mine", "mine\n");
    let refusal = detach_guest(&folder).expect_err("whose are they?");
    assert!(refusal.message.contains("is there already; move it away first"), "{refusal:?}");
    assert_eq!(folder.text("/var/lib/stackc/shared/uploads/cat.png"), "a cat\n");
    assert!(folder.at("/var/lib/stackc/generations/2").is_dir(), "nothing has been removed");
}

#[test]
fn detach_killed_at_any_call_is_finished_by_the_next() {
    let (start, before) = before_detach();
    let request = input(&DetachRequest { caller: caller(TX) }, &[]);
    let kills = Kills::of("detach").each(&start, &["detach"], &request, |folder, at| {
        detach_guest(folder).unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
        assert_detached(folder, &before, at);
        Left::New
    });
    kills.expect_more_than(20);
}

#[test]
fn nobody_else_gets_in_before_a_detach_is_done() {
    let (start, _) = before_detach();
    let beside = in_memory();
    let file = beside.path().join("request");
    let request = input(&DetachRequest { caller: caller(TX) }, &[]);
    std::fs::write(&file, request).expect("there is room");
    let run = |folder: &Folder, strike: Strike, meanwhile: &mut dyn FnMut()| {
        let root = folder.dir.path().display().to_string();
        let argv = [SENT, "--root", &root, "detach"];
        let traced = crash_tracer::run_meanwhile(&argv, &file, strike, meanwhile);
        assert!(matches!(reply::<DetachReply>(&traced.said), Some(Ok(_))), "{:?}", traced.status);
        traced
    };
    let mut refused = 0;
    for at in run(&start.copy(), Strike::None, &mut || {}).changing() {
        let folder = start.copy();
        let traced = run(&folder, Strike::Meanwhile(at), &mut || {
            // The next operator's call, as far as its lock.
            let mut fs = RealFs::open(folder.dir.path()).expect("it is a folder");
            fs.mkdir("/var/lib/stackc", 0o755).expect("it can be made");
            let guard = fs.lock("/var/lib/stackc/lock").expect("it can be asked for");
            let left = ["/usr/local/lib/stackc", "/var/lib/stackc.gone"];
            let is_left = left.iter().any(|path| folder.at(path).exists());
            refused += u32::from(guard.is_none());
            assert!(guard.is_none() || refused == 0 || !is_left, "free at system call {at}");
        });
        assert!(traced.met(at), "it does without system call {at}");
    }
    assert!(refused > 50, "{refused} refused");
}

fn off(
    operator: &Operator,
    world: &World,
    target: &Target,
    fault: &Fault,
) -> Result<Detached, Failed> {
    let back = Back { target, vmid: None, to: None, who: WHO.to_owned(), kept: &|_| None };
    let way = operator.with_seams(world, &never(), |seams| way_off(seams, &back))?;
    if let Some(way) = way {
        operator.run_job(world, &job(&way), &never())?;
    }
    let tags = BTreeSet::from(["shop".to_owned()]);
    operator.with_seams(world, fault, |seams| detach(seams, &back, &tags))
}

#[test]
fn detach_with_a_fault_at_every_call_is_finished_by_the_same_again() {
    let target = stacks().0.manifest.target;
    for call in 0.. {
        let mut struck = 0;
        for after_effect in [false, true] {
            let (operator, world, ..) = on_two();
            world.inside().container.as_mut().expect("it is there").tags =
                ["mine".to_owned(), "shop".to_owned()].into();
            let fault = Fault::new(At::Call(call), after_effect);
            let run = off(&operator, &world, &target, &fault);
            struck += fault.struck();
            if run.is_err() {
                off(&operator, &world, &target, &never()).expect("its mark is still there");
            }
            let inside = world.inside();
            let container = inside.container.as_ref().expect("the guest itself stays");
            assert_eq!((&container.mark, &container.host_key), (&None, &None));
            assert_eq!(container.tags, BTreeSet::from(["mine".to_owned()]));
        }
        if struck == 0 {
            assert!(call >= 4, "only {call} calls: what is missing?");
            return;
        }
    }
}

/// Ctrl-C while the mark leaves: whether it did is asked, as after any other answer that did not come.
#[test]
fn a_mark_that_left_while_the_operator_stopped_waiting_has_left() {
    let (operator, world, _, two) = on_two();
    let target = &two.manifest.target;
    let fault = Fault::new(At::Unawaited("set"), true);
    off(&operator, &world, target, &fault).expect("it is done");
    assert_eq!(fault.struck(), 1);
    let inside = world.inside();
    assert_eq!(inside.container.as_ref().expect("the guest stays").mark, None);
}
