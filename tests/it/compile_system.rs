//! System, accounts and log rotation: what is compiled, and whether the programs that read it agree.
#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use crate::compile::{case, cases, compiled, sources};
use crate::left_out::is_left_out;
use stackc::model::Bundle;
use std::{
    collections::BTreeSet,
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

pub fn guest(name: &str) -> Bundle {
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

#[test]
fn the_locale_is_where_no_boot_of_its_debian_takes_it_away() {
    let path = |debian: &str| {
        let mut sources = sources(crate::compile::root());
        let site = sources.files.get_mut("stacks/site.toml").expect("the case has a site");
        let text = String::from_utf8_lossy(site).replace("debian-12", debian);
        assert!(text.contains(debian), "{text}");
        *site = text.into_bytes();
        let compiled = compiled(&sources);
        let paths = compiled.guests.values().flat_map(|b| b.manifest.overlay().map(|(p, _)| p));
        let paths = paths.map(|path| path.to_string()).filter(|path| path.contains("locale"));
        paths.collect::<BTreeSet<_>>()
    };
    assert_eq!(path("debian-12"), BTreeSet::from(["/etc/default/locale".to_owned()]));
    assert_eq!(path("debian-13"), BTreeSet::from(["/etc/locale.conf".to_owned()]));
}

/// The files of a bundle below a folder, as they would stand on a guest.
pub fn laid_out(bundle: &Bundle) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (path, bytes) in &bundle.files {
        let Some(path) = path.on_guest() else { continue };
        let path = root.path().join(path.relative());
        fs::create_dir_all(path.parent().expect("it has a folder")).expect("it can be made");
        fs::write(path, bytes).expect("it can be written");
    }
    root
}

/// Whether a program is there to be asked; tests/run installs it.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\""]).arg(program).output();
    !is_left_out(program, found.expect("a shell").status.success())
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: accounts and owners need root");
    }
    is_root
}

pub fn said(output: Output) -> String {
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{told}");
    told
}

pub fn ask(program: &str, arguments: &[&str]) -> String {
    let command = Command::new(program).args(arguments).env("LC_ALL", "C.UTF-8").output();
    said(command.expect("it runs"))
}

pub fn text(path: &Path) -> &str {
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

/// Characters of all sorts: what a format cannot hold must be refused, and all else must come out as it went in.
fn characters() -> impl Iterator<Item = char> {
    (' '..='~').chain(['\t', '\n', '\r', '\u{7f}', '\u{85}', 'é', '\u{202e}'])
}

/// The bundle of a guest with nothing but these lines in its project; none when they are refused.
fn with_lines(lines: &str) -> Option<Bundle> {
    let mut sources = sources(&cases().join("system"));
    sources.files.remove("stacks/server.toml");
    let kind = "extends = \"bare\"\n[packages]\nlogrotate = true\nsudo = true\n";
    sources.files.insert("templates/server/kind.toml".to_owned(), kind.into());
    let env = "[envs.dev]\nname = \"bare-dev\"\nvmid = 303\nip = \"10.0.10.132/24\"\n";
    let project = format!("[project]\nkind = \"server\"\n{lines}{env}");
    sources.files.insert("stacks/bare.toml".to_owned(), project.into());
    let compiled = stackc::compile::compile(&sources).ok()?;
    compiled.guests.into_values().next()
}

/// A text as TOML writes it.
fn toml(text: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

#[test]
fn each_character_of_a_sudo_command_is_exact_or_refused() {
    if !has("cvtsudoers") {
        return;
    }
    let (mut exact, mut refused) = (String::new(), String::new());
    for c in characters() {
        for command in [format!("/bin/a{c}b c"), format!("/bin/a b{c}c"), format!("/bin/a {c}c d")]
        {
            let lines = format!("[project.users.anna]\nsudo = [{}]\n", toml(&command));
            let Some(bundle) = with_lines(&lines) else {
                refused.push(c);
                continue;
            };
            let root = laid_out(&bundle);
            let path = root.path().join("etc/sudoers.d/stackc-anna");
            let json = ask("cvtsudoers", &["-f", "json", text(&path)]);
            let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
            let words: Vec<_> = command.split(' ').filter(|word| !word.is_empty()).collect();
            let commands = &json["User_Specs"][0]["Cmnd_Specs"][0]["Commands"];
            let wanted = serde_json::json!([{ "command": words.join(" ") }]);
            assert_eq!(commands, &wanted, "{command:?}");
            exact.push(c);
        }
    }
    assert!(exact.len() > 200, "{exact}");
    for c in "*?[]\\^!\"'\n\u{202e}".chars() {
        assert_eq!(refused.matches(c).count(), 3, "{c:?} is refused in every place");
    }
}

#[test]
fn each_character_of_a_comment_is_exact_or_refused() {
    if !has("systemd-sysusers") || !is_root() {
        return;
    }
    let mut exact = 0;
    for c in characters() {
        let comment = format!("A{c}B");
        let lines = format!("[project.users.anna]\ncomment = {}\n", toml(&comment));
        let Some(bundle) = with_lines(&lines) else { continue };
        let root = laid_out(&bundle);
        ask("systemd-sysusers", &[&format!("--root={}", text(root.path()))]);
        let passwd = fs::read_to_string(root.path().join("etc/passwd")).expect("it is made");
        let line = format!(":{comment}:/home/anna:/bin/bash\n");
        assert!(passwd.contains(&line), "{comment:?}: {passwd}");
        exact += 1;
    }
    assert!(exact > 80, "{exact}");
}

#[test]
fn each_character_of_a_log_s_path_is_exact_or_refused() {
    if !has("logrotate") || !is_root() {
        return;
    }
    let mut exact = 0;
    for c in characters() {
        let log = format!("/var/log/a{c}b.log");
        let lines = format!("[project.log_rotation.x]\npaths = {}\n", toml(&log));
        let Some(bundle) = with_lines(&lines) else { continue };
        let root = laid_out(&bundle);
        let logs = root.path().join("var/log");
        // A path with a `/` in it, and a glob, find these as well.
        for name in [format!("a{c}b.log"), "axb.log".to_owned()] {
            fs::create_dir_all(logs.join(&name).parent().expect("a folder")).expect("it is made");
            fs::write(logs.join(&name), "a line\n").expect("it can be written");
        }
        let path = root.path().join("etc/logrotate.d/stackc-x");
        let entry = fs::read_to_string(&path).expect("it is compiled");
        let here = format!("{}/var/log/", text(root.path()));
        fs::write(&path, entry.replace("/var/log/", &here)).expect("it can be written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
        let state = root.path().join("state");
        ask("logrotate", &["--force", "--state", text(&state), text(&path)]);
        assert!(logs.join(format!("a{c}b.log.1")).exists(), "{log:?}");
        let is_glob = "*?x".contains(c);
        assert_eq!(logs.join("axb.log.1").exists(), is_glob, "{log:?} turns no other log");
        exact += 1;
    }
    assert!(exact > 80, "{exact}");
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
