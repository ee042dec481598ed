//! Generation 0 as an operator gets there: which way is chosen, what is refused, and calls that fail on the way.

use crate::{
    activate_faults::{Operator, WHO, never, no_secrets, on_two, stacks},
    fake::operator::{At, Fault, World},
    handmade::{name, put_file},
    plan::{guest, tags},
};
use stackc::{
    activate::{
        ActivateError, Activated, Back, Failed, Job, Seams, Stage, Way, activate, look, way_back,
    },
    model::{
        Bundle, Digest, FileClass, Generation, GenerationId, GuestAccess, HealthDocument,
        SecretTags, Target, UnitName, Vmid,
        protocol::{PackageService, UnitState},
    },
    plan::{Documents, Plan, UnitDecision, Wanted, plan, text},
    remote::Door,
};
use std::{collections::BTreeMap, sync::Mutex};

/// What `stackc rollback --to` finds; none is the generation before.
fn way(
    operator: &Operator,
    world: &World,
    target: &Target,
    to: Option<u64>,
) -> Result<Way, Failed> {
    way_with(operator, world, target, to, None)
}

fn way_with(
    operator: &Operator,
    world: &World,
    target: &Target,
    to: Option<u64>,
    kept: Option<&Bundle>,
) -> Result<Way, Failed> {
    let kept = |digest: &Digest| kept.filter(|bundle| bundle.digest == *digest).cloned();
    let (to, who) = (to.map(GenerationId), WHO.to_owned());
    let back = Back { target, vmid: None, to, who, kept: &kept };
    operator.with_seams(world, &never(), |seams| way_back(seams, &back))
}

pub fn job(way: &Way) -> Job<'_> {
    Job::rollback(way, &no_secrets, WHO.to_owned()).expect("it needs no secret")
}

/// Goes to generation 0.
pub fn go_to_found(operator: &Operator, world: &World, target: &Target) -> Activated {
    let way = way(operator, world, target, Some(0)).expect("there is a way");
    operator.run_job(world, &job(&way), &never()).expect("nothing is in its way")
}

fn planned(operator: &Operator, world: &World, way: &Way) -> Plan {
    operator.with_seams(world, &never(), |seams| {
        let job = job(way);
        look(seams, &job).expect("it answers").plan(&job).expect("it can be planned")
    })
}

#[test]
fn the_way_to_generation_0_survives_a_fault_at_every_call() {
    let target = stacks().0.manifest.target;
    let mut calls = 0;
    for call in 0.. {
        let mut struck = 0;
        for after_effect in [false, true] {
            let (operator, world, _, two) = on_two();
            let back = way(&operator, &world, &target, Some(0)).expect("there is a way");
            let fault = Fault::new(At::Call(call), after_effect);
            let run = operator.run_job(&world, &job(&back), &fault);
            struck += fault.struck();
            let live = world.live_digest();
            match run.as_ref().map_err(|failed| failed.stage) {
                Ok(_) | Err(Stage::AfterConfirm) => assert_eq!(live, None, "{run:?}"),
                Err(Stage::Unknown) => {}
                Err(_) => assert_eq!(live, Some(two.digest), "{run:?}"),
            }
            go_to_found(&operator, &world, &target);
            assert_eq!(world.live_digest(), None);
            let again = way(&operator, &world, &target, Some(0)).expect("there is a way");
            assert!(planned(&operator, &world, &again).is_empty(), "it is there");
        }
        if struck == 0 {
            calls = call;
            break;
        }
    }
    assert!(calls >= 6, "only {calls} calls: what is missing?");
}

#[test]
fn from_generation_0_a_rollback_leads_to_what_was_live_and_then_further_back() {
    let (operator, world, one, two) = on_two();
    let target = &one.manifest.target;
    assert_eq!(go_to_found(&operator, &world, target).generation, Some(GenerationId(3)));
    for expected in [&two, &one] {
        let back = way(&operator, &world, target, None).expect("there is a way");
        assert_eq!(&back.bundle, expected);
        operator.run_job(&world, &job(&back), &never()).expect("nothing is in its way");
        assert_eq!(world.live_digest(), Some(expected.digest));
    }
}

#[test]
fn what_no_plan_can_change_keeps_nobody_from_going_back() {
    let (operator, world, one, _) = on_two();
    let target = &one.manifest.target;
    // Since then it has grown, has moved to another storage, pool and number, and has another volume.
    if let Some(container) = &mut world.inside().container {
        container.disk_gib += 8;
        "other".clone_into(&mut container.storage);
        container.pool = Some(name("others"));
        container.vmid = Vmid::try_from(205).expect("it is a number of a guest");
        let volume = "other:vm-205-disk-1,mp=/srv/data,size=2G,backup=1";
        container.mounts.insert(name("mp3"), volume.to_owned());
    }
    let back = way(&operator, &world, target, None).expect("there is a way");
    insta::assert_snapshot!(text(&planned(&operator, &world, &back)));
    operator.run_job(&world, &job(&back), &never()).expect("nothing is in its way");
    assert_eq!(world.live_digest(), Some(one.digest));
    let found = way(&operator, &world, target, Some(0)).expect("there is a way");
    operator.run_job(&world, &job(&found), &never()).expect("nothing is in its way");
    assert_eq!(world.live_digest(), None);
}

#[test]
fn nobody_comes_to_generation_0_but_by_its_number() {
    let (one, two) = stacks();
    let (operator, world) = (Operator::new(), World::of(&[&one, &two]));
    operator.run_well(&world, &one);
    let target = &one.manifest.target;
    let first = way(&operator, &world, target, None).expect_err("it takes the app away");
    assert_eq!(first.exit_code(), 3);
    go_to_found(&operator, &world, target);
    operator.run_well(&world, &two);
    assert_eq!(world.live_digest(), Some(two.digest), "an activation from there");
    let second = way(&operator, &world, target, None).expect_err("it takes the app away");
    assert!(matches!(second.error, ActivateError::FoundBefore { .. }), "{:?}", second.error);
    let by_number = way(&operator, &world, target, Some(2)).expect("2 is the guest as found");
    assert_eq!(by_number.generation.number, GenerationId::FOUND);
    let next = first.error.next().expect("it says how");
    insta::assert_snapshot!(format!("{}\n{next}", first.error));
}

#[test]
fn generations_that_cannot_come_back_are_named_with_those_that_can() {
    let (one, two) = stacks();
    let (operator, world) = (Operator::new(), World::of(&[&one, &two]).breaks(&two));
    operator.run_well(&world, &one);
    operator.run(&world, &two, &never()).expect_err("it is undone");
    let told = [2, 9].map(|number| {
        let failed = way(&operator, &world, &one.manifest.target, Some(number));
        let failed = failed.expect_err("it is nowhere to go");
        assert_eq!(failed.exit_code(), 3);
        failed.error.to_string()
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_collected_generation_comes_back_from_what_the_operator_kept_or_is_refused_by_name() {
    let (operator, world, one, two) = on_two();
    world.lose_tree(&one);
    let target = &two.manifest.target;
    let failed = way(&operator, &world, target, Some(1)).expect_err("nobody has it");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Refused, 3));
    let back = way_with(&operator, &world, target, Some(1), Some(&one)).expect("it is in out/");
    let steps = planned(&operator, &world, &back).summary();
    assert!(steps.contains("send"), "{steps}");
    operator.run_job(&world, &job(&back), &never()).expect("nothing is in its way");
    assert_eq!(world.live_digest(), Some(one.digest));
    let next = failed.error.next().expect("it says how");
    insta::assert_snapshot!(format!("{}\n{next}", failed.error));
}

#[test]
fn an_operator_whose_way_in_leaves_confirms_as_root() {
    let (mut one, _) = stacks();
    let rule = "ops ALL=(ALL) NOPASSWD:ALL\n";
    put_file(&mut one, "/etc/sudoers.d/ops", FileClass::Copied, rule);
    let (operator, world) = (Operator::new(), World::of(&[&one]));
    operator.run_well(&world, &one);
    let way = way(&operator, &world, &one.manifest.target, Some(0)).expect("there is a way");
    let told = text(&planned(&operator, &world, &way));
    assert!(told.contains("from then on root gets in"), "{told}");
    let users = Mutex::new(Vec::new());
    operator
        .with_seams(&world, &never(), |seams| {
            seams.access = GuestAccess { user: name("ops"), ..seams.access.clone() };
            let open = seams.open;
            let noted = |door: Door| {
                users.lock().expect("nobody panics").push(door.access.user.to_string());
                open(door)
            };
            let mut seams = Seams {
                proxmox: &mut *seams.proxmox,
                open: &noted,
                fetch: seams.fetch,
                access: seams.access.clone(),
                sudo_password: None,
                workspace: seams.workspace.clone(),
                progress: seams.progress,
                stopped: seams.stopped,
                answers: seams.answers,
            };
            let job = job(&way);
            let found = look(&mut seams, &job)?;
            let plan = found.plan(&job).map_err(Failed::refused)?;
            activate(&mut seams, &job, found, &plan)
        })
        .expect("root gets in");
    assert_eq!(*users.lock().expect("nobody panics"), ["ops", "root"]);
}

/// The plan to generation 0 of a guest whose units were found and are now like this.
fn plan_of_units(found: &[(&str, bool)], now: &[&str]) -> Plan {
    plan_with_services(found, now, BTreeMap::new())
}

fn plan_with_services(
    found: &[(&str, bool)],
    now: &[&str],
    services: BTreeMap<UnitName, PackageService>,
) -> Plan {
    let live = stacks().0;
    let documents = Documents::of(&live).expect("it is whole");
    let health = HealthDocument { probes: BTreeMap::new(), ..documents.health };
    let bundle = Bundle::found(live.manifest.target.clone(), &documents.proxmox, &health);
    let mut guest = guest(&live, &bundle, &tags("a"));
    let recorded = guest.recorded.as_mut().expect("another bundle is live");
    recorded.found.units = found.iter().map(|(unit, ran)| (name(unit), *ran)).collect();
    recorded.found.firewall = true;
    let state = UnitState { load: "loaded".to_owned(), active: "active".to_owned() };
    guest.units = now.iter().map(|unit| (name(unit), state.clone())).collect();
    guest.services = services;
    let none = SecretTags::new();
    let secrets = Generation::found(String::new(), String::new()).secrets;
    let wanted = Wanted { bundle: &bundle, tags: &none, secrets, release: None, goes_back: true };
    let documents = Documents::of(&bundle).expect("it is whole");
    plan(&wanted, &documents, None, Some(&guest)).expect("it can be planned")
}

#[test]
fn the_plan_to_generation_0_says_what_leaves_and_what_stays() {
    let found = [("web.service", false), ("nginx.service", false)];
    let plan = plan_of_units(&found, &["web.service", "nginx.service", "cron.service"]);
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn units_run_as_they_did_when_the_guest_was_found_and_the_login_always() {
    let found = [
        ("web.service", true),
        ("nginx.service", false),
        ("ssh.service", false),
        ("a.timer", true),
    ];
    let plan = plan_of_units(&found, &["web.service", "nginx.service", "ssh.service"]);
    let decided: Vec<_> =
        plan.units.iter().map(|(unit, change)| (unit.as_str(), change.decision)).collect();
    let stop_then_start = UnitDecision::StopThenStart;
    assert_eq!(
        decided,
        [("nginx.service", UnitDecision::Stop), ("web.service", stop_then_start)],
        "a unit that a person stopped is not ours to start"
    );
}

/// Its condition names no generation that is live there, so that a start would be skipped.
#[test]
fn a_service_that_came_with_a_package_of_stackcs_rests_in_generation_0_also_where_it_ran_before() {
    let service = |wanted| PackageService { package: name("nginx"), wanted, live: true };
    let decided = |wanted| {
        let services = BTreeMap::from([(name("nginx.service"), service(wanted))]);
        let found = [("nginx.service", true)];
        let plan = plan_with_services(&found, &["nginx.service"], services);
        plan.units.get(&name::<UnitName>("nginx.service")).map(|change| change.decision)
    };
    assert_eq!(decided(false), Some(UnitDecision::Stop));
    assert_eq!(decided(true), None, "somebody else's package needs it");
}
