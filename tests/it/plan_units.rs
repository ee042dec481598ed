//! The unit decision table, row by row: what a switch does to a unit whose definition changes, and to nothing else.

use crate::{
    guest_prepare::release_document,
    handmade::{Stack, access, bundle, name, put, seal},
    plan::{container, guest, planned, recorded, switched, tags},
};
use stackc::model::{
    Bundle, Bytes, Digest, Entry, EntryPath, FileClass, GuestPath, Mode, Switch, UnitActions,
    UnitInputs, UnitName, canonical, document,
    protocol::{ObservedGuest, UnitState},
};
use stackc::plan::{Effect, Step, text};

pub const UNITS: &str = "rootfs/etc/systemd/system/";
pub const ACTIVE: &str = "active";
/// What every service of the table has.
const RUN: &str = "[Service]\nExecStart=/bin/a\n";

/// A unit before and after.
#[derive(Clone)]
pub struct Unit {
    name: &'static str,
    old: Option<String>,
    new: Option<String>,
    state: &'static str,
    enabled: bool,
    old_inputs: UnitInputs,
    new_inputs: UnitInputs,
    /// What the bundle has of it.
    brings: Brings,
}

#[derive(Clone, Copy, PartialEq)]
enum Brings {
    Unit,
    DropIn,
    /// Files that it reads; the unit is a package's.
    Files,
}

pub fn unit(name: &'static str, old: &str, new: &str) -> Unit {
    Unit {
        name,
        old: Some(old.to_owned()),
        new: Some(new.to_owned()),
        state: ACTIVE,
        enabled: false,
        old_inputs: UnitInputs::default(),
        new_inputs: UnitInputs::default(),
        brings: Brings::Unit,
    }
}

/// A drop-in for a package's unit.
pub fn drop_in(old: &str, new: &str) -> Unit {
    Unit { brings: Brings::DropIn, ..unit("nginx.service", old, new) }
}

/// Files for a package's unit.
pub fn files(old: UnitInputs, new: UnitInputs) -> Unit {
    Unit { brings: Brings::Files, ..unit("nginx.service", "", "").reads(old, new) }
}

/// `a.service`, which gets these lines besides those that it keeps.
pub fn service(kept: &str, old: &str, new: &str) -> Unit {
    unit("a.service", &format!("{RUN}{kept}{old}"), &format!("{RUN}{kept}{new}"))
}

pub fn changed_with(kept: &str) -> Unit {
    service(kept, "[Service]\nNice=1\n", "[Service]\nNice=2\n")
}

impl Unit {
    pub fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    pub fn state(self, state: &'static str) -> Self {
        Self { state, ..self }
    }

    pub fn enabled(self) -> Self {
        Self { enabled: true, ..self }
    }

    pub fn goes(self) -> Self {
        Self { new: None, ..self }
    }

    pub fn comes(self) -> Self {
        Self { old: None, ..self }
    }

    pub fn reads(mut self, old: UnitInputs, new: UnitInputs) -> Self {
        (self.old_inputs, self.new_inputs) = (old, new);
        self
    }
}

pub fn with_units(units: &[Unit], new: bool) -> Bundle {
    let mut made = bundle(&Stack::default());
    made.manifest.entries.retain(|path, _| !path.as_str().starts_with(UNITS));
    made.files.retain(|path, _| !path.as_str().starts_with(UNITS));
    for unit in units {
        let (text, inputs) =
            if new { (&unit.new, &unit.new_inputs) } else { (&unit.old, &unit.old_inputs) };
        let Some(text) = text else { continue };
        let path: EntryPath = match unit.brings {
            Brings::Unit => name(&format!("{UNITS}{}", unit.name)),
            Brings::DropIn => name(&format!("{UNITS}{}.d/own.conf", unit.name)),
            Brings::Files => {
                made.manifest.units.insert(name(unit.name), inputs.clone());
                continue;
            }
        };
        let bytes = text.clone().into_bytes();
        let entry = Entry::File {
            class: FileClass::Linked,
            access: access(Mode::FILE),
            bytes: Bytes::of(&bytes),
            unit: Some(inputs.clone()),
        };
        made.manifest.entries.insert(path.clone(), entry);
        made.files.insert(path, bytes);
        if unit.enabled {
            let link = Entry::Link { target: format!("../{}", unit.name) };
            let path = name(&format!("{UNITS}multi-user.target.wants/{}", unit.name));
            made.manifest.entries.insert(path, link);
        }
    }
    seal(&mut made);
    made
}

pub fn decided(units: &[Unit]) -> String {
    words(&switch(units).units)
}

pub fn switch(units: &[Unit]) -> Switch {
    let (wanted, observed) = observed(units);
    switched(&wanted, &observed, &tags("a"))
}

/// The plan, as a person reads it.
pub fn told(units: &[Unit]) -> String {
    let (wanted, observed) = observed(units);
    let there = container(&Stack::default());
    text(&planned(&wanted, &tags("a"), Some(&there), Some(&observed)))
}

/// The bundle with the new units, and a guest that has the old ones.
fn observed(units: &[Unit]) -> (Bundle, ObservedGuest) {
    let (live, wanted) = (with_units(units, false), with_units(units, true));
    let mut observed = guest(&live, &wanted, &tags("a"));
    observed.units = units
        .iter()
        .map(|unit| {
            let (load, active) = ("loaded".to_owned(), unit.state.to_owned());
            (name::<UnitName>(unit.name), UnitState { load, active })
        })
        .collect();
    (wanted, observed)
}

/// `stop a.service, start a.socket a.service`.
pub fn words(actions: &UnitActions) -> String {
    let lists = [
        ("stop", &actions.stop),
        ("reload", &actions.reload),
        ("restart", &actions.restart),
        ("start", &actions.start),
    ];
    let lists = lists.iter().filter(|(_, units)| !units.is_empty()).map(|(verb, units)| {
        let units: Vec<&str> = units.iter().map(UnitName::as_str).collect();
        format!("{verb} {}", units.join(" "))
    });
    lists.collect::<Vec<_>>().join(", ")
}

/// Every row, so that one run shows all that are wrong.
pub fn expect(rows: &[(&str, Vec<Unit>, &str)]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(row, units, expected)| (row, decided(units), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(row, found, expected)| format!("{row}: `{found}`, not `{expected}`"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_does_not_change_how_a_unit_runs_changes_nothing() {
    let cosmetic = [
        "Description",
        "Documentation",
        "OnFailure",
        "OnSuccess",
        "OnFailureJobMode",
        "IgnoreOnIsolate",
        "StopWhenUnneeded",
        "RefuseManualStart",
        "RefuseManualStop",
        "AllowIsolate",
        "CollectMode",
        "SourcePath",
    ];
    for key in cosmetic {
        let (old, new) = (format!("[Unit]\n{key}=1\n"), format!("[Unit]\n{key}=0\n"));
        assert_eq!(decided(&[service("", &old, &new)]), "", "{key}");
    }
    expect(&[
        ("comments and blanks", vec![service("", "# one\n", "; two\n\n")], ""),
        ("[Install]", vec![service("", "", "[Install]\nWantedBy=multi-user.target\n")], ""),
        (
            "an empty value takes back what was said",
            vec![service("", "Nice=2\n", "Nice=1\nNice=\nNice=2\n")],
            "",
        ),
        ("a continued line", vec![service("", "Nice=1\n", "Nice=\\\n1\n")], ""),
        ("ExecReload removed", vec![service("", "ExecReload=/bin/r\n", "")], ""),
        ("target", vec![unit("a.target", "[Unit]\nWants=b\n", "[Unit]\nWants=c\n")], ""),
        ("path", vec![unit("a.path", "[Path]\nUnit=b\n", "[Path]\nUnit=c\n")], ""),
        ("slice", vec![unit("a.slice", "[Slice]\nTasksMax=1\n", "[Slice]\nTasksMax=2\n")], ""),
    ]);
}

#[test]
fn what_a_unit_can_read_anew_is_a_reload() {
    expect(&[
        (
            "X-Reload-Triggers",
            vec![service("", "[Unit]\nX-Reload-Triggers=1\n", "[Unit]\nX-Reload-Triggers=2\n")],
            "reload a.service",
        ),
        (
            "ExecReload changed",
            vec![service("", "ExecReload=/bin/r\n", "ExecReload=/bin/s\n")],
            "reload a.service",
        ),
        ("ExecReload added", vec![service("", "", "ExecReload=/bin/r\n")], "reload a.service"),
        (
            "mount options",
            vec![unit("srv.mount", "[Mount]\nOptions=ro\n", "[Mount]\nOptions=rw\n")],
            "reload srv.mount",
        ),
        ("X-ReloadIfChanged", vec![changed_with("X-ReloadIfChanged=true\n")], "reload a.service"),
        (
            "the login that carries stackc",
            vec![changed_with("").named("ssh.service")],
            "reload ssh.service",
        ),
    ]);
}

#[test]
fn everything_else_is_a_restart() {
    expect(&[
        ("another value", vec![changed_with("")], "restart a.service"),
        (
            "another order of values",
            vec![service(
                "",
                "Environment=A=1\nEnvironment=B=1\n",
                "Environment=B=1\nEnvironment=A=1\n",
            )],
            "restart a.service",
        ),
        ("a new section", vec![service("", "", "[X-Own]\nKey=1\n")], "restart a.service"),
        ("a section that goes", vec![service("", "[X-Own]\nKey=1\n", "")], "restart a.service"),
        (
            "X-Restart-Triggers",
            vec![service("", "[Unit]\nX-Restart-Triggers=1\n", "[Unit]\nX-Restart-Triggers=2\n")],
            "restart a.service",
        ),
        (
            "a reload and a restart are a restart",
            vec![service("", "ExecReload=/bin/r\n", "ExecReload=/bin/s\nNice=1\n")],
            "restart a.service",
        ),
        (
            "a timer is no service",
            vec![unit("a.timer", "[Timer]\nOnBootSec=1\n", "[Timer]\nOnBootSec=2\n")],
            "restart a.timer",
        ),
        (
            "what a mount mounts",
            vec![unit("srv.mount", "[Mount]\nWhat=/a\n", "[Mount]\nWhat=/b\n")],
            "restart srv.mount",
        ),
        (
            "X-StopIfChanged=false, with an ExecStop",
            vec![changed_with("ExecStop=/bin/s\nX-StopIfChanged=false\n")],
            "restart a.service",
        ),
    ]);
}

#[test]
fn a_service_with_its_own_way_to_stop_is_stopped_by_its_old_definition() {
    let stop_then_start = "stop a.service, start a.service";
    expect(&[
        ("ExecStop", vec![changed_with("ExecStop=/bin/s\n")], stop_then_start),
        ("ExecStopPost", vec![changed_with("ExecStopPost=/bin/s\n")], stop_then_start),
        ("an ExecStop that goes", vec![service("", "ExecStop=/bin/s\n", "")], stop_then_start),
        ("X-StopIfChanged", vec![changed_with("X-StopIfChanged=true\n")], stop_then_start),
    ]);
}

#[test]
fn a_target_that_asks_for_it_is_stopped_by_every_switch_with_what_is_part_of_it() {
    let target = |state| {
        let text = "[Unit]\nX-StopOnReconfiguration=true\n";
        unit("a.target", text, text).state(state)
    };
    let part = || service("[Unit]\nPartOf=a.target\n", "", "").named("b.service");
    let same = || service("", "", "");
    expect(&[
        (
            "something changes",
            vec![target(ACTIVE), changed_with(""), part()],
            "stop b.service a.target, restart a.service, start a.target b.service",
        ),
        ("nothing changes", vec![target(ACTIVE), same(), part()], ""),
        ("it is not reached", vec![target("inactive"), changed_with("")], "restart a.service"),
    ]);
    for fixed in ["RefuseManualStart", "RefuseManualStop", "X-OnlyManualStart"] {
        let text = format!("[Unit]\nX-StopOnReconfiguration=true\n{fixed}=true\n");
        let units = [unit("a.target", &text, &text), changed_with(""), part()];
        assert_eq!(decided(&units), "restart a.service", "{fixed}");
    }
    let other = unit("a.target", "[Unit]\nWants=b\n", "[Unit]\nWants=c\n");
    assert_eq!(decided(&[other, changed_with("")]), "restart a.service");
}

#[test]
fn a_migration_rests_what_runs_from_the_release_and_may_be_stopped_and_the_plan_says_so() {
    let inputs = || UnitInputs { release: true, ..UnitInputs::default() };
    let of_release = |unit: Unit| unit.reads(inputs(), inputs());
    let with = |name, kept: &str| of_release(service(kept, "", "").named(name));
    let units = [
        with("a.service", ""),
        with("b.service", "Type=oneshot\n").state("inactive"),
        with("c@.service", ""),
        with("d.service", "X-RestartIfChanged=false\n"),
        with("e.service", "[Unit]\nRefuseManualStop=true\n"),
        service("", "", "").named("f.service"),
        with("g.service", "[Unit]\nRefuseManualStart=true\n"),
        with("h.service", "Type=oneshot\n").state("activating"),
    ];
    let (mut wanted, mut observed) = observed(&units);
    observed.recorded = Some(recorded(&wanted));
    let release = canonical::to_bytes(&release_document("app"));
    put(&mut wanted, document::RELEASE, &release, Entry::Document);
    let there = container(&Stack::default());
    let plan = planned(&wanted, &tags("a"), Some(&there), Some(&observed));
    let step = plan.steps.iter().find(|step| step.step.name() == "migrate").expect("it migrates");
    assert_eq!(step.step, Step::Migrate { rest: vec![name("a.service")] });
    assert_eq!(step.effect, Effect::Restart);
    let line = "stop+start a.service: it rests meanwhile";
    assert!(text(&plan).contains(line), "{}", text(&plan));
}

#[test]
fn a_unit_that_goes_is_stopped_and_one_that_comes_is_started() {
    expect(&[
        ("it goes", vec![changed_with("").goes()], "stop a.service"),
        ("it goes and is down", vec![changed_with("").goes().state("inactive")], ""),
        ("X-StopOnRemoval=false", vec![changed_with("[Unit]\nX-StopOnRemoval=false\n").goes()], ""),
        (
            "it comes, enabled",
            vec![changed_with("").comes().enabled().state("inactive")],
            "start a.service",
        ),
        ("it comes, not enabled", vec![changed_with("").comes().state("inactive")], ""),
        (
            "it comes, and runs by its package's file",
            vec![changed_with("").comes().enabled()],
            "restart a.service",
        ),
    ]);
}

#[test]
fn a_unit_that_is_masked_is_stopped_and_runs_again_after_an_undo() {
    let live = bundle(&Stack::default());
    let mut wanted = live.clone();
    let mask = Entry::Link { target: "/dev/null".to_owned() };
    wanted.manifest.entries.insert(name(&format!("{UNITS}a.service")), mask);
    seal(&mut wanted);
    for (state, forth, back) in
        [(ACTIVE, "stop a.service", "start a.service"), ("inactive", "", "")]
    {
        let mut observed = guest(&live, &wanted, &tags("a"));
        let (load, active) = ("loaded".to_owned(), state.to_owned());
        observed.units.insert(name("a.service"), UnitState { load, active });
        let switch = switched(&wanted, &observed, &tags("a"));
        assert_eq!((words(&switch.units), words(&switch.undo_units)), (forth.into(), back.into()));
    }
}

#[test]
fn a_unit_of_ours_that_is_masked_is_stopped_unless_it_is_to_outlive_its_file() {
    for (kept, forth) in [("", "stop a.service"), ("[Unit]\nX-StopOnRemoval=false\n", "")] {
        let live = with_units(&[changed_with(kept)], false);
        let mut wanted = with_units(&[], true);
        let mask = Entry::Link { target: "/dev/null".to_owned() };
        wanted.manifest.entries.insert(name(&format!("{UNITS}a.service")), mask);
        seal(&mut wanted);
        let mut observed = guest(&live, &wanted, &tags("a"));
        let (load, active) = ("loaded".to_owned(), ACTIVE.to_owned());
        observed.units.insert(name("a.service"), UnitState { load, active });
        assert_eq!(words(&switched(&wanted, &observed, &tags("a")).units), forth, "{kept}");
    }
}

#[test]
fn a_unit_that_is_down_is_only_started_when_it_is_enabled_and_changed() {
    for state in ["inactive", "failed"] {
        expect(&[
            ("changed, not enabled", vec![changed_with("").state(state)], ""),
            ("enabled, not changed", vec![service("", "", "").enabled().state(state)], ""),
            (
                "enabled and changed",
                vec![changed_with("").enabled().state(state)],
                "start a.service",
            ),
        ]);
    }
}

#[test]
fn what_a_unit_reads_counts_like_its_text() {
    let path: GuestPath = name("/etc/a.conf");
    let restart = |text: &str| UnitInputs {
        restart: [(path.clone(), Digest::of(text.as_bytes()))].into(),
        ..UnitInputs::default()
    };
    let reload = |text: &str| UnitInputs {
        reload: [(path.clone(), Digest::of(text.as_bytes()))].into(),
        ..UnitInputs::default()
    };
    let same = || service("", "", "");
    expect(&[
        ("a file", vec![same().reads(restart("1"), restart("2"))], "restart a.service"),
        (
            "a file that comes",
            vec![same().reads(UnitInputs::default(), restart("1"))],
            "restart a.service",
        ),
        ("a file to reload", vec![same().reads(reload("1"), reload("2"))], "reload a.service"),
        ("the same file", vec![same().reads(restart("1"), restart("1"))], ""),
    ]);
}

#[test]
fn the_mount_of_the_root_is_only_mounted_anew() {
    let changed = unit("-.mount", "[Mount]\nWhat=/a\n", "[Mount]\nWhat=/b\n");
    expect(&[("it changes", vec![changed], "reload -.mount")]);
}

#[test]
fn an_instance_follows_its_template_which_is_no_unit_that_could_be_asked_to() {
    let template = |old: &str, new: &str| service("", old, new).named("a@.service");
    let with_instance = |folder: &str, template: Unit, old: bool, new: bool| {
        let link = |made: &mut Bundle, is_there| {
            let path = name(&format!("{UNITS}{folder}/a@1.service"));
            let link = Entry::Link { target: "../a@.service".to_owned() };
            if is_there {
                made.manifest.entries.insert(path, link);
            }
            seal(made);
        };
        let units = [template.state("inactive")];
        let (mut live, mut wanted) = (with_units(&units, false), with_units(&units, true));
        link(&mut live, old);
        link(&mut wanted, new);
        let mut observed = guest(&live, &wanted, &tags("a"));
        let active = if old { "active" } else { "inactive" }.to_owned();
        let state = UnitState { load: "loaded".to_owned(), active };
        observed.units = [(name::<UnitName>("a@1.service"), state)].into();
        words(&switched(&wanted, &observed, &tags("a")).units)
    };
    let (same, other) = (|| template("", ""), || template("Nice=1\n", "Nice=2\n"));
    for folder in ["multi-user.target.wants", "multi-user.target.requires"] {
        let with_instance = |template, old, new| with_instance(folder, template, old, new);
        assert_eq!(with_instance(same(), true, true), "");
        assert_eq!(with_instance(other(), true, true), "restart a@1.service");
        assert_eq!(with_instance(same().comes(), false, true), "start a@1.service");
        assert_eq!(with_instance(other(), true, false), "stop a@1.service");
        assert_eq!(with_instance(same().goes(), true, false), "stop a@1.service");
    }
}
