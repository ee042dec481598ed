//! Activations over connections and a Proxmox that fail at each call in turn: the guest is whole on the old or the new
//! generation, the exit code says which, and the same command again converges.

use crate::{
    fake::operator::{At, Fault, Faulty, World},
    handmade::{self, Stack},
};
use stackc::{
    activate::{
        ActivateError, Activated, Back, Failed, Found, Job, Seams, Stage, Way, activate, look,
        preflight, settle, start, way_back,
    },
    model::{Bundle, Digest, GenerationId, GuestAccess, Target, Vmid},
    plan::Plan,
    remote::Connection,
    vault::{Secrets, VaultError},
};
use std::{fs, os::unix::fs::PermissionsExt};

pub const WHO: &str = "ops@desk";

/// An operator at a desk with secrets.
pub struct Operator {
    folder: tempfile::TempDir,
}

impl Operator {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secrets.toml");
        let text = format!("tag_key = \"{}\"\n[shop.dev]\npassword = \"p\"\n", "5a".repeat(32));
        fs::write(&path, text).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
        Self { folder }
    }

    pub fn job<'a>(&self, bundle: &'a Bundle) -> Job<'a> {
        let path = self.folder.path().join("secrets.toml");
        let job = Job::activate(bundle, &|| Secrets::load(&path), WHO.to_owned());
        job.expect("the job is whole")
    }

    pub fn with_seams<T>(
        &self,
        world: &World,
        fault: &Fault,
        work: impl FnOnce(&mut Seams<'_>) -> T,
    ) -> T {
        let faulty = || Faulty { inner: world.clone(), fault: fault.clone() };
        let access =
            GuestAccess { user: handmade::name("root"), identity: None, management: Vec::new() };
        work(&mut Seams {
            proxmox: &mut faulty(),
            open: &|_| -> Box<dyn Connection> { Box::new(faulty()) },
            fetch: &|_| Err("this stack has no release".into()),
            access,
            sudo_password: None,
            workspace: self.folder.path().to_owned(),
            progress: &|_, _| {},
            stopped: &|| fault.has_interrupted(),
            answers: &|_| false,
        })
    }

    /// What `stackc activate --yes` does for one guest.
    pub fn run(&self, world: &World, bundle: &Bundle, fault: &Fault) -> Result<Activated, Failed> {
        self.run_job(world, &self.job(bundle), fault)
    }

    pub fn run_job(
        &self,
        world: &World,
        job: &Job<'_>,
        fault: &Fault,
    ) -> Result<Activated, Failed> {
        self.with_seams(world, fault, |seams| {
            let found = look(seams, job)?;
            let (mut found, mut plan) = planned(seams, job, found)?;
            if plan.off {
                let started = start(seams, job, found, &plan)?;
                (found, plan) = planned(seams, job, started)?;
            }
            activate(seams, job, found, &plan)
        })
    }

    /// What `stackc rollback` finds where nothing is known but the target's name, and perhaps a number.
    pub fn way_back(
        &self,
        world: &World,
        target: &Target,
        vmid: Option<u32>,
    ) -> Result<Way, Failed> {
        let vmid = vmid.map(|number| Vmid::try_from(number).expect("a guest's number"));
        let back = Back { target, vmid, to: None, who: WHO.to_owned(), kept: &|_| None };
        self.with_seams(world, &never(), |seams| way_back(seams, &back))
    }

    pub fn run_well(&self, world: &World, bundle: &Bundle) -> Activated {
        self.run(world, bundle, &never()).expect("nothing is in its way")
    }
}

/// What is to be done, from what was found.
pub fn planned(
    seams: &mut Seams<'_>,
    job: &Job<'_>,
    found: Found,
) -> Result<(Found, Plan), Failed> {
    let found = settle(seams, job, found)?;
    let plan = found.plan(job).map_err(Failed::refused)?;
    preflight(seams, job, &found, &plan).map_err(Failed::refused)?;
    Ok((found, plan))
}

pub fn never() -> Fault {
    Fault::new(At::Call(usize::MAX), false)
}

/// Is what the run says true of the guest?
fn judge(world: &World, run: &Result<Activated, Failed>, old: Option<Digest>, new: Digest) {
    let (live, pending) = (world.live_digest(), world.inside().pending());
    let whole = match run.as_ref().map_err(|failed| failed.stage) {
        Ok(_) | Err(Stage::AfterConfirm) => live == Some(new) && pending.is_none(),
        Err(Stage::Refused | Stage::BeforeSwitch | Stage::Undone | Stage::SettingsLeft) => {
            live == old && pending.is_none()
        }
        Err(Stage::Unknown) => live == Some(new) || live == old,
    };
    assert!(whole, "{live:?} is live, {pending:?} is open, and the run says {run:?}");
}

/// Fails each call in turn, before and after its effect, from a fresh world each time. Returns the number of calls.
fn at_every_call(
    world: impl Fn() -> World,
    operator: &Operator,
    bundle: &Bundle,
    check: impl Fn(&World, &Result<Activated, Failed>),
) -> usize {
    for call in 0.. {
        for after_effect in [false, true] {
            let (world, fault) = (world(), Fault::new(At::Call(call), after_effect));
            let run = operator.run(&world, bundle, &fault);
            if fault.struck() == 0 {
                return call;
            }
            check(&world, &run);
        }
    }
    unreachable!("a run has an end")
}

pub fn stacks() -> (Bundle, Bundle) {
    let stack = Stack::default();
    let two = Stack { cores: 4, ..stack.version("two") };
    (handmade::bundle(&stack), handmade::bundle(&two))
}

#[test]
fn a_first_activation_survives_a_fault_at_every_call() {
    let (one, _) = stacks();
    let operator = Operator::new();
    let calls = at_every_call(
        || World::of(&[&one]),
        &operator,
        &one,
        |world, run| {
            judge(world, run, None, one.digest);
            operator.run_well(world, &one);
            assert_eq!(world.live_digest(), Some(one.digest));
        },
    );
    assert!(calls >= 16, "only {calls} calls: what is missing?");
}

#[test]
fn a_change_survives_a_fault_at_every_call() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = || {
        let world = World::of(&[&one, &two]);
        operator.run_well(&world, &one);
        world
    };
    let calls = at_every_call(world, &operator, &two, |world, run| {
        judge(world, run, Some(one.digest), two.digest);
        if run.as_ref().is_err_and(|failed| failed.stage == Stage::BeforeSwitch) {
            assert_eq!(cores(world), Some(1), "what ran before still runs, and as it did");
        }
        operator.run_well(world, &two);
        assert_eq!(world.live_digest(), Some(two.digest));
        assert_eq!(cores(world), Some(4));
    });
    assert!(calls >= 12, "only {calls} calls: what is missing?");
}

pub fn cores(world: &World) -> Option<u32> {
    world.inside().container.as_ref().and_then(|container| container.cores)
}

#[test]
fn settings_go_back_with_a_switch_that_was_undone() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    let failed = operator.run(&world, &two, &never()).expect_err("it is undone");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Undone, 5), "{:?}", failed.error);
    assert_eq!((world.live_digest(), cores(&world)), (Some(one.digest), Some(1)));
}

#[test]
fn a_setting_that_had_no_value_has_none_again_after_an_undo() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    world.inside().container.as_mut().expect("it is there").cores = None;
    operator.run(&world, &two, &never()).expect_err("it is undone");
    assert_eq!(cores(&world), None);
}

#[test]
fn an_undone_switch_tells_the_truth_about_settings_with_a_fault_at_every_call() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = || {
        let world = World::of(&[&one, &two]).breaks(&two);
        operator.run_well(&world, &one);
        world
    };
    at_every_call(world, &operator, &two, |world, run| {
        judge(world, run, Some(one.digest), two.digest);
        let failed = run.as_ref().expect_err("it cannot become live");
        match failed.stage {
            Stage::Refused | Stage::BeforeSwitch | Stage::Undone => {
                assert_eq!(cores(world), Some(1), "exits 3, 4 and 5 mean all of the old");
            }
            Stage::SettingsLeft | Stage::Unknown => assert_eq!(failed.exit_code(), 6),
            Stage::AfterConfirm => unreachable!("it cannot become live"),
        }
        operator.run(world, &two, &never()).expect_err("it is undone again");
        assert_eq!(world.live_digest(), Some(one.digest));
    });
}

#[test]
fn settings_that_cannot_go_back_are_told_with_exit_code_6() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    // The first change of settings is the plan's; those of the way back are lost, each time.
    let fault = Fault::new(At::Verb { verb: "set", from: 1, times: 2 }, false);
    let failed = operator.run(&world, &two, &fault).expect_err("it is undone");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::SettingsLeft, 6));
    assert_eq!(cores(&world), Some(4));
    // The plan of the bundle that has them shows no difference.
    let next = failed.error.next().expect("there is something to do");
    assert!(next.starts_with("stackc rollback shop/dev --to 1 "), "{next}");
    insta::assert_snapshot!(format!("{}\nstate: {}", failed.error, failed.state()));
}

#[test]
fn a_begin_that_never_arrives_has_changed_nothing_and_says_so() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    let fault = Fault::new(At::Verb { verb: "begin", from: 0, times: 3 }, false);
    let failed = operator.run(&world, &two, &fault).expect_err("it cannot begin");
    assert_eq!(fault.struck(), 3, "it is tried again, and not for ever");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::BeforeSwitch, 4));
    assert!(matches!(failed.error, ActivateError::NeverBegan { .. }), "{:?}", failed.error);
    assert_eq!(world.live_digest(), Some(one.digest));
    assert_eq!(world.inside().abandoned.len(), 1, "what was prepared in vain ends");
    insta::assert_snapshot!(format!("{}\nstate: {}", failed.error, failed.state()));
}

#[test]
fn devenv_b_a_begin_whose_replies_are_all_lost_is_found_and_confirmed() {
    let (one, two) = stacks();
    let operator = Operator::new();
    for times in 1..=3 {
        let world = World::of(&[&one, &two]);
        operator.run_well(&world, &one);
        let fault = Fault::new(At::Verb { verb: "begin", from: 0, times }, true);
        let activated = operator.run(&world, &two, &fault).expect("it had begun");
        assert_eq!(fault.struck(), times);
        assert_eq!(activated.generation, Some(GenerationId(2)), "it began once");
        assert_eq!(world.live_digest(), Some(two.digest));
    }
}

#[test]
fn a_rollback_chooses_its_target_after_its_own_open_switch_is_undone() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    operator.run_well(&world, &two);
    world.leave_open(WHO);
    let way = operator.way_back(&world, &two.manifest.target, None);
    assert_eq!(way.expect("there is one").generation.number, GenerationId(1));
    assert_eq!(world.inside().live, Some(GenerationId(2)), "what was open is undone");
}

#[test]
fn somebody_elses_open_switch_is_left_alone_and_told_as_busy() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    world.leave_open("eve@desk");
    let failed = operator.run(&world, &two, &never()).expect_err("the guest is busy");
    assert_eq!((failed.stage, failed.exit_code()), (Stage::Refused, 3));
    assert!(world.inside().pending().is_some(), "it is not ours to undo");
    insta::assert_snapshot!(failed.error.to_string());
}

#[test]
fn a_switch_that_could_not_be_undone_is_tried_again_by_whoever_comes_next() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    world.leave_torn("eve@desk");
    operator.run_well(&world, &two);
    assert_eq!(world.live_digest(), Some(two.digest));
    assert!(world.inside().pending().is_none());
}

#[test]
fn a_unit_that_failed_is_told_with_the_change_that_caused_it() {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]).breaks(&two);
    operator.run_well(&world, &one);
    let failed = operator.run(&world, &two, &never()).expect_err("it does not get healthy");
    insta::assert_snapshot!(format!("{}\n{}", failed.error, failed.error.evidence().join("\n")));
}

/// Version two live after version one.
pub fn on_two() -> (Operator, World, Bundle, Bundle) {
    let (one, two) = stacks();
    let operator = Operator::new();
    let world = World::of(&[&one, &two]);
    operator.run_well(&world, &one);
    operator.run_well(&world, &two);
    (operator, world, one, two)
}

pub fn no_secrets() -> Result<Secrets, VaultError> {
    Err(VaultError::Absent { path: "stacks/secrets.local.toml".into() })
}

#[test]
fn a_rollback_needs_no_definition_no_build_and_no_secret() {
    let (operator, world, one, two) = on_two();
    // The number is what somebody thinks; the mark is what counts.
    for thought in [None, Some(101), Some(999)] {
        let way = operator.way_back(&world, &two.manifest.target, thought);
        assert_eq!(way.expect("the guest has all of it").bundle, one, "{thought:?}");
    }
    let way = operator.way_back(&world, &two.manifest.target, None).expect("it is found again");
    let job = Job::rollback(&way, &no_secrets, WHO.to_owned()).expect("the guest holds them");
    operator.run_job(&world, &job, &never()).expect("nothing is in its way");
    assert_eq!((world.live_digest(), cores(&world)), (Some(one.digest), Some(1)));
}

#[test]
fn a_rollback_asks_for_secrets_that_the_guest_has_no_more() {
    let (operator, world, _, two) = on_two();
    let mut way = operator.way_back(&world, &two.manifest.target, None).expect("there is one");
    way.secrets.clear();
    let refused = Job::rollback(&way, &no_secrets, WHO.to_owned()).err();
    assert!(matches!(refused, Some(ActivateError::Vault(VaultError::Absent { .. }))));
}

#[test]
fn a_guest_without_mark_or_with_a_copy_is_not_gone_back_on() {
    let (operator, world, _, two) = on_two();
    let target = &two.manifest.target;
    let mut copy = world.inside().container.clone().expect("it is there");
    copy.vmid = Vmid::try_from(202).expect("a guest's number");
    world.inside().copy = Some(copy);
    let doubt = operator.way_back(&world, target, None).expect_err("which one is it?");
    world.inside().copy = None;
    world.inside().container.as_mut().expect("it is there").mark = None;
    let gone = operator.way_back(&world, target, Some(101)).expect_err("it is not stackc's");
    assert_eq!((doubt.exit_code(), gone.exit_code()), (3, 3));
    insta::assert_snapshot!(format!("{}\n{}", doubt.error, gone.error));
}
