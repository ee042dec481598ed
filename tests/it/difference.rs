//! What differs between two bundles: exactly that, and in the words of those who review.

use crate::{
    compile::{cases, compiled, snapshot, sources},
    handmade::put,
};
use serde_json::json;
use stackc::{
    model::{Access, Bundle, Bytes, Entry, FileClass, canonical, document},
    plan::{
        FileChange,
        difference::{Content, Difference, difference, lines},
    },
};

/// The bundle of the case `node_app`, with pairs of texts replaced in a file of its definitions.
fn web(file: &str, changes: &[(&str, &str)]) -> Bundle {
    let mut sources = sources(&cases().join("node_app"));
    let text = String::from_utf8(sources.files[file].clone()).expect("UTF-8");
    let text = changes.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    });
    sources.files.insert(file.to_owned(), text.into());
    compiled(&sources).guests.into_values().next().expect("one guest")
}

fn plain() -> Bundle {
    web("stacks/web.toml", &[])
}

fn told(difference: &Difference) -> String {
    lines(difference).into_iter().map(|(_, line)| line + "\n").collect()
}

/// The same bundle with an entry put in or replaced.
fn with(
    mut bundle: Bundle,
    path: &str,
    entry: impl FnOnce(Bytes) -> Entry,
    bytes: &[u8],
) -> Bundle {
    put(&mut bundle, path, bytes, entry);
    bundle
}

fn with_document(bundle: Bundle, path: &str, bytes: &[u8]) -> Bundle {
    with(bundle, path, Entry::Document, bytes)
}

fn with_file(bundle: Bundle, path: &str, mode: &str, bytes: &[u8]) -> Bundle {
    let access = Access {
        mode: mode.parse().expect("a mode"),
        owner: "root".parse().expect("an owner"),
        group: "root".parse().expect("a group"),
    };
    let entry = |bytes| Entry::File { class: FileClass::Linked, access, bytes, unit: None };
    with(bundle, path, entry, bytes)
}

#[test]
fn changes_of_every_sort_are_told_like_this() {
    let new = web(
        "stacks/web.toml",
        &[
            (
                "branch = \"dev\"\n",
                "branch = \"dev\"\n[envs.dev.guest]\nmemory_mib = 4096\ntags = [\"web\"]\n[envs.dev.packages]\nhtop = true\ncurl = false\n",
            ),
            ("web/dev/database_url", "web/dev/dsn"),
            (
                "[envs.dev]\n",
                "[project.ports]\nbackend = 3005\n[project.firewall.rules.office]\nport = 3005\nprotocol = \"tcp\"\naction = \"deny\"\nfrom = \"192.0.2.0/24\"\norder = 20\n[envs.dev]\n",
            ),
            ("it's $5", "hello"),
        ],
    );
    snapshot(&cases().join("node_app"), "difference", &told(&difference(Some(&plain()), &new)));
}

#[test]
fn a_first_bundle_is_all_new() {
    let found = difference(None, &plain());
    assert!(found.files.iter().all(|file| file.change == FileChange::Added));
    let names: Vec<&str> = found.subjects.iter().map(|subject| subject.name.as_str()).collect();
    let expected =
        ["proxmox", "packages", "apt", "firewall", "release", "databases", "health", "secrets"];
    assert_eq!(names, expected);
    assert!(found.subjects.iter().flat_map(|s| &s.changes).all(|change| change.from.is_none()));
    assert_eq!(found.files.len(), plain().manifest.overlay().count() + 2, "the rules, too");
}

#[test]
fn nothing_differs_between_equal_bundles_and_something_between_all_others() {
    let plain = plain();
    assert!(difference(Some(&plain), &plain).is_empty());
    let site = |old, new| web("stacks/site.toml", &[(old, new)]);
    let project = |old, new| web("stacks/web.toml", &[(old, new)]);
    for other in [
        site("cores = 2", "cores = 3"),
        site("node = \"pve\"", "node = \"pve2\""),
        site("management = [\"10.0.10.0/24\"]", "management = [\"10.0.10.0/25\"]"),
        project("vmid = 101", "vmid = 102"),
        project("it's $5", "it's $6"),
        project("database_url\"", "database_url2\""),
        web("stacks/lock.toml", &[("22222222", "33333333")]),
    ] {
        assert_ne!(other.digest, plain.digest);
        let found = difference(Some(&plain), &other);
        assert!(!found.subjects.is_empty() || !found.files.is_empty(), "{}", told(&found));
    }
}

#[test]
fn one_value_of_an_env_file_is_told_as_that_file_and_the_units_that_read_it() {
    let found = difference(Some(&plain()), &web("stacks/web.toml", &[("it's $5", "hello")]));
    assert!(found.subjects.is_empty(), "{}", told(&found));
    let paths: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["rootfs/srv/app/.env.dev"]);
    let units: Vec<String> = found.units.keys().map(ToString::to_string).collect();
    assert_eq!(units, ["app-backend.service", "app-frontend.service"]);
}

#[test]
fn a_document_that_no_code_knows_is_told_key_by_key() {
    let hooks = |value| canonical::to_bytes(&json!({"before": {"drain": value}, "same": 1}));
    let old = with_document(plain(), "hooks.json", &hooks(json!({"run": "a", "seconds": 5})));
    let new = with_document(plain(), "hooks.json", &hooks(json!({"run": "a", "seconds": 9})));
    let found = difference(Some(&old), &new);
    assert_eq!(
        serde_json::to_value(&found.subjects).expect("it serialises"),
        json!([{"name": "hooks", "changes": [{"key": "before.drain.seconds", "from": "5", "to": "9"}]}])
    );
}

#[test]
fn rules_in_another_order_are_a_change_because_the_first_that_fits_counts() {
    let text =
        String::from_utf8(plain().files[&document::USER_RULES.parse().expect("a path")].clone());
    let text = text.expect("UTF-8");
    let tuples: Vec<&str> = text.split("### tuple ###").collect();
    assert!(tuples.len() > 2, "{text}");
    let swapped = text
        .replace("tcp 3001 ", "tcp X ")
        .replace("tcp 3000 ", "tcp 3001 ")
        .replace("tcp X ", "tcp 3000 ");
    let found = difference(
        Some(&plain()),
        &with_document(plain(), document::USER_RULES, swapped.as_bytes()),
    );
    let firewall = found.subjects.iter().find(|subject| subject.name == "firewall");
    let changes = &firewall.expect("it is told").changes;
    assert_eq!(changes.len(), 2, "one goes and comes: {changes:?}");
    assert_eq!(changes[0].from, changes[1].to);
}

#[test]
fn modes_and_what_has_no_lines_are_told_without_their_bytes() {
    let path = "rootfs/opt/thing";
    let old = with_file(plain(), path, "0644", b"\x7fELF\0old");
    let new = with_file(plain(), path, "0755", b"\x7fELF\0new");
    let found = difference(Some(&old), &new);
    assert_eq!(found.files.len(), 1);
    assert!(matches!(found.files[0].content, Content::Bytes { from: Some(_), to: Some(_) }));
    assert!(told(&found).contains("(mode: 0644 -> 0755)"), "{}", told(&found));
    let long = "line\n".repeat(60_000);
    let long = with_file(plain(), path, "0644", long.as_bytes());
    let found = difference(Some(&old), &long);
    assert!(matches!(found.files[0].content, Content::Bytes { .. }), "too long to read");
}

#[test]
fn a_file_cannot_move_the_cursor_or_pass_as_other_text() {
    let path = "rootfs/opt/thing";
    let old = with_file(plain(), path, "0644", b"one\n");
    let hostile = "one\rtwo\x1b[2J\u{202e}three\n";
    let new = with_file(plain(), path, "0644", hostile.as_bytes());
    let told = told(&difference(Some(&old), &new));
    assert!(told.contains("\n+one<U+000D>two<U+001B>[2J<U+202E>three\n"), "{told}");
    let dos = with_file(plain(), path, "0644", b"one\r\n");
    let told = self::told(&difference(Some(&old), &dos));
    assert!(told.contains("\n-one\n+one<U+000D>\n"), "{told}");
}

#[test]
fn a_text_within_a_document_is_compared_by_its_lines() {
    let apt = |source: &str| {
        let document = json!({"may_start": [], "packages": {}, "sources": {"node": source}});
        with_document(plain(), document::APT, &canonical::to_bytes(&document))
    };
    let (old, new) = (apt("Types: deb\nURIs: https://a\n"), apt("Types: deb\nURIs: https://b\n"));
    let found = difference(Some(&old), &new);
    assert_eq!(found.files[0].path, "apt.json: node");
    let Content::Text { hunks } = &found.files[0].content else { panic!("{:?}", found.files) };
    assert_eq!(hunks, "@@ -1,2 +1,2 @@\n Types: deb\n-URIs: https://a\n+URIs: https://b\n");
}

#[test]
fn a_file_that_differs_is_told_and_no_other() {
    let plain = plain();
    let mut tried = 0;
    for (path, bytes) in plain.files.iter().filter(|(path, _)| path.on_guest().is_some()) {
        let other = [bytes.as_slice(), b"# more\n"].concat();
        let new = with_file(plain.clone(), path.as_str(), "0600", &other);
        let found = difference(Some(&plain), &new);
        let told: Vec<&str> = found.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(told, [path.as_str()]);
        let Content::Text { hunks } = &found.files[0].content else { panic!("{told:?}") };
        assert!(hunks.ends_with("+# more\n"), "{hunks}");
        assert!(found.files[0].settings.iter().any(|change| change.key == "mode"));
        assert!(found.subjects.is_empty());
        tried += 1;
    }
    assert!(tried > 8, "{tried}");
}

#[test]
fn a_secret_that_became_text_of_the_same_look_is_told() {
    let file = |last: &str| {
        let text =
            format!("a={{{{ secrets.a }}}} b={{{{ secrets.b }}}} c={last} <\\\\secret e>\\n");
        let entry = format!(
            "[envs.dev.files.tokens]\npath = \"/etc/tokens\"\ntext = \"{text}\"\n[envs.dev.files.tokens.secrets]\na = {{ secret = \"x/a\" }}\nb = {{ secret = \"x/b\" }}\n[envs.dev]\n"
        );
        web("stacks/web.toml", &[("[envs.dev]\n", &entry)])
    };
    let difference = difference(Some(&file("{{ secrets.b }}")), &file("<secret x/b>"));
    insta::assert_snapshot!(told(&difference));
}
