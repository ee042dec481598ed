//! Packages: what is compiled of sources, pins and upgrades, and whether apt agrees.

use crate::{
    compile::{cases, compiled, sources},
    compile_system::{ask, guest, has, laid_out, said, text},
};
use stackc::model::{AptDocument, Bundle, EntryPath, canonical, document};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
};
use tempfile::TempDir;

fn apt(bundle: &Bundle) -> AptDocument {
    let path: EntryPath = document::APT.parse().expect("a path");
    canonical::from_slice(&bundle.files[&path]).expect("it is canonical")
}

/// apt with these folders of its own, so that nothing of this machine is read or written.
struct Apt {
    root: TempDir,
}

impl Apt {
    fn new(document: &AptDocument) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let folders =
            ["sources", "pins", "conf", "lists/partial", "cache/archives/partial", "keys"];
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).expect("it can be made");
        }
        let write = |path: String, text: &str| {
            fs::write(root.path().join(path), text).expect("it can be written");
        };
        for (name, text) in &document.sources {
            write(format!("sources/stackc-{name}.sources"), text);
        }
        for (name, text) in &document.pins {
            write(format!("pins/stackc-{name}"), text);
        }
        write("status".to_owned(), "");
        let options = [
            ("Dir::Etc::SourceList", "/dev/null"),
            ("Dir::Etc::SourceParts", "{}/sources"),
            ("Dir::Etc::Preferences", "/dev/null"),
            ("Dir::Etc::PreferencesParts", "{}/pins"),
            ("Dir::Etc::Trusted", "/dev/null"),
            ("Dir::Etc::TrustedParts", "{}/keys"),
            ("Dir::State::Lists", "{}/lists"),
            ("Dir::State::Status", "{}/status"),
            ("Dir::Cache", "{}/cache"),
            ("APT::Architecture", "amd64"),
            ("APT::Sandbox::User", "root"),
        ];
        let line = |(key, value): (&str, &str)| {
            format!("{key} \"{}\";\n", value.replace("{}", text(root.path())))
        };
        write("apt.conf".to_owned(), &options.map(line).concat());
        Self { root }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let configuration = self.root.path().join("apt.conf");
        let mut command = Command::new(program);
        command.args(arguments).env("APT_CONFIG", configuration).env("LC_ALL", "C.UTF-8");
        command.output().expect("it runs")
    }
}

#[test]
fn apt_reads_sources_and_pins_as_they_were_declared() {
    if !has("apt-get") {
        return;
    }
    let document = apt(&guest("server/dev"));
    let apt = Apt::new(&document);
    let targets = said(
        apt.run("apt-get", &["indextargets", "--no-release-info", "--format", "$(METAKEY) $(URI)"]),
    );
    for wanted in [
        "main/binary-amd64/Packages https://deb.example.org/dev/dists/bookworm/main/binary-amd64/Packages",
        "contrib/node/source/Sources https://deb.example.org/dev/dists/bookworm-updates/contrib/node/source/Sources",
        "Packages file:/srv/packages/./Packages",
        "Packages https://deb.example.org/text/./Packages",
    ] {
        assert!(targets.lines().any(|line| line == wanted), "{wanted}: {targets}");
    }
    let policy = said(apt.run("apt-cache", &["policy"]));
    assert!(!policy.contains("W:"), "{policy}");
}

#[test]
fn a_source_is_trusted_by_the_key_that_it_embeds_and_by_no_other() {
    if !has("apt-get") || !has("apt-ftparchive") || !has("gpg") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (home, packages) = (folder.path().join("gpg"), folder.path().join("packages"));
    for made in [&home, &packages] {
        fs::create_dir(made).expect("it can be made");
        fs::set_permissions(made, fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
    let script = "export GNUPGHOME=\"$0\"; cd \"$1\"
        gpg --batch --quiet --passphrase '' --quick-gen-key 'A test' ed25519 sign never
        gpg --armor --export >../key.asc
        : >Packages; apt-ftparchive release . >../Release; mv ../Release .
        gpg --batch --clear-sign --output InRelease Release
        gpgconf --kill all";
    ask("sh", &["-ec", script, text(&home), text(&packages)]);
    let key = fs::read(folder.path().join("key.asc")).expect("it is exported");
    let update = |key: &[u8]| {
        let mut sources = sources(&cases().join("system"));
        sources.files.insert("keys/vendor.asc".to_owned(), key.to_vec());
        let kind = format!(
            "extends = \"bare\"\n[apt.sources.x]\nuris = [\"file:{}\"]\nsuites = [\"./\"]\nsigned_by = \"keys/vendor.asc\"\n",
            text(&packages)
        );
        sources.files.insert("templates/server/kind.toml".to_owned(), kind.into());
        sources.files.remove("stacks/server.toml");
        let project = "[project]\nkind = \"server\"\n[envs.dev]\nname = \"server-dev\"\nvmid = 301\nip = \"10.0.10.130/24\"\n";
        sources.files.insert("stacks/server.toml".to_owned(), project.into());
        let guests = compiled(&sources).guests;
        let mut guests = guests.into_iter();
        let (_, bundle) =
            guests.find(|(target, _)| target.project.as_str() == "server").expect("it compiles");
        let apt = Apt::new(&apt(&bundle));
        let output = apt.run("apt-get", &["update"]);
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&told).into_owned())
    };
    let (is_trusted, told) = update(&key);
    assert!(is_trusted && !told.contains("W:"), "{told}");
    let other = fs::read(cases().join("system/keys/vendor.asc")).expect("it is there");
    let (is_trusted, told) = update(&other);
    assert!(!is_trusted && told.contains("NO_PUBKEY"), "{told}");
}

#[test]
fn apt_reads_the_settings_of_upgrades_as_they_were_declared() {
    if !has("apt-config") {
        return;
    }
    let settings = |guest: &str| {
        let root = laid_out(&self::guest(guest));
        let file = root.path().join("etc/apt/apt.conf.d/52stackc-unattended-upgrades");
        let told = ask("apt-config", &["-c", text(&file), "dump", "--format", "%f=%v%n"]);
        let ours = ["Unattended-Upgrade::", "APT::Periodic::"];
        let line = |line: &str| line.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()));
        let lines = told.lines().filter(|l| ours.iter().any(|start| l.starts_with(start)));
        lines.filter_map(line).collect::<Vec<_>>()
    };
    let dev = settings("server/dev");
    for (key, value) in [
        ("APT::Periodic::Unattended-Upgrade", "1"),
        ("Unattended-Upgrade::Automatic-Reboot", "true"),
        ("Unattended-Upgrade::Automatic-Reboot-Time", "03:30"),
        ("Unattended-Upgrade::Remove-Unused-Dependencies", "false"),
        ("Unattended-Upgrade::Mail", "ops@example.org"),
        ("Unattended-Upgrade::Origins-Pattern::", "origin=Example,codename=${distro_codename}"),
        ("Unattended-Upgrade::Origins-Pattern::", "site=deb.example.org"),
        ("Unattended-Upgrade::Package-Blacklist::", "libstdc[+][+]6$"),
        ("Unattended-Upgrade::Package-Blacklist::", "linux-.*$"),
    ] {
        assert!(dev.contains(&(key.to_owned(), value.to_owned())), "{key} {value}: {dev:?}");
    }
    let qa: BTreeMap<_, _> = settings("server/qa").into_iter().collect();
    assert_eq!(qa["APT::Periodic::Unattended-Upgrade"], "0");
    assert_eq!(qa["APT::Periodic::Update-Package-Lists"], "0");
}
