//! What is made ready before a switch: packages, databases, builds and migrations, and what a failed one may tell.

use crate::fixture_lab::RealLab;
use crate::guest_bundle::{Made, append, health, rules, seal};
use crate::guest_fixture::{Folder, caller, feed, messages, name};
use crate::guest_real::RealGuest;
use stackc::model::protocol::{
    BundleRequest, DatabasesRequest, Done, MigrateRequest, Refusal, RefusalCode, ReleaseRequest,
};
use stackc::model::*;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;

const TX: &str = "00000000000000d1";
const CANARY: &str = "canary $1 of the app";
const PASSWORD: &str = "the app's canary";
const SCRIPT: &str = "#!/bin/sh\nset -eu\n. ./\"$1.sh\"\n";

/// A bundle with a release that runs its own `build.sh` and `migrate.sh` as this user, and a secret in its env file.
pub fn app(user: &str) -> Made {
    let mut overlay =
        vec![("/usr/local/bin/deploy_app.sh", FileClass::Linked, "0755", SCRIPT.to_owned())];
    if user != "root" {
        let line = format!("u {user} - \"App\" /nonexistent\n");
        overlay.push(("/etc/sysusers.d/app.conf", FileClass::Copied, "0644", line));
        let lines = [("/srv/there", "0700"), ("/srv/made", "0750")];
        let lines = lines.map(|(path, mode)| format!("d \"{path}\" {mode} {user} {user} -\n"));
        overlay.push(("/etc/tmpfiles.d/app.conf", FileClass::Copied, "0644", lines.concat()));
    }
    let mut made = seal(1, &overlay, [rules("ufw", 1), rules("ufw6", 1)], health(60));
    made.set_document(document::RELEASE, canonical::to_bytes(&release_document(user)));
    for file in made.secrets.values_mut() {
        file.access.owner = name(user);
        file.text = format!("TOKEN='{CANARY}'\n");
    }
    made
}

pub fn release_document(user: &str) -> ReleaseDocument {
    let step =
        || vec![ReleaseCommand { folder: String::new(), run: String::new(), timeout_seconds: 10 }];
    ReleaseDocument {
        repo: "app".to_owned(),
        branch: "main".to_owned(),
        commit: "0".repeat(40),
        tree: "0".repeat(40),
        subfolder: String::new(),
        user: name(user),
        build: step(),
        migrate: step(),
        build_env: BTreeMap::from([("FLAVOUR".to_owned(), "plain".to_owned())]),
        tools: vec!["id -un".to_owned()],
        shared: vec!["uploads".to_owned()],
        stop_for_migrate: true,
        env_file: Some(name("/etc/app/env")),
        keep: 1,
    }
}

/// A checkout of these two scripts, as a tar archive.
fn checkout(build: &str, migrate: &str) -> Vec<u8> {
    checkout_of(&[("build.sh", build), ("migrate.sh", migrate)])
}

/// A checkout of these files, as a tar archive.
pub fn checkout_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, text) in files {
        append(&mut tar, path, tar::EntryType::Regular, None, text.as_bytes());
    }
    tar.into_inner().expect("memory takes it all")
}

pub fn release(made: &Made, archive: &[u8]) -> ReleaseRequest {
    ReleaseRequest {
        caller: caller(TX),
        digest: made.bundle.digest,
        release: ReleaseId(Digest::of(archive)),
        bytes: archive.len() as u64,
    }
}

fn assert_hides(refusal: &Refusal, lines: &[&str]) {
    assert_eq!(refusal.code, RefusalCode::Failed, "{refusal:?}");
    for line in lines {
        assert!(refusal.details.iter().any(|told| told.contains(line)), "{refusal:?}");
    }
    let told = format!("{} {}", refusal.message, refusal.details.join("\n"));
    assert!(!told.contains("canary"), "{told}");
}

#[test]
fn a_failed_build_does_not_tell_what_the_secret_files_hold() {
    let folder = Folder::new();
    let made = app("root");
    folder.prepare(TX, &made);
    let archive = checkout(&format!("echo token '{CANARY}'; exit 3"), "");
    let told = folder.call::<Done>(&["release"], &release(&made, &archive), &archive);
    let refusal = told.expect_err("the build fails");
    assert_hides(&refusal, &["token [secret]", "exit code 3"]);
    let log = format!("/var/lib/stackc/releases/{}.log", Digest::of(&archive));
    assert_eq!(folder.text(&log), format!("token {CANARY}\n"), "the guest's own log is whole");
}

#[test]
fn a_checkout_that_was_cut_off_between_two_files_is_not_built() {
    let folder = Folder::new();
    let made = app("root");
    folder.prepare(TX, &made);
    let archive = checkout("echo built", "");
    // A header and a block of text: the first file is whole, and nothing says that there is a second.
    let cut = folder.call::<Done>(&["release"], &release(&made, &archive), &archive[..1024]);
    let refusal = cut.expect_err("the rest did not come");
    assert!(refusal.message.contains("did not come"), "{refusal:?}");
    assert!(folder.observe(made.bundle.digest).releases.is_empty());
    let whole = folder.call::<Done>(&["release"], &release(&made, &archive), &archive);
    assert!(!whole.expect("all of it came").already);
}

/// Stands for systemd-tmpfiles: a folder is there before it has its mode.
const TMPFILES: &str = r#"#!/bin/sh
set -eu
root=${0%/usr/bin/*}
while read -r kind path mode rest; do
  test -d "$root$path" || mkdir -m 0700 "$root$path"
  DIE
  chmod "$mode" "$root$path"
done <"$root$2"
"#;

fn with_home() -> (Folder, Made) {
    let folder = Folder::new();
    folder.put("/srv/.keep", "");
    let home = "d /srv/app 0751 root root -\n".to_owned();
    let overlay = [("/etc/tmpfiles.d/app.conf", FileClass::Copied, "0644", home)];
    (folder, seal(1, &overlay, [rules("ufw", 1), rules("ufw6", 1)], health(60)))
}

fn mode_of_home(folder: &Folder) -> u32 {
    let stat = std::fs::symlink_metadata(folder.at("/srv/app")).expect("it is there");
    stat.mode() & 0o7777
}

#[test]
fn a_home_that_is_there_keeps_its_mode_before_the_switch() {
    let (folder, made) = with_home();
    folder.put("/srv/app/index.html", "");
    let found = mode_of_home(&folder);
    assert_ne!(found, 0o751);
    folder.put_program("/usr/bin/systemd-tmpfiles", &TMPFILES.replace("DIE", ":"));
    folder.prepare(TX, &made);
    assert_eq!(mode_of_home(&folder), found);
}

#[test]
fn a_home_whose_making_died_half_way_is_finished_by_the_next_call() {
    let (folder, made) = with_home();
    folder.put_program("/usr/bin/systemd-tmpfiles", &TMPFILES.replace("DIE", "kill -9 $PPID $$"));
    let bundle = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    for (verb, request, more) in messages(TX, &made) {
        feed(folder.command(&[verb]), &[request, more].concat());
    }
    assert_eq!(mode_of_home(&folder), 0o700, "it died there");
    folder.put_program("/usr/bin/systemd-tmpfiles", &TMPFILES.replace("DIE", ":"));
    folder.call::<Done>(&["accounts"], &bundle, &[]).expect("it is made");
    assert_eq!(mode_of_home(&folder), 0o751);
    assert!(!folder.at("/var/lib/stackc/tmpfiles.conf").exists());
}

#[test]
fn packages_databases_and_releases_are_made_ready_on_a_real_guest() {
    let Some(lab) = RealLab::start("gsp") else { return };
    lab.boot(102, "gsp1");
    let guest = RealGuest::new(&lab, "gsp1");
    let mut made = app("shopper");
    // The guest's one source becomes the bundle's: without that, nothing could be installed.
    let found = guest.says("cut -d ' ' -f 3 /etc/apt/sources.list; : >/etc/apt/sources.list");
    let source = format!("Types: deb\nURIs: {found}\nSuites: ./\nTrusted: yes\n");
    let pin = "Package: nodejs\nPin: version *\nPin-Priority: -1\n".to_owned();
    let apt = AptDocument {
        packages: [name("postgresql"), name("redis-server")].map(|p| (p, String::new())).into(),
        sources: BTreeMap::from([("lab".to_owned(), source)]),
        pins: BTreeMap::from([("never".to_owned(), pin)]),
        may_start: vec![name("postgresql")],
    };
    made.set_document(document::APT, canonical::to_bytes(&apt));
    let database = OwnedDatabase { owner: name("shop"), password: Some(name("app/db")) };
    let databases = DatabasesDocument {
        postgresql: BTreeMap::from([(name("shop"), database)]),
        ..Default::default()
    };
    made.set_document(document::DATABASES, canonical::to_bytes(&databases));
    guest.says("mkdir -m 751 /srv/there");
    for (verb, request, more) in messages(TX, &made) {
        let request: serde_json::Value = serde_json::from_slice(&request).expect("it is JSON");
        let done: Done = guest
            .call_with(verb, &request, &more)
            .unwrap_or_else(|refusal| panic!("{verb}: {refusal:?}"));
        assert!(!done.already, "{verb}");
    }
    let told = guest.says("stat -c '%a %U %G' /srv/there /srv/made; ls /var/lib/stackc/*.conf");
    assert_eq!(told, "751 root root\n750 shopper shopper", "what was there is as it was");
    packages_are_there(&guest, &made);
    a_file_of_a_package_is_refused(&guest);
    databases_are_ensured(&guest, &made);
    builds_and_migrates(&guest, &made);
}

fn packages_are_there(guest: &RealGuest, made: &Made) {
    assert_eq!(guest.says("systemctl is-active redis-server postgresql"), "inactive\nactive");
    let policy = guest.says("apt-cache policy nodejs");
    assert!(policy.contains("Candidate: (none)") && policy.contains(" -1"), "{policy}");
    assert_eq!(guest.says("ls /usr/sbin/policy-rc.d 2>&1 | grep -c 'No such file'"), "1");
    let bundle = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    assert!(guest.call::<Done>("packages", &bundle).expect("all are there").already);
}

fn a_file_of_a_package_is_refused(guest: &RealGuest) {
    let files = ["/etc/redis/redis.conf", "/etc/redis/own.conf"]
        .map(|path| (path, FileClass::Copied, "0644", "port 0\n".to_owned()));
    let made = seal(1, &files, [rules("ufw", 1), rules("ufw6", 1)], health(60));
    let (verb, request, archive) = messages(TX, &made).swap_remove(0);
    let request: serde_json::Value = serde_json::from_slice(&request).expect("it is JSON");
    guest.call_with::<Done>(verb, &request, &archive).expect("it is received");
    // This guest has no firewall, which is not what is asked about.
    guest.says(
        "for tool in iptables ip6tables; do printf '#!/bin/sh\\n' >/usr/local/bin/$tool-restore; done; chmod 755 /usr/local/bin/*-restore",
    );
    let bundle = BundleRequest { caller: caller(TX), digest: made.bundle.digest };
    let refusal = guest.call::<Done>("validate", &bundle).expect_err("dpkg has one of them");
    let of_redis = "`/etc/redis/redis.conf`: a configuration file of the package `redis-server`, which dpkg would fight over";
    assert_eq!(refusal.details, [of_redis], "{refusal:?}");
    // A way back to a generation that had the file first.
    let ledger = canonical::to_bytes(&serde_json::json!({ "format": 1, "kept": made.ledger() }));
    let ledger = String::from_utf8(ledger).expect("it is JSON");
    let folder = "/var/lib/stackc/generations/7";
    guest.says(&format!("mkdir -p {folder} && printf '%s' '{ledger}' >{folder}/ledger.json"));
    guest.call::<Done>("validate", &bundle).expect("it was this guest's before");
    guest.says(&format!("rm -r {folder}"));
}

fn databases_are_ensured(guest: &RealGuest, made: &Made) {
    let ensure = || {
        let passwords = BTreeMap::from([(name("app/db"), PASSWORD.to_owned())]);
        let digest = made.bundle.digest;
        guest.call::<Done>("databases", &DatabasesRequest { caller: caller(TX), digest, passwords })
    };
    assert!(!ensure().expect("it is made").already);
    assert!(ensure().expect("it is there").already);
    let owner =
        "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()";
    let login = format!(
        "PGPASSWORD=\"{PASSWORD}\" psql -w -h 127.0.0.1 -U shop -d shop -Atc \"{owner}\" 2>&1"
    );
    assert_eq!(guest.says(&login), "shop");
    // A client that tells all that it was told, and fails.
    guest.says(
        "printf '#!/bin/sh\\nin=$(cat); echo \"$in\"; case $in in *PASSWORD*) exit 1;; esac\\n' >/usr/local/bin/psql; chmod 755 /usr/local/bin/psql",
    );
    let refusal = ensure().expect_err("the client fails");
    assert_hides(&refusal, &["LOGIN PASSWORD '[secret]'", "CREATE DATABASE"]);
}

fn builds_and_migrates(guest: &RealGuest, made: &Made) {
    let broken = checkout(&format!("echo token '{CANARY}'; exit 3"), "");
    let request = release(made, &broken);
    let refusal = guest.call_with::<Done>("release", &request, &broken).expect_err("it fails");
    assert_hides(&refusal, &["token [secret]", "exit code 3"]);

    let archive = checkout(
        "echo $FLAVOUR >built; id -un >>built",
        ". \"$STACKC_ENV_FILE\"; systemctl is-active cron >cron || true; echo \"token $TOKEN\"; test -e uploads/go",
    );
    let request = release(made, &archive);
    let built = || guest.call_with::<Done>("release", &request, &archive);
    assert!(!built().expect("it builds").already);
    assert!(built().expect("it is built").already);
    let folder = format!("/var/lib/stackc/releases/{}", request.release);
    let told = guest.says(&format!("cat {folder}/built; stat -c %U {folder}/build.sh"));
    assert_eq!(told, "plain\nshopper\nshopper");

    let stop = vec![name("cron.service")];
    let (digest, secrets) = (made.bundle.digest, made.secrets_version);
    let migration =
        MigrateRequest { caller: caller(TX), digest, release: request.release, secrets, stop };
    let refusal = guest.call::<Done>("migrate", &migration).expect_err("it may not yet");
    assert_hides(&refusal, &["token [secret]", "exit code 1"]);
    let told = format!("cat {folder}/cron; systemctl is-active cron; touch {folder}/uploads/go");
    assert_eq!(guest.says(&told), "inactive\nactive", "stopped meanwhile, and running again");
    assert!(!guest.call::<Done>("migrate", &migration).expect("it may").already);
}
