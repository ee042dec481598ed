//! Packages, system, accounts and log rotation: what is compiled, and whether the programs that read it agree.
#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use crate::compile::{case, cases, compiled, sources};
use stackc::model::{AptDocument, Bundle, EntryPath, canonical, document};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

#[test]
fn every_key_of_packages_system_accounts_and_logs_compiles_to_this() {
    case("system");
}

fn guest(name: &str) -> Bundle {
    let compiled = compiled(&sources(&cases().join("system")));
    let mut guests = compiled.guests.into_iter();
    guests.find(|(target, _)| target.to_string() == name).expect("the case has this guest").1
}

#[test]
fn a_guest_without_the_table_system_gets_none_of_its_files() {
    let bundle = guest("bare/dev");
    let overlay: Vec<_> = bundle.manifest.overlay().map(|(path, _)| path.to_string()).collect();
    assert_eq!(overlay, Vec::<String>::new());
}

/// The files of a bundle below a folder, as they would stand on a guest.
fn laid_out(bundle: &Bundle) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, bytes) in &bundle.files {
        let Some(path) = path.on_guest() else { continue };
        let path = root.path().join(path.relative());
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
    root
}

fn apt(bundle: &Bundle) -> AptDocument {
    let path: EntryPath = document::APT.parse().expect("a path");
    canonical::from_slice(&bundle.files[&path]).expect("it is canonical")
}

/// Whether a program is there to be asked; tests/run installs it.
fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(program).output();
    let found = found.expect("a shell").status.success();
    if !found {
        eprintln!("skipped: there is no `{program}` to ask");
    }
    found
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: accounts and owners need root");
    }
    is_root
}

fn said(output: Output) -> String {
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

fn ask(program: &str, arguments: &[&str]) -> String {
    let command = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    said(command.expect("it runs"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
}

#[test]
fn sudo_reads_exactly_the_commands_that_were_declared() {
    if !has("cvtsudoers") || !has("visudo") {
        return;
    }
    let root = laid_out(&guest("server/dev"));
    let read = |user: &str| {
        let path = root.path().join(format!("etc/sudoers.d/stackc-{user}"));
        ask("visudo", &["-c", "-f", text(&path)]);
        let json = ask("cvtsudoers", &["-f", "json", text(&path)]);
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        let commands = json["User_Specs"][0]["Cmnd_Specs"][0]["Commands"].clone();
        let commands = commands.as_array().expect("a list").clone();
        let command = |c: &serde_json::Value| c["command"].as_str().map(str::to_owned);
        commands.iter().filter_map(command).collect::<Vec<_>>()
    };
    let declared = [
        "/usr/bin/systemctl reload app@1:2.service",
        "/usr/local/bin/tool --set a=b,c #1",
        "/usr/local/bin/report \"\"",
        "/usr/bin/journalctl",
    ];
    assert_eq!(read("deploy"), declared);
    assert_eq!(read("anna"), ["ALL"]);
    assert!(!root.path().join("etc/sudoers.d/stackc-bert").exists());
}

#[test]
fn accounts_come_out_of_systemd_as_they_were_declared() {
    if !has("systemd-sysusers") || !has("systemd-tmpfiles") || !is_root() {
        return;
    }
    let root = laid_out(&guest("server/dev"));
    let at = format!("--root={}", text(root.path()));
    fs::write(root.path().join("etc/group"), "adm:x:4:\n").expect("it can be written");
    ask("systemd-sysusers", &[&at]);
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).expect("it is made");
    let user = "deploy:x:2001:2001:Runs 100 % of the app, 2nd floor:/srv/deploy:/usr/sbin/nologin";
    assert!(passwd.lines().any(|line| line == user), "{passwd}");
    assert!(passwd.contains(":anna:/home/anna:/bin/bash\n"), "{passwd}");
    let group = fs::read_to_string(root.path().join("etc/group")).expect("it is made");
    for line in ["adm:x:4:deploy", "uploads:x:2000:deploy"] {
        assert!(group.lines().any(|found| found == line), "{line}: {group}");
    }
    assert!(group.contains("readers:x:"), "{group}");
    ask("systemd-tmpfiles", &["--create", &at]);
    let home = fs::metadata(root.path().join("srv/deploy")).expect("it is made");
    assert_eq!((home.permissions().mode() & 0o7777, home.uid()), (0o750, 2001));
}

#[test]
fn logrotate_turns_the_declared_logs_and_no_others() {
    if !has("logrotate") || !is_root() {
        return;
    }
    let root = laid_out(&guest("server/dev"));
    let at = |path: &str| root.path().join(path);
    for folder in ["var/log/app", "var/log/web"] {
        fs::create_dir_all(at(folder)).expect("it can be made");
    }
    let logs = ["app/x.log", "web/access log", "web/error.a", "web/error.b", "monthly.log"];
    for log in logs.iter().chain(&["app/x.txt", "web/access"]) {
        fs::write(at("var/log").join(log), "a line\n").expect("it can be written");
    }
    // The same entries, for logs of this folder and a user of this machine.
    let mut entries = String::new();
    for name in ["app", "web", "monthly"] {
        let path = at("etc/logrotate.d").join(format!("stackc-{name}"));
        entries += &fs::read_to_string(path).expect("it is compiled");
    }
    let here = format!("{}/var/log/", text(root.path()));
    let entries = entries.replace("/var/log/", &here).replace("su deploy deploy", "su root root");
    let entries = entries.replace("systemctl", &format!("echo >>{}", text(&at("asked"))));
    fs::write(at("entries"), entries).expect("it can be written");
    fs::set_permissions(at("entries"), fs::Permissions::from_mode(0o644)).expect("it is ours");
    let told = ask("logrotate", &["--force", "--state", text(&at("state")), text(&at("entries"))]);
    assert_eq!(told, "");
    let units = ["nginx.service", "app@1.service"];
    let asked = units.map(|unit| format!("--quiet is-active {unit}\nreload {unit}\n")).concat();
    assert_eq!(fs::read_to_string(at("asked")).expect("once for both logs"), asked);
    let turned = |log: &str| at("var/log").join(format!("{log}.1")).exists();
    for log in &logs[..4] {
        assert!(turned(log), "{log}");
    }
    assert!(!at("var/log/monthly.log").exists() && !turned("monthly.log"), "none is kept");
    assert!(!turned("app/x.txt") && !turned("web/access"));
    assert_eq!(fs::read(at("var/log/app/x.log")).expect("it is emptied"), b"");
    let new = fs::metadata(at("var/log/web/access log")).expect("it is made");
    assert_eq!((new.permissions().mode() & 0o7777, new.uid()), (0o644, 33));
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
