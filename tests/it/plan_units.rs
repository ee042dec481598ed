//! The unit decision table, row by row: what a switch does to a unit whose definition changes, and to nothing else.

use crate::{
    handmade::{Stack, access, bundle, name, seal},
    plan::{guest, switched, tags},
};
use stackc::model::{
    Bundle, Bytes, Digest, Entry, EntryPath, FileClass, GuestPath, Mode, Switch, UnitActions,
    UnitInputs, UnitName, protocol::UnitState,
};

const UNITS: &str = "rootfs/etc/systemd/system/";
const ACTIVE: &str = "active";
/// What every service of the table has.
const RUN: &str = "[Service]\nExecStart=/bin/a\n";

/// A unit before and after.
#[derive(Clone)]
struct Unit {
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

fn unit(name: &'static str, old: &str, new: &str) -> Unit {
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
fn drop_in(old: &str, new: &str) -> Unit {
    Unit { brings: Brings::DropIn, ..unit("nginx.service", old, new) }
}

/// Files for a package's unit.
fn files(old: UnitInputs, new: UnitInputs) -> Unit {
    Unit { brings: Brings::Files, ..unit("nginx.service", "", "").reads(old, new) }
}

/// `a.service`, which gets these lines besides those that it keeps.
fn service(kept: &str, old: &str, new: &str) -> Unit {
    unit("a.service", &format!("{RUN}{kept}{old}"), &format!("{RUN}{kept}{new}"))
}

fn changed_with(kept: &str) -> Unit {
    service(kept, "[Service]\nNice=1\n", "[Service]\nNice=2\n")
}

impl Unit {
    fn state(self, state: &'static str) -> Self {
        Self { state, ..self }
    }

    fn enabled(self) -> Self {
        Self { enabled: true, ..self }
    }

    fn goes(self) -> Self {
        Self { new: None, ..self }
    }

    fn comes(self) -> Self {
        Self { old: None, ..self }
    }

    fn reads(mut self, old: UnitInputs, new: UnitInputs) -> Self {
        (self.old_inputs, self.new_inputs) = (old, new);
        self
    }
}

fn with_units(units: &[Unit], new: bool) -> Bundle {
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

fn decided(units: &[Unit]) -> String {
    words(&switch(units).units)
}

fn switch(units: &[Unit]) -> Switch {
    let (live, wanted) = (with_units(units, false), with_units(units, true));
    let mut observed = guest(&live, &wanted, &tags("a"));
    observed.units = units
        .iter()
        .map(|unit| {
            let (load, active) = ("loaded".to_owned(), unit.state.to_owned());
            (name::<UnitName>(unit.name), UnitState { load, active })
        })
        .collect();
    switched(&wanted, &observed, &tags("a"))
}

/// `stop a.service, start a.socket a.service`.
fn words(actions: &UnitActions) -> String {
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
fn expect(rows: &[(&str, Vec<Unit>, &str)]) {
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
            vec![Unit { name: "ssh.service", ..changed_with("") }],
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
fn a_unit_that_must_not_be_restarted_is_left_alone() {
    expect(&[
        ("X-RestartIfChanged=false", vec![changed_with("X-RestartIfChanged=false\n")], ""),
        ("RefuseManualStop", vec![changed_with("[Unit]\nRefuseManualStop=true\n")], ""),
        ("X-OnlyManualStart", vec![changed_with("[Unit]\nX-OnlyManualStart=true\n")], ""),
    ]);
}

#[test]
fn a_socket_and_its_service_stop_together_and_the_socket_starts_first() {
    let socket = |old, new| unit("a.socket", old, new);
    let (one, two) = ("[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let both = "stop a.service a.socket, start a.socket a.service";
    expect(&[
        ("the service changes", vec![changed_with(""), socket(one, one)], both),
        ("the socket changes", vec![service("", "", ""), socket(one, two)], both),
        (
            "the socket changes while its service is down",
            vec![service("", "", "").state("inactive"), socket(one, two)],
            "stop a.socket, start a.socket",
        ),
        (
            "a socket that is down is none",
            vec![changed_with(""), socket(one, one).state("inactive")],
            "restart a.service",
        ),
    ]);
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
fn a_packages_unit_takes_its_drop_ins_like_a_unit_of_the_bundle_and_is_never_stopped() {
    let (one, two) = ("[Service]\nNice=1\n", "[Service]\nNice=2\n");
    expect(&[
        ("it changes", vec![drop_in(one, two)], "restart nginx.service"),
        ("it is the same", vec![drop_in(one, one)], ""),
        ("it comes", vec![drop_in(one, two).comes()], "restart nginx.service"),
        ("it comes while the unit is down", vec![drop_in(one, two).comes().state("inactive")], ""),
        ("it goes", vec![drop_in(one, two).goes()], "restart nginx.service"),
        ("it goes while the unit is down", vec![drop_in(one, two).goes().state("failed")], ""),
        (
            "of the login that carries stackc",
            vec![Unit { name: "ssh.service", ..drop_in(one, two).goes() }],
            "reload ssh.service",
        ),
    ]);
}

#[test]
fn a_packages_unit_takes_the_files_that_are_declared_for_it() {
    let path: GuestPath = name("/etc/nginx/conf.d/page.conf");
    let of = |text: &str| [(path.clone(), Digest::of(text.as_bytes()))].into();
    let restart = |text: &str| UnitInputs { restart: of(text), ..UnitInputs::default() };
    let reload = |text: &str| UnitInputs { reload: of(text), ..UnitInputs::default() };
    expect(&[
        ("a restart", vec![files(restart("1"), restart("2"))], "restart nginx.service"),
        ("a reload", vec![files(reload("1"), reload("2"))], "reload nginx.service"),
        ("the same", vec![files(reload("1"), reload("1"))], ""),
        ("they come", vec![files(reload("1"), reload("1")).comes()], "reload nginx.service"),
        (
            "they come for a restart",
            vec![files(restart("1"), restart("1")).comes()],
            "restart nginx.service",
        ),
        (
            "they come, and the package's start was held back",
            vec![files(reload("1"), reload("1")).comes().state("inactive")],
            "start nginx.service",
        ),
        ("they go", vec![files(reload("1"), reload("1")).goes()], "restart nginx.service"),
        (
            "a change while it is down",
            vec![files(restart("1"), restart("2")).state("inactive")],
            "",
        ),
    ]);
}

/// systemd refuses to start a socket whose service runs.
#[test]
fn a_changed_socket_goes_back_like_it_came() {
    let socket = unit("a.socket", "[Socket]\nListenStream=1\n", "[Socket]\nListenStream=2\n");
    let named = "[Socket]\nListenStream=1\nService=other.service\n";
    let other = Unit { name: "other.service", ..service("", "", "") };
    let undone = |units: &[Unit]| words(&switch(units).undo_units);
    let both = "stop a.service a.socket, start a.socket a.service";
    assert_eq!(undone(&[service("", "", ""), socket.clone()]), both);
    let named = unit("a.socket", named, &named.replace("=1", "=2"));
    let theirs = "stop other.service a.socket, start a.socket other.service";
    assert_eq!(decided(&[other.clone(), named.clone()]), theirs);
    assert_eq!(undone(&[other, named]), theirs);
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
fn a_socket_counts_for_every_service_that_names_it_and_not_for_one_that_listens_for_itself() {
    let socket = |new| unit("b.socket", "[Socket]\nListenStream=1\n", new);
    let same = || socket("[Socket]\nListenStream=1\n");
    let both = "stop a.service b.socket, start b.socket a.service";
    let named = "Sockets=b.socket\n";
    let own = |unit: Unit| Unit { name: "b.service", ..unit };
    let apart = "X-NotSocketActivated=true\n";
    expect(&[
        ("a service that names it changes", vec![changed_with(named), same()], both),
        ("it changes", vec![service(named, "", ""), socket("[Socket]\nListenStream=2\n")], both),
        (
            "a service of no socket's changes",
            vec![changed_with("Sockets=c.socket\n"), same()],
            "restart a.service",
        ),
        (
            "its own service listens for itself",
            vec![own(changed_with(apart)), same()],
            "restart b.service",
        ),
        (
            "it changes, and its own service listens for itself",
            vec![own(service(apart, "", "")), socket("[Socket]\nListenStream=2\n")],
            "stop b.service b.socket, start b.socket b.service",
        ),
    ]);
}

#[test]
fn what_is_tied_to_a_unit_that_goes_down_is_stopped_and_started_with_it_once() {
    let changed = || service("", "Nice=1\n", "Nice=2\n");
    let tied = |name, how: &str| Unit { name, ..service(&format!("[Unit]\n{how}\n"), "", "") };
    let with_stop = || service("ExecStop=/bin/s\n", "Nice=1\n", "Nice=2\n");
    for how in [
        "Requires=a.service",
        "Requisite=x.service a.service",
        "BindsTo=a.service",
        "PartOf=a.service",
    ] {
        let both = "stop b.service, restart a.service, start b.service";
        assert_eq!(decided(&[changed(), tied("b.service", how)]), both, "{how}");
    }
    let b = || tied("b.service", "Requires=a.service");
    expect(&[
        ("only wanted", vec![changed(), tied("b.service", "Wants=a.service")], "restart a.service"),
        ("it is down", vec![changed(), b().state("inactive")], "restart a.service"),
        (
            "else it would stay down",
            vec![with_stop(), b()],
            "stop b.service a.service, start a.service b.service",
        ),
        (
            "it changes as well",
            vec![
                changed(),
                Unit {
                    name: "b.service",
                    ..service("[Unit]\nRequires=a.service\n", "Nice=1\n", "Nice=2\n")
                },
            ],
            "stop b.service, restart a.service, start b.service",
        ),
        (
            "and what is tied to that",
            vec![changed(), b(), tied("c.service", "BindsTo=b.service")],
            "stop c.service b.service, restart a.service, start b.service c.service",
        ),
    ]);
}

#[test]
fn the_mount_of_the_root_is_only_mounted_anew() {
    let changed = unit("-.mount", "[Mount]\nWhat=/a\n", "[Mount]\nWhat=/b\n");
    expect(&[("it changes", vec![changed], "reload -.mount")]);
}

#[test]
fn an_instance_follows_its_template_which_is_no_unit_that_could_be_asked_to() {
    let template = |old: &str, new: &str| Unit { name: "a@.service", ..service("", old, new) };
    let with_instance = |template: Unit, old: bool, new: bool| {
        let link = |made: &mut Bundle, is_there| {
            let path = name(&format!("{UNITS}multi-user.target.wants/a@1.service"));
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
    assert_eq!(with_instance(same(), true, true), "");
    assert_eq!(with_instance(other(), true, true), "restart a@1.service");
    assert_eq!(with_instance(same().comes(), false, true), "start a@1.service");
    assert_eq!(with_instance(other(), true, false), "stop a@1.service");
    assert_eq!(with_instance(same().goes(), true, false), "stop a@1.service");
}
