//! `drift`: what the guest tells of each path, and how three ways are told.

use crate::{
    guest_fixture::{Folder, identity, name},
    handmade::{Stack, bundle, put_file},
};
use stackc::{
    model::{
        Bundle, Bytes, Down, DriftReply, DriftRequest, DriftedPath, EntryPath, FileClass,
        Generation, GuestPath, RuntimeDrift, Sight, Sighted, layout,
    },
    plan::{drift, drift_lines},
};
use std::{collections::BTreeMap, fs};

const SSHD: &str = "/etc/ssh/sshd_config.d/10-stackc.conf";
const ENV: &str = "/etc/app/env";
const APP: &str = "/usr/local/bin/app";

fn asked(folder: &Folder) -> BTreeMap<String, DriftedPath> {
    let request = DriftRequest { identity: identity() };
    let reply: DriftReply = folder.call(&["drift"], &request, &[]).expect("it is told");
    reply.paths.into_iter().map(|(path, drifted)| (path.to_string(), drifted)).collect()
}

/// Puts a file of its own in the place of whatever is there.
fn replace(folder: &Folder, path: &str, text: &str) {
    fs::remove_file(folder.at(path)).expect("it is there");
    folder.put(path, text);
}

fn text(text: &str) -> Sighted {
    Sighted::Text(text.to_owned())
}

#[test]
fn guest_tells_what_was_placed_and_what_is_there_and_changes_nothing() {
    let (folder, ..) = Folder::on_first();
    assert!(asked(&folder).is_empty());
    folder.put(SSHD, "PermitRootLogin yes\n");
    replace(&folder, APP, "#!/bin/sh\necho mine\n");
    folder.put(layout::UFW_CONF, "ENABLED=no\nLOGLEVEL=full\n");
    fs::remove_file(folder.at("/etc/profile.d/only-1.sh")).expect("it is there");
    let picture = folder.picture();
    let found = asked(&folder);
    assert_eq!(found[SSHD].placed.content, text("# version 1\n"));
    assert_eq!(found[SSHD].found.content, text("PermitRootLogin yes\n"));
    assert_eq!(found[SSHD].placed.access.as_deref(), Some("0600 root:root"));
    assert_eq!(found[APP].placed.content, text("#!/bin/sh\necho 1\n"), "not the link to it");
    assert_eq!(found[APP].found.content, text("#!/bin/sh\necho mine\n"));
    let enabled = |value: &str| BTreeMap::from([("ENABLED".to_owned(), value.to_owned())]);
    assert_eq!(found[layout::UFW_CONF].placed.content, Sighted::Keys { keys: enabled("yes") });
    assert_eq!(found[layout::UFW_CONF].found.content, Sighted::Keys { keys: enabled("no") });
    assert_eq!(found["/etc/profile.d/only-1.sh"].found, Sight::nothing());
    assert_eq!(found.len(), 4);
    assert_eq!(folder.picture(), picture);
}

#[test]
fn no_value_of_a_secret_leaves_the_guest_with_its_drift() {
    let (folder, ..) = Folder::on_first();
    let value = folder.text(&format!("/var/lib/stackc/{}{ENV}", secrets_of(&folder)));
    let value = value.trim().trim_start_matches("TOKEN=").trim_matches('\'').to_owned();
    let long = value.repeat(3);
    // The test's own secret is too short to be hidden; one that somebody made longer is.
    let file = format!("/var/lib/stackc/{}{ENV}", secrets_of(&folder));
    folder.put(&file, &format!("TOKEN={long}\n"));
    replace(&folder, ENV, &format!("TOKEN={long}\nMORE=by-hand\n"));
    replace(&folder, APP, &format!("#!/bin/sh\ncurl -H 'token: {long}'\n"));
    let found = asked(&folder);
    assert_eq!(found[ENV].placed.content, Sighted::Secret);
    assert_eq!(found[ENV].found.content, Sighted::Secret);
    assert_eq!(found[APP].found.content, text("#!/bin/sh\ncurl -H 'token: [secret]'\n"));
    let told = serde_json::to_string(&found).expect("it is JSON");
    assert!(!told.contains(&long) && !told.contains("by-hand"), "{told}");
}

/// The folder of the live secrets below stackc's own.
fn secrets_of(folder: &Folder) -> String {
    let mut names = fs::read_dir(folder.at("/var/lib/stackc/secrets")).expect("it is there");
    let first = names.next().expect("one version").expect("it can be listed");
    format!("secrets/{}", first.file_name().to_string_lossy())
}

#[test]
fn guest_tells_no_more_than_is_bounded() {
    let (folder, ..) = Folder::on_first();
    let sizes = [(SSHD, 64 << 10), (APP, (64 << 10) + 1)];
    for (path, size) in sizes {
        replace(&folder, path, &"x".repeat(size));
    }
    let other = "/etc/profile.d/only-1.sh";
    replace(&folder, other, &"x".repeat((1 << 20) + 1));
    replace(&folder, "/etc/systemd/system/app.service", "a\0b");
    let found = asked(&folder);
    assert!(matches!(&found[SSHD].found.content, Sighted::Text(text) if text.len() == 64 << 10));
    let Bytes { size, sha256 } = Bytes::of(&vec![b'x'; (64 << 10) + 1]);
    assert_eq!(found[APP].found.content, Sighted::Bytes { size, sha256 });
    assert_eq!(found[other].found.content, Sighted::Big { size: (1 << 20) + 1 });
    let unit = &found["/etc/systemd/system/app.service"].found.content;
    assert!(matches!(unit, Sighted::Bytes { size: 3, .. }), "{unit:?}");
}

const CONF: &str = "/etc/web.conf";

/// A bundle with one more file.
fn with_file(text: &str) -> Bundle {
    let mut made = bundle(&Stack::default());
    put_file(&mut made, CONF, FileClass::Copied, text);
    made
}

fn live(bundle: &Bundle) -> Generation {
    let tags = crate::plan::tags("a");
    crate::plan::guest(bundle, bundle, &tags).live.expect("it has one")
}

const LINES: &str = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n";

fn unit_path() -> EntryPath {
    name("rootfs/etc/systemd/system/web.service")
}

/// A guest on which somebody changed the third line of a file, masked a unit, and took the mode from another file.
fn reply(bundle: &Bundle) -> DriftReply {
    let sight = |access: &str, content| Sight { access: Some(access.to_owned()), content };
    let placed = sight("0644 root:root", text(LINES));
    let found = sight("0600 app:root", text(&LINES.replace("three", "3\u{1b}[2J")));
    let what = "a file with other bytes".to_owned();
    let conf = DriftedPath { what, placed, found };
    let link =
        |target: &str| Sight { access: None, content: Sighted::Link { target: target.to_owned() } };
    let wants = DriftedPath {
        what: "nothing is there".to_owned(),
        placed: link("../web.service"),
        found: Sight::nothing(),
    };
    let secret = DriftedPath {
        what: "a file".to_owned(),
        placed: sight("0600 root:root", Sighted::Secret),
        found: sight("0644 root:root", Sighted::Secret),
    };
    // Somebody's editor wrote through the link, so that the guest has only the hash of what it was.
    let Bytes { size, sha256 } = Bytes::of(&bundle.files[&unit_path()]);
    let unit = DriftedPath {
        what: "other bytes, written through its link".to_owned(),
        placed: sight("0644 root:root", Sighted::Bytes { size, sha256 }),
        found: sight("0644 root:root", text("[Service]\n")),
    };
    DriftReply {
        live: Some(live(bundle)),
        paths: BTreeMap::from([
            (name::<GuestPath>(CONF), conf),
            (name("/etc/systemd/system/multi-user.target.wants/web.service"), wants),
            (name("/etc/web.env"), secret),
            (name("/etc/systemd/system/web.service"), unit),
        ]),
        runtime: RuntimeDrift {
            units: BTreeMap::from([
                (name("a.service"), Down::Failed),
                (name("web.service"), Down::Masked),
            ]),
            firewall: vec!["the kernel does not have the rules of ufw".to_owned()],
            ..RuntimeDrift::default()
        },
    }
}

/// As it is printed.
fn told(live: &Bundle, kept: Option<&Bundle>, wanted: Option<&Bundle>) -> String {
    let drift = drift(reply(live), kept, wanted);
    assert!(!drift.is_empty());
    drift_lines(&drift).into_iter().map(|(_, line)| line + "\n").collect()
}

#[test]
fn three_ways_are_told_where_the_definitions_have_something_else() {
    let live = with_file(LINES);
    let wanted = with_file(&LINES.replace("seven", "7"));
    insta::assert_snapshot!(told(&live, Some(&live), Some(&wanted)));
    let drift = drift(reply(&live), Some(&live), Some(&wanted));
    insta::assert_json_snapshot!(drift.paths);
}

#[test]
fn a_file_that_left_the_definitions_is_told_so_and_two_ways_where_nothing_compiles() {
    let live = with_file(LINES);
    let gone = told(&live, None, Some(&bundle(&Stack::default())));
    assert!(gone.contains("    the definitions no longer have it\n"), "{gone}");
    let two = told(&live, Some(&live), None);
    assert_eq!(two, told(&live, Some(&live), Some(&live)), "what is live differs in nothing");
    assert!(!two.contains("the definitions"), "{two}");
}

#[test]
fn a_guest_whose_unit_failed_has_no_drift() {
    let bundle = bundle(&Stack::default());
    let units = BTreeMap::from([(name("web.service"), Down::Failed)]);
    let runtime = RuntimeDrift { units, ..RuntimeDrift::default() };
    let reply = DriftReply { live: Some(live(&bundle)), paths: BTreeMap::new(), runtime };
    let drift = drift(reply, None, None);
    assert!(drift.is_empty());
    assert_eq!(drift_lines(&drift).len(), 1, "it is told all the same");
}

#[test]
fn a_plan_shows_whose_place_a_file_takes_with_what_differs() {
    let live = bundle(&Stack::default());
    let wanted = with_file(LINES);
    let mut guest = crate::plan::guest(&live, &wanted, &crate::plan::tags("a"));
    let sight = |access: &str, content| Sight { access: Some(access.to_owned()), content };
    let secret = sight("0600 root:root", Sighted::Secret);
    guest.foreign = BTreeMap::from([
        (name(CONF), sight("0644 root:root", text(&LINES.replace("three", "3")))),
        (name("/etc/web.env"), secret),
        (name("/etc/systemd/system/web.service"), sight("0755 root:root", Sighted::Directory)),
    ]);
    let there = crate::plan::container(&Stack::default());
    let plan = crate::plan::planned(&wanted, &crate::plan::tags("a"), Some(&there), Some(&guest));
    insta::assert_snapshot!(stackc::plan::text(&plan));
    let json = plan.json();
    assert!(json["foreign"][CONF]["content"]["text"]["hunks"].to_string().contains("-3"), "{json}");
}
