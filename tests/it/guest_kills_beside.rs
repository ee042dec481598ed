//! The real binary killed in what it makes beside the running system, release, migration, databases, and in what it
//! removes: nothing half-made is ever seen, nothing that runs is missed, and the same call again ends as the first.

use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, feed, identity, input, name, reply};
use crate::guest_prepare::{app, checkout_of, release, release_document};
use crate::kill_points::{Kills, Left, recover};
use stackc::model::protocol::{
    BundleRequest, DatabasesRequest, Done, FetchReply, FetchRequest, Garbage, GcRequest,
    MigrateRequest, ReleaseRequest,
};
use stackc::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;

const TX: &str = "00000000000000d1";
/// The app's user, when the tests may give files away.
const APP_UID: u32 = 4242;
const SHARED: &str = "/var/lib/stackc/shared";

/// A guest that has a bundle with a release, and the checkout for it.
struct Story {
    start: Folder,
    made: Made,
    archive: Vec<u8>,
    release: ReleaseRequest,
    /// The owner of whatever the app is to write.
    uid: u32,
}

impl Story {
    fn new() -> Self {
        let start = Folder::new();
        let owner = std::fs::metadata(start.dir.path()).expect("it is there");
        let uid = if rustix::process::geteuid().is_root() { APP_UID } else { owner.uid() };
        let passwd = start.text("/etc/passwd");
        start.put("/etc/passwd", &format!("{passwd}app:x:{uid}:{}::/:/bin/sh\n", owner.gid()));
        let mut made = app("root");
        let mut document = release_document("app");
        document.shared = ["uploads", "cache", "db/app.sqlite"].map(str::to_owned).into();
        made.set_document(document::RELEASE, canonical::to_bytes(&document));
        let database = OwnedDatabase { owner: name("shop"), password: Some(name("app/db")) };
        let databases = DatabasesDocument {
            postgresql: BTreeMap::from([(name("shop"), database)]),
            ..Default::default()
        };
        made.set_document(document::DATABASES, canonical::to_bytes(&databases));
        start.prepare(TX, &made);
        let archive = checkout_of(&[
            ("build.sh", "echo $FLAVOUR >built\n"),
            ("migrate.sh", "echo done >migrated\n"),
            ("uploads/first", "an upload\n"),
        ]);
        let release = release(&made, &archive);
        Self { start, made, archive, release, uid }
    }

    fn build(&self, folder: &Folder, at: &str) -> Done {
        let built = folder.call(&["release"], &self.release, &self.archive);
        built.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"))
    }

    fn folder(&self) -> String {
        format!("/var/lib/stackc/releases/{}", self.release.release)
    }

    fn is_built(&self, folder: &Folder) -> bool {
        folder.observe(self.made.bundle.digest).releases.contains(&self.release.release)
    }

    /// All that a built release is, and what outlives it.
    fn assert_whole(&self, folder: &Folder, at: &str) {
        let below = |path: &str| format!("{}/{path}", self.folder());
        assert_eq!(folder.text(&below("built")), "plain\n", "{at}");
        assert_eq!(folder.text(&format!("{SHARED}/uploads/first")), "an upload\n", "{at}");
        for path in ["uploads", "cache", "db/app.sqlite"] {
            let link = std::fs::read_link(folder.at(&below(path))).expect(at);
            assert_eq!(link.to_str(), Some(&*format!("{SHARED}/{path}")), "{at}");
        }
        let shared =
            ["", "/uploads", "/uploads/first", "/cache", "/db"].map(|p| SHARED.to_owned() + p);
        let inside = ["build.sh", "uploads", "db"].map(below);
        for path in shared.iter().chain(&inside) {
            let stat = std::fs::symlink_metadata(folder.at(path)).expect(at);
            assert_eq!(stat.uid(), self.uid, "{at}: the owner of {path}");
        }
    }

    fn migration(&self) -> MigrateRequest {
        MigrateRequest {
            caller: caller(TX),
            digest: self.made.bundle.digest,
            release: self.release.release,
            secrets: self.made.secrets_version,
            stop: vec![name("app.service")],
        }
    }

    /// Any call that changes something: what the next activation of whomever begins with.
    fn next_call(&self, folder: &Folder, at: &str) {
        let request = BundleRequest { caller: caller(TX), digest: self.made.bundle.digest };
        let done = folder.call::<Done>(&["packages"], &request, &[]);
        done.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
    }
}

#[test]
fn guest_killed_in_a_release_has_it_whole_or_not_at_all_and_builds_it_by_the_same_call() {
    let story = Story::new();
    let picture = story.start.picture();
    let bytes = input(&story.release, &story.archive);
    let kills = Kills::of("release").each(&story.start, &["release"], &bytes, |folder, at| {
        let left = Left::new_if(story.is_built(folder));
        if left == Left::New {
            story.assert_whole(folder, at);
        }
        let rebooted = folder.copy();
        recover(&rebooted);
        for guest in [&rebooted, folder] {
            assert_eq!(story.build(guest, at).already, left == Left::New, "{at}");
            story.assert_whole(guest, at);
            assert_eq!(guest.picture(), picture, "{at}");
        }
        left
    });
    kills.expect_more_than(10);
}

#[test]
fn guest_killed_in_a_migration_runs_what_it_stopped_again_whoever_comes_next() {
    let story = Story::new();
    let before = story.start.copy();
    story.build(&before, "before");
    before.change_system(|state| {
        let active =
            || stackc::guest::UnitReport { active: "active".to_owned(), ..Default::default() };
        state.units.insert(name("app.service"), active());
    });
    let (request, migrated) = (story.migration(), format!("{}/migrated", story.folder()));
    let kills =
        Kills::of("migrate").each(&before, &["migrate"], &input(&request, &[]), |folder, at| {
            let left = Left::new_if(folder.at(&migrated).exists());
            let (rebooted, next) = (folder.copy(), folder.copy());
            recover(&rebooted);
            story.next_call(&next, at);
            let again = folder.call::<Done>(&["migrate"], &request, &[]);
            assert!(!again.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}")).already, "{at}");
            assert_eq!(folder.text(&migrated), "done\n", "{at}");
            for guest in [&next, folder] {
                assert!(guest.running().starts_with("app active"), "{at}: {}", guest.running());
            }
            for guest in [&rebooted, &next, folder] {
                assert!(!guest.at("/var/lib/stackc/migrating.json").exists(), "{at}");
            }
            left
        });
    kills.expect_more_than(3);
}

/// Stands for PostgreSQL's client: a role or a database is a file, made by one write. Without children of its own, so
/// that each kill strikes it or us.
const PSQL: &str = r#"#!/bin/sh
set -eu
there=${0%/*}/../../var/lib/postgresql
while IFS= read -r line; do
  case $line in
  *"'CREATE ROLE "*) made=role ;;
  *"'CREATE DATABASE "*) made=database ;;
  *count*) echo "$there"/*; continue ;;
  *) continue ;;
  esac
  test -e "$there/$made" || echo "$line" >"$there/$made"
done
"#;

#[test]
fn guest_killed_while_it_ensures_databases_has_them_after_the_same_call() {
    let story = Story::new();
    let before = story.start.copy();
    before.put_program("/usr/bin/psql", PSQL);
    before.put("/var/lib/postgresql/conf", "");
    let picture = before.picture();
    let passwords = BTreeMap::from([(name("app/db"), "a password".to_owned())]);
    let digest = story.made.bundle.digest;
    let bytes = input(&DatabasesRequest { caller: caller(TX), digest, passwords }, &[]);
    let kills = Kills::of("databases").each(&before, &["databases"], &bytes, |folder, at| {
        let is_there = |what: &str| folder.at(&format!("/var/lib/postgresql/{what}")).exists();
        let left = Left::new_if(is_there("role") && is_there("database"));
        let done: Done = reply(&feed(folder.command(&["databases"]), &bytes))
            .and_then(Result::ok)
            .unwrap_or_else(|| panic!("{at}: not ensured by the same call"));
        assert_eq!(done.already, left == Left::New, "{at}");
        assert!(is_there("role") && is_there("database"), "{at}");
        assert_eq!(folder.picture(), picture, "{at}");
        recover(folder);
        left
    });
    kills.expect_more_than(1);
}

/// A guest on generation 3 of as many bundles, with a release that none of them has.
fn on_third() -> (Story, Folder, Vec<Made>) {
    let story = Story::new();
    let folder = story.start.copy();
    story.build(&folder, "before");
    let mut owned = Ledger::default();
    let mut all = Vec::new();
    for number in 1..=3_u32 {
        let made = make(number, 60);
        let from = u64::from(number) - 1;
        let mut switch = made.switch(&format!("00000000000000c{number}"), from, from + 1, &owned);
        switch.generation.parent = Some(GenerationId(from)).filter(|parent| parent.0 > 0);
        folder.activate(&made, &switch);
        owned = made.ledger();
        all.push(made);
    }
    (story, folder, all)
}

/// What stands in the folders that `gc` looks through.
fn stock(folder: &Folder) -> BTreeSet<String> {
    let list = |name: &&str| {
        let path = folder.at(&format!("/var/lib/stackc/{name}"));
        let entries = std::fs::read_dir(path).into_iter().flatten();
        let names = entries.map(|entry| entry.expect("it is listed").file_name());
        names.map(|entry| format!("{name}/{}", entry.display())).collect::<Vec<_>>()
    };
    ["store", "releases", "secrets"].iter().flat_map(list).collect()
}

#[test]
fn guest_killed_in_gc_keeps_what_is_needed_whole_and_gives_up_the_rest_by_the_same_call() {
    let (story, before, made) = on_third();
    let picture = before.picture();
    let seen = GcRequest { caller: caller(TX), keep: 1, packages: true, approved: None };
    let seen: Garbage = before.call(&["gc"], &seen, &[]).expect("it is only looked for");
    assert_eq!(seen.paths.len(), 6, "two bundles and a release: {seen:?}");
    let request = GcRequest { caller: caller(TX), keep: 1, packages: true, approved: Some(seen) };
    let gc = |folder: &Folder| folder.call::<Garbage>(&["gc"], &request, &[]);
    let clean = before.copy();
    gc(&clean).expect("it is done");
    let wanted = stock(&clean);
    let kills = Kills::of("gc").each(&before, &["gc"], &input(&request, &[]), |folder, at| {
        let left = Left::new_if(stock(folder) == wanted);
        for needed in &made[1..] {
            let (identity, digest) = (identity(), needed.bundle.digest);
            let request = FetchRequest { identity, digest, after: None };
            let fetched: Result<FetchReply, _> = folder.call(&["fetch"], &request, &[]);
            fetched.unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
        }
        assert_eq!(folder.picture(), picture, "{at}");
        let needed_again = folder.copy();
        recover(folder);
        gc(folder).unwrap_or_else(|refusal| panic!("{at}: {refusal:?}"));
        assert_eq!(stock(folder), wanted, "{at}");
        needed_again.prepare(TX, &story.made);
        let is_built = story.is_built(&needed_again);
        assert_eq!(story.build(&needed_again, at).already, is_built, "{at}");
        story.assert_whole(&needed_again, at);
        left
    });
    kills.expect_more_than(20);
}

#[test]
fn a_release_whose_mark_outlived_its_folder_is_not_built_before_its_build_ends() {
    let story = Story::new();
    story.build(&story.start, "before");
    std::fs::remove_dir_all(story.start.at(&story.folder())).expect("it is there");
    let built = story.start.at(&format!("{}/built", story.folder()));
    // Whatever the next build dies of: here its script is not there.
    let script = format!(
        "/var/lib/stackc/store/{}/rootfs/usr/local/bin/deploy_app.sh",
        story.made.bundle.digest
    );
    let text = story.start.text(&script);
    story.start.put(&script, "#!/bin/sh\nexit 3\n");
    let failed: Result<Done, _> = story.start.call(&["release"], &story.release, &story.archive);
    failed.expect_err("the build fails");
    assert!(!built.exists() && !story.is_built(&story.start));
    story.start.put(&script, &text);
    assert!(!story.build(&story.start, "again").already);
    story.assert_whole(&story.start, "again");
}

#[test]
fn what_a_dead_call_left_running_in_a_release_is_ended_before_it_is_built_again() {
    let story = Story::new();
    let folder = story.start.at(&story.folder());
    std::fs::create_dir_all(&folder).expect("it can be made");
    let mut orphan = Command::new("sleep").arg("60").current_dir(&folder).spawn().expect("it runs");
    story.build(&story.start, "beside it");
    let ended = orphan.try_wait().expect("it is ours");
    assert_eq!(ended.and_then(|status| status.signal()), Some(9), "{ended:?}");
    story.assert_whole(&story.start, "beside it");
}
