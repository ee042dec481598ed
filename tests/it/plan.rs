//! Plans as people read them, and what they decide for units.

use crate::handmade::{Stack, bundle, made, name};
use stackc::{
    model::{
        Bundle, Container, DatabasesDocument, Digest, FirewallAction, Generation, GenerationCause,
        GenerationId, GuestPath, Hook, HostKey, Mark, Nonce, Outcome, OwnedDatabase, Phase, Placed,
        RuntimeDrift, SecretTags, SecretsVersion, canonical, document,
        protocol::{FoundSystem, ObservedGuest, PendingTx, Recorded, UnitState},
    },
    plan::{
        Documents, Live, NewGeneration, Plan, PlanError, Step, Wanted, ledger, placement, plan,
        switch, text,
    },
};
use std::collections::{BTreeMap, BTreeSet};

pub fn tags(value: &str) -> SecretTags {
    SecretTags::from([(name("shop/dev/password"), Digest::of(value.as_bytes()))])
}

/// A container that is what the stack's `proxmox.json` says.
pub fn container(stack: &Stack) -> Container {
    let wanted = Documents::of(&bundle(stack)).expect("the bundle is whole").proxmox;
    let mark = "stackc shop/dev 0123456789abcdef0123456789abcdef";
    Container {
        running: true,
        mark: Mark::in_description(mark),
        host_key: format!("SHA256:{}", "k".repeat(43)).parse::<HostKey>().ok(),
        ..made(&wanted)
    }
}

/// What a guest tells of a live bundle when another one is wanted.
pub fn recorded(live: &Bundle) -> Recorded {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let texts = live.files.iter().filter_map(|(path, bytes)| Some((path.on_guest()?, text(bytes))));
    let documents = live.files.iter().filter(|(path, _)| path.on_guest().is_none());
    Recorded {
        manifest: Some(live.manifest.clone()),
        ledger: ledger(live),
        unit_texts: texts.collect(),
        documents: documents.map(|(path, bytes)| (path.to_string(), text(bytes))).collect(),
        found: FoundSystem::default(),
    }
}

/// A guest on which `live` is live, asked about `wanted`.
pub fn guest(live: &Bundle, wanted: &Bundle, tags: &SecretTags) -> ObservedGuest {
    let version = SecretsVersion::of(tags, &live.manifest);
    let recorded = (live.digest != wanted.digest).then(|| recorded(live));
    let active = |load: &str| UnitState { load: load.to_owned(), active: "active".to_owned() };
    ObservedGuest {
        identity: None,
        boot_id: "b".to_owned(),
        debian: "12".to_owned(),
        live: Some(Generation {
            number: GenerationId(4),
            digest: Some(live.digest),
            release: None,
            secrets: version,
            tags: tags.clone(),
            parent: Some(GenerationId(3)),
            cause: GenerationCause::Activate,
            by: "ops@desk".to_owned(),
            at: "2026-01-02T03:04:05Z".to_owned(),
            outcome: Outcome::Confirmed,
            proxmox: None,
        }),
        last_number: GenerationId(6),
        pending: None,
        lease: None,
        has_tree: live.digest == wanted.digest,
        releases: BTreeSet::new(),
        secrets: BTreeSet::from([version]),
        drift: BTreeMap::new(),
        runtime_drift: RuntimeDrift::default(),
        foreign: BTreeMap::new(),
        recorded,
        units: BTreeMap::from([(name("web.service"), active("loaded"))]),
        services: BTreeMap::new(),
        missing_packages: BTreeSet::new(),
        firewall_active: false,
    }
}

pub fn planned(
    wanted: &Bundle,
    tags: &SecretTags,
    container: Option<&Container>,
    guest: Option<&ObservedGuest>,
) -> Plan {
    let documents = Documents::of(wanted).expect("the bundle is whole");
    let secrets = SecretsVersion::of(tags, &wanted.manifest);
    let wanted = Wanted { bundle: wanted, tags, secrets, release: None, goes_back: false };
    plan(&wanted, &documents, container, guest).expect("it can be planned")
}

#[test]
fn the_plan_of_what_is_live_is_empty() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let guest = guest(&live, &live, &tags("a"));
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&guest));
    assert!(plan.is_empty(), "{}", text(&plan));
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_guest_that_is_not_there_is_created_and_gets_everything() {
    let plan = planned(&bundle(&Stack::default()), &tags("a"), None, None);
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn a_change_names_its_files_and_restarts_what_reads_them() {
    let stack = Stack::default();
    let (live, wanted) = (bundle(&stack), bundle(&stack.version("two")));
    let guest = guest(&live, &wanted, &tags("a"));
    let plan = planned(&wanted, &tags("a"), Some(&container(&stack)), Some(&guest));
    insta::assert_snapshot!(text(&plan));
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan.json()).expect("it is JSON"));
}

#[test]
fn another_secret_is_a_new_generation_and_restarts_its_readers_only() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let guest = guest(&live, &live, &tags("a"));
    let plan = planned(&live, &tags("b"), Some(&container(&stack)), Some(&guest));
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn settings_and_network_frame_a_change_and_pending_ones_are_told() {
    let stack = Stack::default();
    let mut there = container(&stack);
    there.cores = Some(4);
    there.nesting = false;
    there.disk_gib = 1;
    there.network.ip = "10.0.10.99/24".parse().ok();
    let live = bundle(&stack);
    let guest = guest(&live, &live, &tags("a"));
    let plan = planned(&live, &tags("a"), Some(&there), Some(&guest));
    insta::assert_snapshot!(text(&plan));
}

#[test]
fn drift_is_shown_and_put_back() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut guest = guest(&live, &live, &tags("a"));
    guest.drift.insert(name("/etc/web.env"), "a file of 12 bytes".to_owned());
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&guest));
    insta::assert_snapshot!(text(&plan));
    let switch = switched(&live, &guest, &tags("a"));
    assert_eq!(
        switch.placement.place.keys().collect::<Vec<_>>(),
        [&name::<GuestPath>("/etc/web.env")]
    );
}

#[test]
fn a_plan_over_an_open_transaction_tells_it_and_never_that_there_is_nothing_to_do() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut guest = guest(&live, &live, &tags("a"));
    guest.pending = Some(PendingTx {
        tx: name("0123456789abcdef"),
        phase: Phase::AwaitingConfirm,
        by: "eve@desk".to_owned(),
        from: GenerationId(3),
        to: GenerationId(4),
        digest: Some(live.digest),
    });
    let plan = planned(&live, &tags("a"), Some(&container(&stack)), Some(&guest));
    assert!(!plan.is_empty());
    assert_eq!(plan.summary(), "pending");
    insta::assert_snapshot!(text(&plan));
}

/// A plan for a bundle whose `databases.json` has a role with a password, over a live one with these databases.
fn plan_databases(
    goes_back: bool,
    live: (&DatabasesDocument, &str),
    wanted_password: &str,
) -> Result<Plan, PlanError> {
    let stack = Stack::default();
    let wanted = bundle(&stack.version("two"));
    let mut documents = Documents::of(&wanted).expect("the bundle is whole");
    documents.databases = databases_of("shop");
    let mut guest = guest(&bundle(&stack), &wanted, &tags(live.1));
    let recorded = guest.recorded.as_mut().expect("another bundle is live");
    let text = String::from_utf8(canonical::to_bytes(live.0)).expect("JSON is text");
    recorded.documents.insert(document::DATABASES.to_owned(), text);
    let tags = tags(wanted_password);
    let secrets = SecretsVersion::of(&tags, &wanted.manifest);
    let wanted = Wanted { bundle: &wanted, tags: &tags, secrets, release: None, goes_back };
    plan(&wanted, &documents, Some(&container(&stack)), Some(&guest))
}

fn databases_of(owner: &str) -> DatabasesDocument {
    let database = OwnedDatabase { owner: name(owner), password: Some(name("shop/dev/password")) };
    DatabasesDocument {
        postgresql: BTreeMap::from([(name(owner), database)]),
        ..Default::default()
    }
}

fn ensures_databases(goes_back: bool, live: (&DatabasesDocument, &str), wanted: &str) -> bool {
    let plan = plan_databases(goes_back, live, wanted).expect("it can be planned");
    plan.steps.iter().any(|planned| planned.step == Step::Databases)
}

#[test]
fn going_back_touches_databases_only_for_another_password() {
    let others = databases_of("blog");
    assert!(
        !ensures_databases(true, (&databases_of("shop"), "a"), "a"),
        "what was live has its databases"
    );
    assert!(ensures_databases(true, (&others, "b"), "a"), "the role has the new password");
    assert!(ensures_databases(false, (&others, "a"), "a"), "a new bundle may have new databases");
}

#[test]
fn a_password_that_the_running_app_logs_in_with_is_not_changed_beside_it() {
    let refused =
        plan_databases(false, (&databases_of("shop"), "a"), "b").expect_err("it is in use");
    insta::assert_snapshot!(refused.to_string());
    plan_databases(true, (&databases_of("shop"), "a"), "b")
        .expect_err("going back would break it as well");
    let mut renamed = databases_of("shop");
    let role = renamed.postgresql.values_mut().next().expect("there is one");
    role.password = Some(name("shop/dev/other"));
    plan_databases(false, (&renamed, "a"), "a").expect_err("another secret is another password");
}

#[test]
fn a_role_is_another_one_in_another_server() {
    let wiki = databases_of("shop").postgresql;
    let mariadb = DatabasesDocument { mariadb: wiki, ..Default::default() };
    plan_databases(false, (&mariadb, "a"), "b").expect("it is a new role of PostgreSQL");
}

#[test]
fn hooks_are_told_before_anybody_approves_them() {
    let stack = Stack::default();
    let (live, wanted) = (bundle(&stack), bundle(&stack.version("two")));
    let mut documents = Documents::of(&wanted).expect("the bundle is whole");
    let hook = |argv: &[&str], user: &str| Hook {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        user: name(user),
        timeout_seconds: 30,
    };
    documents.hooks.before_switch = BTreeMap::from([
        ("20-say".to_owned(), hook(&["/usr/bin/wall", "it's \"soon\"", ""], "root")),
        ("10-backup".to_owned(), hook(&["/usr/local/bin/backup.sh"], "postgres")),
    ]);
    let warm = hook(&["/usr/bin/curl", "--fail", "http://127.0.0.1:80/?a=1"], "www-data");
    documents.hooks.after_switch = BTreeMap::from([("warm".to_owned(), warm)]);
    documents.databases = databases_of("shop");
    documents.databases.mariadb.clone_from(&databases_of("wiki").postgresql);
    let tags = tags("a");
    let secrets = SecretsVersion::of(&tags, &wanted.manifest);
    let observed = guest(&live, &wanted, &tags);
    let wanted = Wanted { bundle: &wanted, tags: &tags, secrets, release: None, goes_back: false };
    let plan = plan(&wanted, &documents, Some(&container(&stack)), Some(&observed));
    insta::assert_snapshot!(text(&plan.expect("it can be planned")));
}

#[test]
fn another_disk_or_storage_is_refused_as_a_new_guest() {
    let stack = Stack::default();
    let mut there = container(&stack);
    there.storage = "other".to_owned();
    there.disk_gib = 64;
    let wanted = bundle(&stack);
    let documents = Documents::of(&wanted).expect("the bundle is whole");
    let (tags, secrets) = (tags("a"), SecretsVersion::of(&tags("a"), &wanted.manifest));
    let wanted = Wanted { bundle: &wanted, tags: &tags, secrets, release: None, goes_back: false };
    let refused = plan(&wanted, &documents, Some(&there), None).expect_err("it is refused");
    insta::assert_snapshot!(refused.to_string());
}

pub fn switched(
    wanted: &Bundle,
    guest: &ObservedGuest,
    tags: &SecretTags,
) -> stackc::model::Switch {
    let documents = Documents::of(wanted).expect("the bundle is whole");
    let secrets = SecretsVersion::of(tags, &wanted.manifest);
    let wanted = Wanted { bundle: wanted, tags, secrets, release: None, goes_back: false };
    let new = NewGeneration {
        tx: name("0123456789abcdef"),
        nonce: Nonce("n".to_owned()),
        release: None,
        cause: GenerationCause::Activate,
        parent: None,
        by: "ops@desk".to_owned(),
        at: "2026-01-02T03:04:05Z".to_owned(),
    };
    switch(&wanted, &documents, guest, new)
}

#[test]
fn a_switch_follows_the_highest_number_and_its_undo_mirrors_it() {
    let stack = Stack::default();
    let (live, wanted) = (bundle(&stack), bundle(&stack.version("two")));
    let guest = guest(&live, &wanted, &tags("a"));
    let switch = switched(&wanted, &guest, &tags("a"));
    assert_eq!(switch.generation.number, GenerationId(7));
    assert_eq!(switch.from, GenerationId(4));
    assert_eq!(switch.generation.parent, Some(GenerationId(4)));
    assert_eq!(switch.units.restart, [name("web.service")]);
    assert_eq!(switch.undo_units.restart, [name("web.service")]);
    assert!(switch.units.daemon_reload && switch.undo_units.daemon_reload);
    assert_eq!(switch.firewall, FirewallAction::Keep);
    assert!(switch.placement.place.is_empty(), "links through `current` stay as they are");
}

#[test]
fn the_same_bundle_again_inherits_its_parent() {
    let live = bundle(&Stack::default());
    let guest = guest(&live, &live, &tags("a"));
    let switch = switched(&live, &guest, &tags("b"));
    assert_eq!(switch.generation.parent, Some(GenerationId(3)));
}

#[test]
fn a_placement_removes_the_deepest_first_and_places_the_highest_first() {
    let link = |target: &str| Placed::Link { target: target.to_owned() };
    let ledger = |paths: &[(&str, &str)]| stackc::model::Ledger {
        paths: paths.iter().map(|(path, target)| (name(path), link(target))).collect(),
    };
    let old = ledger(&[("/a", "1"), ("/a/b", "1"), ("/a/b/c", "1"), ("/k", "1")]);
    let new = ledger(&[("/k", "1"), ("/n", "1"), ("/n/o", "1")]);
    let way = placement(&old, &new, &BTreeSet::new());
    let removed: Vec<_> = way.remove.iter().map(GuestPath::as_str).collect();
    assert_eq!(removed, ["/a/b/c", "/a/b", "/a"]);
    let placed: Vec<_> = way.place.keys().map(GuestPath::as_str).collect();
    assert_eq!(placed, ["/n", "/n/o"]);
}

#[test]
fn a_unit_that_goes_is_stopped_and_comes_back_on_undo() {
    let stack = Stack::default();
    let live = bundle(&stack);
    let mut wanted = bundle(&stack.version("two"));
    let gone = |path: &str| path.contains("/systemd/");
    wanted.manifest.entries.retain(|path, _| !gone(path.as_str()));
    wanted.files.retain(|path, _| !gone(path.as_str()));
    let guest = guest(&live, &wanted, &tags("a"));
    let switch = switched(&wanted, &guest, &tags("a"));
    assert_eq!(switch.units.stop, [name("web.service")]);
    assert_eq!(switch.undo_units.start, [name("web.service")]);
    assert!(Live::of(&guest, &wanted).manifest.is_some());
}
