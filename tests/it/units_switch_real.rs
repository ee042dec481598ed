//! The unit decision table on a real systemd: what a switch, and its undo, does to units of every sort, event by event, and to
//! every other unit nothing.

use crate::{
    compile::{compiled, with_project},
    fixture_lab::RealLab,
    guest_fixture::{caller, identity},
    guest_real::RealGuest,
};
use stackc::{
    model::{
        Bundle, GenerationCause, Nonce, Phase, SecretTags, SecretsVersion, Switch, TxId, TxState,
        protocol::{
            BeginRequest, BundleRequest, Done, ObserveRequest, ObservedGuest, ReceiveRequest,
            SecretsRequest, UndoRequest,
        },
    },
    plan::{Documents, NewGeneration, Wanted, switch, watched_units},
    store,
};
use std::collections::{BTreeMap, BTreeSet};

/// Runs until it is asked to end, and says so: `run NAME VERSION`.
const RUN: &str = "#!/bin/sh
say() { echo \"$1\" >>/run/events; }
say \"$1 starts as $2\"
trap 'say \"$1 ends as $2\"; exit 0' TERM
while :; do sleep 1000 & wait; done
";
const SAY: &str = "#!/bin/sh\necho \"$*\" >>/run/events\n";

/// A service of the table: its lines, and whether the version has it.
struct Row {
    name: &'static str,
    /// The text of the unit in a version; none where it has none.
    text: fn(u32) -> Option<String>,
    enabled: bool,
    more: &'static str,
}

/// A unit's lines before those that run it.
fn service(name: &str, version: u32, unit: &str, lines: &str) -> String {
    format!(
        "[Unit]\n{unit}\n[Service]\nExecStart=/usr/local/bin/run {name} {version}\nKillMode=mixed\n{lines}\n"
    )
}

/// A service that runs the same program in both versions.
fn fixed(name: &str, unit: &str, lines: &str) -> String {
    service(name, 0, unit, lines)
}

fn row(name: &'static str, text: fn(u32) -> Option<String>) -> Row {
    Row { name, text, enabled: true, more: "" }
}

fn rows() -> Vec<Row> {
    vec![
        row("a-same", |_| Some(fixed("a-same", "", ""))),
        row("b-described", |v| {
            Some(fixed("b-described", &format!("Description=Number {v}\n# remark {v}"), ""))
        }),
        row("c-restarts", |v| Some(service("c-restarts", v, "", ""))),
        row("d-reloads", |v| {
            let reload = format!("ExecReload=/usr/local/bin/say d-reloads reloads as {v}");
            Some(fixed("d-reloads", "", &reload))
        }),
        row("e-reload-if-changed", |v| {
            let lines =
                "X-ReloadIfChanged=true\nExecReload=/usr/local/bin/say e-reload-if-changed reloads";
            Some(service("e-reload-if-changed", v, "", lines))
        }),
        row("f-stops-by-the-old", |v| {
            let stop = format!("ExecStop=/usr/local/bin/say f-stops-by-the-old is stopped by {v}");
            Some(service("f-stops-by-the-old", v, "", &stop))
        }),
        row("g-goes", |v| {
            let stop = "ExecStop=/usr/local/bin/say g-goes is stopped";
            (v == 1).then(|| service("g-goes", 1, "", stop))
        }),
        row("h-stays-when-it-goes", |v| {
            (v == 1).then(|| service("h-stays-when-it-goes", 1, "X-StopOnRemoval=false", ""))
        }),
        row("i-comes", |v| (v == 2).then(|| service("i-comes", 2, "", ""))),
        Row {
            enabled: false,
            ..row("j-comes-and-is-nobodys", |v| {
                (v == 2).then(|| service("j-comes-and-is-nobodys", 2, "", ""))
            })
        },
        row("k-is-left-alone", |v| {
            Some(service("k-is-left-alone", v, "", "X-RestartIfChanged=false"))
        }),
        Row { enabled: false, ..row("l-is-down", |v| Some(service("l-is-down", v, "", ""))) },
        row("m-reads-two-files", |_| {
            let files = "EnvironmentFile=/etc/table/one\nEnvironmentFile=/etc/table/two";
            Some(fixed("m-reads-two-files", "", files))
        }),
        Row {
            more: "reads = [\"/etc/table/three\"]",
            ..row("n-is-told-what-it-reads", |_| Some(fixed("n-is-told-what-it-reads", "", "")))
        },
        row("o-has-a-socket", |_| {
            Some(fixed("o-has-a-socket", "Requires=o-has-a-socket.socket", ""))
        }),
        Row { enabled: false, ..row("q-works@", |v| Some(service("q-works@%i", v, "", ""))) },
        row("r-wants-one-to-work", |_| {
            Some(fixed("r-wants-one-to-work", "Wants=q-works@1.service", ""))
        }),
    ]
}

/// The definitions of a version.
fn definitions(version: u32) -> String {
    let mut text = String::from(
        "[project]\nkind = \"table\"\n[envs.dev]\nname = \"table\"\nvmid = 101\nip = \"10.0.10.101/24\"\n[project.firewall]\nenabled = false\n[project.health]\nwindow_seconds = 1\n",
    );
    let mut file = |name: &str, path: &str, mode: &str, content: &str| {
        text.extend([format!(
            "[project.files.{name}]\npath = \"{path}\"\nmode = \"{mode}\"\ntext = '''{content}'''\n"
        )]);
    };
    file("run", "/usr/local/bin/run", "0755", RUN);
    file("say", "/usr/local/bin/say", "0755", SAY);
    for name in ["one", "two", "three"] {
        file(name, &format!("/etc/table/{name}"), "0644", &format!("V={version}\n"));
    }
    file("cron", "/etc/cron.d/table", "0644", &format!("# {version}\n"));
    for row in rows() {
        let Some(unit) = (row.text)(version) else { continue };
        let wanted = if row.enabled { "\"multi-user.target\"" } else { "" };
        text.extend([format!(
            "[project.services.\"{}\"]\nwanted_by = [{wanted}]\n{}\ntext = '''{unit}'''\n",
            row.name, row.more
        )]);
    }
    let port = 7000 + version;
    text.extend([format!(
        "[project.sockets.o-has-a-socket]\ntext = '''[Socket]\nListenStream={port}\n'''\nwanted_by = [\"sockets.target\"]\n"
    )]);
    let minute = format!("{version:02}");
    text.extend([format!(
        "[project.timers.p-ticks]\ntext = '''[Timer]\nOnCalendar=*-01-01 03:{minute}:00\nUnit=l-is-down.service\n'''\nwanted_by = [\"timers.target\"]\n"
    )]);
    text
}

fn bundle(version: u32) -> Bundle {
    let mut sources = with_project(definitions(version).as_bytes());
    // The example's site has a user, and this kind has no sshd to let one in.
    let site = sources.files.get_mut("stacks/site.toml").expect("it is there");
    let end = site.windows(7).position(|bytes| bytes == b"[users.").expect("it has a user");
    site.truncate(end);
    let kind = b"description = \"Units of every sort\"\n".to_vec();
    sources.files.insert("templates/table/kind.toml".to_owned(), kind);
    let (_, bundle) = compiled(&sources).guests.pop_first().expect("one guest is defined");
    bundle
}

/// A guest and what is live on it.
struct Table<'lab> {
    lab: &'lab RealLab,
    guest: RealGuest,
}

impl Table<'_> {
    fn observe(&self, bundle: &Bundle) -> ObservedGuest {
        let units = watched_units(&bundle.manifest);
        let (digest, packages) = (Some(bundle.digest), BTreeSet::new());
        let paths = BTreeSet::new();
        let request = ObserveRequest { identity: identity(), digest, units, packages, paths };
        self.guest.call("observe", &request).expect("nobody else is there")
    }

    /// Everything up to the switch, as an operator's run does it; and how it ended.
    fn switch(&self, tx: &str, bundle: &Bundle) -> (Switch, TxState) {
        let archive = store::archive(bundle);
        let (bytes, digest) = (archive.len() as u64, bundle.digest);
        let receive = ReceiveRequest { caller: caller(tx), digest, bytes };
        let done = |reply: Result<Done, _>| reply.unwrap_or_else(|refusal| panic!("{refusal:?}"));
        done(self.guest.call_with("receive", &receive, &archive));
        let request = BundleRequest { caller: caller(tx), digest };
        done(self.guest.call("accounts", &request));
        let tags = SecretTags::new();
        let secrets = SecretsVersion::of(&tags, &bundle.manifest);
        let files = BTreeMap::new();
        done(
            self.guest
                .call("secrets", &SecretsRequest { caller: caller(tx), version: secrets, files }),
        );
        done(self.guest.call("validate", &request));
        let documents = Documents::of(bundle).expect("the bundle is whole");
        let wanted = Wanted { bundle, tags: &tags, secrets, release: None, goes_back: false };
        let new = NewGeneration {
            tx: tx.parse::<TxId>().expect("16 hex digits"),
            nonce: Nonce(format!("nonce of {tx}")),
            release: None,
            cause: GenerationCause::Activate,
            parent: None,
            by: "ops@desk".to_owned(),
            at: "2026-11-22T12:00:00Z".to_owned(),
        };
        let switch = switch(&wanted, &documents, &self.observe(bundle), new);
        let request = BeginRequest { caller: caller(tx), switch: switch.clone() };
        done(self.guest.call("begin", &request));
        let state = self.guest.result(&switch);
        (switch, state)
    }

    /// What units have said since the last question, those of one unit in their order.
    fn events(&self) -> Vec<String> {
        let said = self.guest.says("cat /run/events; rm -f /run/events");
        let mut events: Vec<String> = said.lines().map(str::to_owned).collect();
        events.sort_by(|left, right| left.split(' ').next().cmp(&right.split(' ').next()));
        events
    }

    /// What the service manager says of each unit that it runs, without what a reload of it changes.
    fn untouched(&self) -> BTreeMap<String, String> {
        let show = "systemctl show --property=Id,InvocationID,NRestarts,ActiveState '*.service' '*.socket' '*.timer'";
        let text = self.lab.out("table", show);
        text.split("\n\n")
            .filter_map(|block| {
                Some((
                    block.lines().find_map(|l| l.strip_prefix("Id="))?.to_owned(),
                    block.to_owned(),
                ))
            })
            .collect()
    }
}

/// Units of two pictures that differ, but for those of logins and of stackc itself.
fn touched(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    let passing = |name: &str| {
        name.starts_with("stackc-") || name.starts_with("user") || name.starts_with("session")
    };
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differs = |name: &&&String| before.get(**name) != after.get(**name) && !passing(name);
    names.iter().filter(differs).map(|name| (*name).clone()).collect()
}

const FORTH: &[&str] = &[
    "c-restarts ends as 1",
    "c-restarts starts as 2",
    "d-reloads reloads as 2",
    "e-reload-if-changed reloads",
    "f-stops-by-the-old is stopped by 1",
    "f-stops-by-the-old ends as 1",
    "f-stops-by-the-old starts as 2",
    "g-goes is stopped",
    "g-goes ends as 1",
    "i-comes starts as 2",
    "m-reads-two-files ends as 0",
    "m-reads-two-files starts as 0",
    "n-is-told-what-it-reads ends as 0",
    "n-is-told-what-it-reads starts as 0",
    "o-has-a-socket ends as 0",
    "o-has-a-socket starts as 0",
    "q-works@1 ends as 1",
    "q-works@1 starts as 2",
];

const BACK: &[&str] = &[
    "c-restarts ends as 2",
    "c-restarts starts as 1",
    "d-reloads reloads as 1",
    "e-reload-if-changed reloads",
    "f-stops-by-the-old is stopped by 2",
    "f-stops-by-the-old ends as 2",
    "f-stops-by-the-old starts as 1",
    "g-goes starts as 1",
    "i-comes ends as 2",
    "m-reads-two-files ends as 0",
    "m-reads-two-files starts as 0",
    "n-is-told-what-it-reads ends as 0",
    "n-is-told-what-it-reads starts as 0",
    "o-has-a-socket ends as 0",
    "o-has-a-socket starts as 0",
    "q-works@1 ends as 2",
    "q-works@1 starts as 1",
];

/// Units that another run of, or another definition than before, shows in the service manager; no others.
const TOUCHED: &[&str] = &[
    "c-restarts.service",
    "cron.service",
    "f-stops-by-the-old.service",
    "g-goes.service",
    "i-comes.service",
    "m-reads-two-files.service",
    "n-is-told-what-it-reads.service",
    "o-has-a-socket.service",
    "o-has-a-socket.socket",
    "p-ticks.timer",
    "q-works@1.service",
];

#[test]
fn a_switch_and_its_undo_touch_exactly_the_units_of_the_decision_table() {
    let Some(lab) = RealLab::start("tabl") else { return };
    lab.boot(101, "table");
    let table = Table { lab: &lab, guest: RealGuest::new(&lab, "table") };
    let (one, two) = (bundle(1), bundle(2));
    let (switch, state) = table.switch("00000000000000d1", &one);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert_eq!(table.guest.confirm(&switch).phase, Phase::Confirmed);
    let started = table.events();
    assert!(started.iter().all(|event| event.contains(" starts as ")), "{started:?}");
    assert_eq!(started.len(), 14, "{started:?}");

    let before = table.untouched();
    let (switch, state) = table.switch("00000000000000d2", &two);
    assert_eq!(state.phase, Phase::AwaitingConfirm, "{state:?}");
    assert_eq!(table.events(), FORTH);
    let after = table.untouched();
    assert_eq!(touched(&before, &after), TOUCHED);
    let listens = "ss -Hltn '( sport = :7001 or sport = :7002 )' | awk '{print $4}'; systemctl show -p TimersCalendar p-ticks.timer | grep -o '03:0[12]' | sort -u";
    assert_eq!(table.guest.says(listens), "*:7002\n03:02");

    let who = "ops@desk".to_owned();
    let undo = UndoRequest { identity: identity(), tx: switch.tx.clone(), who };
    let state: TxState = table.guest.call("undo", &undo).expect("it goes back");
    assert_eq!(state.phase, Phase::Undone, "{state:?}");
    assert_eq!(table.events(), BACK);
    assert_eq!(touched(&after, &table.untouched()), TOUCHED);
    assert_eq!(table.guest.says(listens), "*:7001\n03:01");
    assert_eq!(table.observe(&one).drift, BTreeMap::new());
    let again = table.guest.says("systemctl --failed --no-legend | grep -v modules-load; systemctl is-active h-stays-when-it-goes k-is-left-alone");
    assert_eq!(again, "active\nactive");
}
