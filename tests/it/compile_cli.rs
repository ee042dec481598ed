//! The verbs of the compiler, as an operator runs them.

use assert_cmd::Command;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A copy of the worked examples.
pub fn workspace() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["stacks", "keys", "templates"] {
        let to = folder.path().join(part);
        for file in files_below(&root().join(part)) {
            if file.to_string_lossy().contains("/apps/") {
                continue;
            }
            let below = file.strip_prefix(root().join(part)).expect("it was found there");
            let copy = to.join(below);
            fs::create_dir_all(copy.parent().expect("it has a folder")).expect("a folder");
            fs::copy(&file, copy).expect("it can be copied");
        }
    }
    folder
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it is readable").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub fn stackc(workspace: &Path) -> Command {
    let mut command = Command::cargo_bin("stackc").expect("it is built");
    command.arg("-C").arg(workspace);
    command
}

/// Every file of the store: its path, mode and content, or where it links to.
pub fn stored(workspace: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let store = workspace.join("out/store");
    let mut all = BTreeMap::new();
    for file in files_below(&store) {
        let mode = fs::symlink_metadata(&file).expect("it is there").permissions().mode();
        let content = match fs::read_link(&file) {
            Ok(target) => target.into_os_string().into_encoded_bytes(),
            Err(_) => fs::read(&file).expect("it is readable"),
        };
        all.insert(file.strip_prefix(&store).expect("below").to_owned(), (mode, content));
    }
    all
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn build_prints_a_line_per_guest_and_then_nothing_new() {
    let folder = workspace();
    let first = stackc(folder.path()).arg("build").assert().success();
    let lines = text(&first.get_output().stdout);
    assert_eq!(lines.lines().count(), 10);
    assert!(lines.lines().all(|line| line.ends_with("  new")), "{lines}");
    let second = stackc(folder.path()).arg("build").assert().success();
    let again = text(&second.get_output().stdout);
    assert_eq!(again, lines.replace("  new", "  unchanged"));
    stackc(folder.path()).args(["diff", "--exit-code"]).assert().success().stdout("");
}

#[test]
fn a_change_is_shown_file_by_file_and_without_secrets() {
    let folder = workspace();
    stackc(folder.path()).arg("build").assert().success();
    let shop = folder.path().join("stacks/shop.toml");
    let written = fs::read_to_string(&shop).expect("it is there");
    fs::write(&shop, written.replace("backend = 3001", "backend = 3002")).expect("written");
    let diff = stackc(folder.path()).args(["diff", "shop/dev", "--exit-code"]).assert().code(10);
    let diff = text(&diff.get_output().stdout);
    assert!(diff.contains("+-A ufw-user-input -p tcp --dport 3002 -j ACCEPT"), "{diff}");
    assert!(diff.contains("+Environment=PORT=3002"), "{diff}");
    assert!(!diff.contains("rootfs/etc/sudoers.d"), "{diff}");
}

#[test]
fn a_file_that_no_bundle_has_is_told_with_those_that_are_near() {
    let folder = workspace();
    let show =
        |file: &str| stackc(folder.path()).args(["show", "shop/dev", "--file", file]).assert();
    let near = show("app-backendd.service").code(2).stdout("");
    let told = text(&near.get_output().stderr);
    assert!(told.contains("no file of shop/dev has `app-backendd.service` in its path"), "{told}");
    assert!(
        told.contains("help: near are rootfs/etc/systemd/system/app-backend.service"),
        "{told}"
    );
    let none = show("§§§").code(2).stdout("");
    let told = text(&none.get_output().stderr);
    assert!(told.contains("help: `stackc show shop/dev` shows all of its "), "{told}");
    show("backend.service").success();
}

#[test]
fn mistakes_exit_with_1_and_build_nothing() {
    let folder = workspace();
    fs::write(folder.path().join("stacks/bad.toml"), "[project]\nkidn = 1\n").expect("written");
    let failed = stackc(folder.path()).arg("build").assert().code(1).stdout("");
    let told = text(&failed.get_output().stderr);
    assert!(
        told.contains("stacks/bad.toml:2:1") && told.contains("did you mean `kind`?"),
        "{told}"
    );
    assert!(!folder.path().join("out").exists());
    stackc(folder.path()).arg("show").assert().code(2);
    stackc(&folder.path().join("keys")).arg("check").assert().code(1);
}

#[test]
fn first_mistakes_are_told_once_each_and_with_a_remedy() {
    let folder = workspace();
    let told = |at: &Path| text(&stackc(at).arg("build").assert().code(1).get_output().stderr);
    let below = told(&folder.path().join("keys"));
    assert!(below.contains("lies in one") && below.contains("-C "), "{below}");
    let elsewhere = tempfile::tempdir().expect("a folder");
    assert!(told(elsewhere.path()).contains("has no folder `stacks`"));
    assert!(told(&elsewhere.path().join("none")).contains("there is no folder"));

    let shop = folder.path().join("stacks/shop.toml");
    let good = fs::read_to_string(&shop).expect("it is there");
    fs::write(&shop, good.replace("\"node-app\"", "node-app")).expect("written");
    let unquoted = told(folder.path());
    assert!(unquoted.contains("put text in quotes: \"node-app\""), "{unquoted}");
    assert!(unquoted.contains("\n1 mistake;"), "{unquoted}");
    fs::write(&shop, good).expect("written");
    fs::remove_file(folder.path().join("stacks/site.toml")).expect("it was there");
    let no_site = told(folder.path());
    assert!(no_site.contains("there is no `stacks/site.toml`"), "{no_site}");
    assert!(no_site.contains("\n1 mistake;"), "{no_site}");
}

#[test]
fn lock_pins_branches_of_a_folder_of_the_workspace() {
    let folder = workspace();
    fs::remove_file(folder.path().join("stacks/lock.toml")).expect("it was there");
    for other in ["manual", "rates", "reports"] {
        let file = folder.path().join(format!("stacks/{other}.toml"));
        fs::remove_file(file).expect("it was there");
    }
    let unpinned = stackc(folder.path()).arg("build").assert().code(1);
    assert!(text(&unpinned.get_output().stderr).contains("run `stackc lock shop/dev`"));
    let repository = folder.path().join("repos/shop");
    fs::create_dir_all(&repository).expect("a folder");
    fs::write(repository.join("VERSION"), "1\n").expect("written");
    let commands: [&[&str]; 5] = [
        &["init", "--quiet", "--initial-branch=dev"],
        &["add", "."],
        &["commit", "--quiet", "--message=one"],
        &["branch", "qa"],
        &["branch", "prod"],
    ];
    for arguments in commands {
        git(&repository, arguments);
    }
    stackc(folder.path()).arg("lock").assert().success();
    let locked = fs::read_to_string(folder.path().join("stacks/lock.toml")).expect("written");
    let sections: Vec<_> = locked.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(sections, ["[shop.dev]", "[shop.prod]", "[shop.qa]"]);
    let again = stackc(folder.path()).arg("lock").assert().success();
    assert!(text(&again.get_output().stdout).lines().all(|line| line.ends_with("unchanged")));
    stackc(folder.path()).arg("build").assert().success();
    only_whole_pins_that_an_env_uses_stay(folder.path(), &locked);
}

fn only_whole_pins_that_an_env_uses_stay(folder: &Path, locked: &str) {
    let lock_file = folder.join("stacks/lock.toml");
    let unused = locked.replace("[shop.qa]", "[shop.gone]");
    fs::write(
        &lock_file,
        format!("{unused}\n[shop.qa]\n{}", unused.rsplit_once("]\n").expect("one").1),
    )
    .expect("written");
    let check = stackc(folder).arg("check").assert().success();
    assert!(text(&check.get_output().stderr).contains("the pin of `shop/gone`"));
    let removes = stackc(folder).args(["lock", "shop/dev"]).assert().success();
    let removes = text(&removes.get_output().stdout);
    assert!(removes.contains("shop/gone  removed"), "{removes}");
    assert_eq!(fs::read_to_string(&lock_file).expect("it is there"), locked);
    fs::write(&lock_file, format!("<<<<<<< ours\n{locked}>>>>>>> theirs\n")).expect("written");
    let one = stackc(folder).args(["lock", "shop/dev"]).assert().code(1);
    assert!(text(&one.get_output().stderr).contains("without naming guests"));
    stackc(folder).arg("lock").assert().success();
    assert_eq!(fs::read_to_string(&lock_file).expect("it is there"), locked);
}

#[test]
fn lock_without_the_repositories_of_the_examples_says_how_to_get_them() {
    let folder = workspace();
    let refused = stackc(folder.path()).arg("lock").assert().code(3);
    let told = text(&refused.get_output().stderr);
    assert!(told.contains("repos/manual") && told.contains("stackc lab workspace DIR"), "{told}");
}

#[test]
fn a_bundles_readme_names_a_comparison_that_follows_no_link() {
    let folder = workspace();
    stackc(folder.path()).args(["build", "shop"]).assert().success();
    let store = folder.path().join("out/store");
    let readmes: Vec<_> =
        files_below(&store).into_iter().filter(|f| f.ends_with("README.txt")).collect();
    assert_eq!(readmes.len(), 3);
    let readme = fs::read_to_string(&readmes[0]).expect("it is readable");
    assert!(readme.contains("diff -r --no-dereference"), "{readme}");
    let mut compare = Command::new("diff");
    compare.args(["-r", "--no-dereference"]);
    compare.args(readmes.iter().take(2).map(|file| file.parent().expect("a bundle")));
    let told = compare.assert().code(1);
    assert_eq!(text(&told.get_output().stderr), "", "no link leads diff astray");
}

fn git(folder: &Path, arguments: &[&str]) {
    Command::new("git")
        .current_dir(folder)
        .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .assert()
        .success();
}

#[test]
fn lock_runs_no_command_that_an_address_names() {
    let folder = workspace();
    let shop = folder.path().join("stacks/shop.toml");
    let written = fs::read_to_string(&shop).expect("it is there");
    for address in
        ["ext::sh -c touch% pwned", "--upload-pack=touch pwned", "../outside", "file:///etc"]
    {
        let hostile = written.replace("repo = \"repos/shop\"", &format!("repo = \"{address}\""));
        fs::write(&shop, hostile).expect("written");
        let refused = stackc(folder.path()).arg("lock").assert().code(1);
        let told = text(&refused.get_output().stderr);
        assert!(told.contains("is no repository that stackc reads"), "{told}");
    }
    assert!(!folder.path().join("pwned").exists());
}

#[test]
fn the_examples_key_that_would_lock_everybody_out_is_warned_of_and_only_that() {
    let folder = workspace();
    let told = || text(&stackc(folder.path()).arg("check").assert().success().get_output().stderr);
    assert!(
        told().starts_with("warning: `keys/ops.pub` is the worked examples' key"),
        "{}",
        told()
    );
    let own = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDbtRAxwEjxOAwx5pQ7xSP0lYWlYOjf7TqM1jM5OLNra me@example.org\n";
    fs::write(folder.path().join("keys/ops.pub"), own).expect("it is ours");
    assert_eq!(told(), "");
}

/// What each tool refuses, as an entry of a project; its own tool must say so, or be told to be missing.
const REFUSED_BY_TOOLS: [(&str, &str, &str); 9] = [
    ("visudo", "/etc/sudoers.d/bad", "appuser ALL=NOPASSWD ALL\\n"),
    ("sh", "/usr/local/bin/bad", "#!/bin/sh\\nif true\\n"),
    ("sh", "/etc/cron.d/bad", "@daily root date +\\\\%F\\n@daily root if true; then echo\\n"),
    ("sshd", "/etc/ssh/sshd_config.d/30-bad.conf", "PermitRotLogin no\\n"),
    (
        "logrotate",
        "/etc/logrotate.d/bad",
        "/srv/bad.log {\\n  su nobody-here root\\n}\\n/srv/x.log {\\n  dayly\\n}\\n",
    ),
    ("bash", "/usr/local/bin/worse", "#!/bin/bash\\nif [[ a == b ]]; then\\n"),
    ("systemd-analyze", "/etc/systemd/system/bad.slice", "[Slice]\\nMemoryMax=lots\\n"),
    (
        "systemd-analyze",
        "/etc/systemd/system/cron.service.d/10-bad.conf",
        "[Service]\\nMemoryMax=lots\\n",
    ),
    // It does not load it, though each of its lines is well.
    (
        "systemd-analyze",
        "/etc/systemd/system/srv-x.mount",
        "[Mount]\\nWhat=/dev/sdb1\\nWhere=/srv/y\\n",
    ),
];

#[test]
fn tools_refuse_what_only_they_can_judge() {
    let workspace = workspace();
    let clean =
        stackc(workspace.path()).args(["check", "--tools", "--json"]).output().expect("runs");
    let clean: serde_json::Value = serde_json::from_slice(&clean.stdout).expect("a document");
    assert_eq!(clean["tools"]["faults"], serde_json::json!([]), "the worked examples are well");
    assert!(clean["tools"]["judged"].as_u64() > Some(20), "{clean}");
    let asked = clean["tools"]["asked"].as_array().expect("a list");
    assert!(asked.iter().any(|tool| tool == "sh"), "{clean}");
    assert!(!asked.iter().any(|tool| tool == "bash"), "nothing is for bash to judge: {clean}");
    let mut shop = fs::read_to_string(workspace.path().join("stacks/shop.toml")).expect("there");
    for (n, (_, path, text)) in REFUSED_BY_TOOLS.iter().enumerate() {
        let entry = format!("[envs.dev.files.bad{n}]\npath = \"{path}\"\ntext = \"{text}\"\n");
        shop.push_str(&entry);
    }
    fs::write(workspace.path().join("stacks/shop.toml"), shop).expect("it is written");
    let run = stackc(workspace.path()).args(["check", "--tools", "--json"]).output().expect("runs");
    assert_eq!(run.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_slice(&run.stdout).expect("a document");
    let faults = found["tools"]["faults"].as_array().expect("a list");
    let written = fs::read_to_string(workspace.path().join("stacks/shop.toml")).expect("there");
    for (tool, path, _) in REFUSED_BY_TOOLS {
        let is_missing = found["tools"]["not_checked"].to_string().contains(tool);
        let told = faults.iter().find(|f| f["tool"] == tool && f["path"] == path);
        assert!(told.is_some() || is_missing, "{tool}: {found}");
        let Some(made) = told.map(|fault| &fault["made_at"]) else { continue };
        let line = written.lines().position(|line| line.contains(path)).expect("written") + 1;
        let place = serde_json::json!({
            "file": "stacks/shop.toml", "line": line, "column": 8, "template": null,
        });
        assert_eq!(*made, place, "{path}");
    }
}

#[test]
fn what_a_tool_refuses_is_told_with_its_definition_its_template_and_its_count() {
    let workspace = workspace();
    let shop = workspace.path().join("stacks/shop.toml");
    let entry = "[project.files.bad]\npath = \"/usr/local/bin/bad\"\ntemplate = \"bad.sh\"\n";
    let written = fs::read_to_string(&shop).expect("there") + entry;
    fs::write(&shop, &written).expect("written");
    let template = workspace.path().join("templates/bad.sh");
    fs::write(template, "#!/bin/sh\nif true\n").expect("written");
    let run = stackc(workspace.path()).args(["check", "--tools"]).output().expect("runs");
    assert_eq!(run.status.code(), Some(1));
    let line = written.lines().count() - 1;
    let (told, counted) = (text(&run.stderr), text(&run.stdout));
    let place = format!("\n  = made at stacks/shop.toml:{line}:8, of templates/bad.sh\n");
    assert!(told.contains("error[sh]: sh refuses `/usr/local/bin/bad` of shop/"), "{told}");
    assert!(told.contains(&place) && told.contains("/usr/local/bin/bad: 3: "), "{told}");
    assert!(counted.contains(" refused\n") && !counted.contains("no mistakes"), "{counted}");
}

#[test]
fn what_lies_too_deep_in_a_workspace_is_told_and_not_left_out() {
    let folder = workspace();
    let deepest = folder.path().join("templates").join("a/".repeat(15));
    fs::create_dir_all(&deepest).expect("the folder is ours");
    fs::write(deepest.join("t.tera"), "").expect("the folder is ours");
    stackc(folder.path()).arg("check").assert().success();
    fs::create_dir(deepest.join("b")).expect("the folder is ours");
    fs::write(deepest.join("b/t.tera"), "").expect("the folder is ours");
    let refused = stackc(folder.path()).arg("check").assert().code(1);
    let told = text(&refused.get_output().stderr);
    assert!(told.contains("b/t.tera` lies more than 16 folders deep"), "{told}");
}

#[test]
fn templates_in_a_folder_that_is_named_like_that_of_the_apps_are_read() {
    let folder = workspace();
    let apps = folder.path().join("templates/stacks/apps");
    fs::create_dir_all(&apps).expect("the folder is ours");
    fs::write(apps.join("t.tera"), "read\n").expect("the folder is ours");
    let definition = "[project]\nkind = \"base\"\n[project.files.f]\npath = \"/etc/f\"\ntemplate = \"stacks/apps/t.tera\"\n[envs.dev]\nname = \"x-dev\"\nvmid = 177\nip = \"10.0.10.177/24\"\n";
    fs::write(folder.path().join("stacks/x.toml"), definition).expect("the folder is ours");
    stackc(folder.path()).arg("check").assert().success();
}

#[test]
fn what_an_editor_keeps_beside_an_open_definition_is_in_nobodys_way() {
    let folder = workspace();
    let digests = || {
        let shown = stackc(folder.path()).args(["build", "--json"]).assert().success();
        text(&shown.get_output().stdout)
    };
    digests();
    let before = digests();
    let stacks = folder.path().join("stacks");
    fs::write(stacks.join(".reports.toml.swp"), [0xff, 0]).expect("the folder is ours");
    fs::write(stacks.join("reports.toml~"), "[[[").expect("the folder is ours");
    fs::write(stacks.join("#reports.toml#"), "[[[").expect("the folder is ours");
    std::os::unix::fs::symlink("me@here.1:2", stacks.join(".#reports.toml"))
        .expect("the folder is ours");
    fs::write(folder.path().join("templates/.DS_Store"), [0xff, 0]).expect("the folder is ours");
    assert_eq!(digests(), before);
}
