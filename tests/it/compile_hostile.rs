//! Definitions that nobody would write on purpose: each is told once, where it is, and soon.

use crate::{
    compile::{compiled, reject_cases, rejected, root, sources, with_project},
    compile_cli,
};
use stackc::compile::{self, env_file};
use stackc::{model::Target, store};
use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// A project with one file of a template, beside other files: the text of the report, and its number of mistakes.
fn rejected_with(kind: &str, files: &[(&str, &[u8])]) -> (String, usize) {
    let project = format!(
        "[project]\nkind = \"{kind}\"\n[envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n\
         [project.files.a]\npath = \"/etc/a\"\ntemplate = \"a.tera\"\n"
    );
    let mut sources = with_project(project.as_bytes());
    sources.files.insert("templates/a.tera".to_owned(), b"a".to_vec());
    sources.files.extend(files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())));
    let report = rejected(&sources);
    (report.render(false), report.mistakes().count())
}

#[test]
fn kinds_that_extend_each_other_in_a_circle_are_told_and_nothing_that_follows() {
    let circle: [(&str, &[u8]); 2] = [
        ("templates/a/kind.toml", b"extends = \"b\"\n"),
        ("templates/b/kind.toml", b"extends = \"a\"\n"),
    ];
    let (told, count) = rejected_with("a", &circle);
    assert!(
        told.contains("templates/b/kind.toml:1:11") && told.contains("extends itself"),
        "{told}"
    );
    assert_eq!(count, 1, "{told}");
}

#[test]
fn kinds_that_extend_one_another_too_often_are_told_where_it_is_one_too_many() {
    let name = |n: usize| if n == 0 { "base".to_owned() } else { format!("k{n}") };
    let kind = |n: usize| {
        (format!("templates/k{n}/kind.toml"), format!("extends = \"{}\"\n", name(n - 1)))
    };
    let kinds: Vec<_> = (1..=40).map(kind).collect();
    let files: Vec<_> = kinds.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
    let (text, count) = rejected_with("k40", &files);
    assert_eq!(count, 1, "{text}");
    assert!(text.contains("error[kind-too-deep]: more than 16 kinds extend one another"), "{text}");
    assert!(text.contains("--> templates/k25/kind.toml:1:11"), "{text}");
    assert!(text.contains("make one kind of some of them"), "{text}");
    let project = "[project]\nkind = \"k15\"\n\
         [envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n";
    let mut sources = with_project(project.as_bytes());
    sources.files.extend(kinds.into_iter().map(|(name, text)| (name, text.into_bytes())));
    compiled(&sources);
}

#[test]
fn whatever_cannot_be_read_in_a_workspace_is_told_at_once_and_by_file() {
    let workspace = compile_cli::workspace();
    let stacks = workspace.path().join("stacks");
    std::os::unix::fs::symlink("/etc/passwd", stacks.join("link.toml")).expect("a link");
    fs::write(stacks.join("big.toml"), vec![b'#'; (1 << 20) + 1]).expect("it can be written");
    fs::create_dir_all(stacks.join("d/".repeat(17))).expect("folders");
    let mut command = compile_cli::stackc(workspace.path());
    let output = command.args(["check", "--json"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let files = told["mistakes"].as_array().expect("a list").iter().map(|told| &told["file"]);
    let deep = ["stacks", &"/d".repeat(17)].concat();
    assert_eq!(files.collect::<Vec<_>>(), ["stacks/big.toml", &deep, "stacks/link.toml"]);
    let text = compile_cli::text(&output.stderr);
    assert_eq!(text.matches("error: ").count(), 3, "{text}");
}

#[test]
fn bytes_that_are_no_text_are_told_where_they_are() {
    let (told, count) = rejected_with("base", &[("templates/a.tera", b"one\ntwo \xff\n")]);
    assert!(told.contains("templates/a.tera:2:5") && told.contains("is not UTF-8"), "{told}");
    assert_eq!(count, 1, "{told}");
    let (told, _) = rejected_with("base", &[("templates/a.tera", "a\u{202e}b".as_bytes())]);
    assert!(told.contains("templates/a.tera:1:2") && told.contains("U+202E"), "{told}");
}

#[test]
fn a_filter_that_does_not_exist_is_told_at_its_line() {
    let (told, count) = rejected_with("base", &[("templates/a.tera", b"one\n{{ env | shout }}\n")]);
    assert!(told.contains("templates/a.tera:2:10") && told.contains("`shout`"), "{told}");
    assert_eq!(count, 1, "{told}");
}

#[test]
fn a_site_whose_keys_let_nobody_in_is_told() {
    let mut sources = sources(root());
    let site = String::from_utf8(sources.files["stacks/site.toml"].clone()).expect("UTF-8");
    let site = site.replace("admin_keys = [\"keys/ops.pub\"]", "admin_keys = []");
    sources.files.insert("stacks/site.toml".to_owned(), site.into());
    let report = rejected(&sources).to_string();
    assert!(report.contains("no key lets an operator in"), "{report}");
}

#[test]
fn a_broken_template_is_not_told_to_be_missing_as_well() {
    let (told, count) = rejected_with("base", &[("templates/a.tera", b"{{ env")]);
    assert!(told.contains("templates/a.tera:1:"), "{told}");
    assert_eq!(count, 1, "{told}");
}

#[test]
fn thousands_of_mistakes_are_counted_and_the_first_are_shown() {
    let keys: Vec<_> = (0..5000).map(|n| format!("k{n} = 1")).collect();
    let keys = keys.join("\n");
    let (told, count) = rejected_with(
        "base",
        &[("stacks/y.toml", format!("[project]\nkind = \"base\"\n{keys}").as_bytes())],
    );
    assert_eq!(count, 5000);
    assert_eq!(told.matches("error[unknown-key]: ").count(), 100);
    assert!(told.ends_with("5000 mistakes, of which the first 100 are shown; nothing was built\n"));
}

#[test]
fn files_that_only_look_like_definitions_are_told() {
    let mut sources = sources(root());
    for name in ["stacks/sub/y.toml", "stacks/z.TOML"] {
        sources.files.insert(name.to_owned(), b"[project]\n".to_vec());
    }
    sources.files.insert("stacks/notes.txt".to_owned(), b"notes\n".to_vec());
    let warnings = compiled(&sources).warnings.expect("two warnings");
    let told = warnings.render(false);
    let help = "definitions are `stacks/NAME.toml`, in no folder below and with these very letters";
    assert!(told.starts_with("warning[unread-file]: ") && told.contains(help), "{told}");
    let titles: Vec<_> = warnings.mistakes().map(compile::Mistake::title).collect();
    assert_eq!(titles, ["nothing reads `stacks/sub/y.toml`", "nothing reads `stacks/z.TOML`"]);
}

#[test]
fn a_byte_order_mark_and_line_ends_of_windows_change_no_place() {
    let text = "\u{feff}[project]\r\nkidn = \"base\"\r\n";
    let report = rejected(&with_project(text.as_bytes())).to_string();
    assert!(report.contains("stacks/x.toml:2:1"), "{report}");
}

/// Six loops of a thousand turns each: without limits it would not end.
#[test]
fn a_loop_bomb_in_a_template_ends_and_is_told_at_the_loop() {
    let mut sources = sources(root());
    let loops = "{% for a in range(end=1000) %}\n".repeat(6) + &"{% endfor %}".repeat(6);
    sources.files.insert("templates/app/deploy_app.sh.tera".to_owned(), loops.into());
    let report = rejected(&sources);
    assert_eq!(report.mistakes().count(), 1, "{report}");
    assert!(report.to_string().contains("templates/app/deploy_app.sh.tera:6:1"), "{report}");
    assert!(report.to_string().contains("too many turns"), "{report}");
}

/// Sizes that no file of a repository should have.
#[test]
fn sources_files_and_bundles_that_are_too_big_are_told() {
    let big = vec![b'#'; (1 << 20) + 1];
    let (told, _) = rejected_with("base", &[("templates/big.tera", &big)]);
    assert_tells(
        &told,
        "error[source-too-big]: `templates/big.tera` is too big: a source has at most 1 MiB",
        "split it, or keep what is no definition elsewhere",
    );

    let variables = |from: usize| {
        let lines = (from..from + 600).map(|n| format!("V{n} = \"{}\"\n", "x".repeat(1000)));
        lines.collect::<String>()
    };
    let kind = format!(
        "extends = \"base\"\n[env_file]\npath = \"/srv/x.env\"\n[env_vars]\n{}",
        variables(0)
    );
    let project =
        format!("[project]\nkind = \"many\"\n[project.env_vars]\n{}{ENV}", variables(600));
    let files =
        [("templates/many/kind.toml", kind.as_bytes()), ("stacks/y.toml", project.as_bytes())];
    let (told, _) = rejected_with("base", &files);
    assert_tells(
        &told,
        "error[file-too-big]: `/srv/x.env` has 1207290 bytes; a file of a bundle has at most 1 MiB",
        "let the app bring it: a release has no such limit",
    );

    let half = "x".repeat(1 << 19);
    let file = |n: usize| format!("[files.f{n}]\npath = \"/srv/f{n}\"\ntemplate = \"half\"\n");
    let kind = format!("extends = \"base\"\n{}", (0..130).map(file).collect::<String>());
    let project = format!("[project]\nkind = \"many\"\n{ENV}");
    let files = [
        ("templates/many/half", half.as_bytes()),
        ("templates/many/kind.toml", kind.as_bytes()),
        ("stacks/y.toml", project.as_bytes()),
    ];
    let (told, _) = rejected_with("base", &files);
    assert_tells(
        &told,
        "error[bundle-too-big]: the bundle is too big: at most 64 MiB and 20000 entries",
        "let the app bring its data: a release has no such limit",
    );
}

fn assert_tells(told: &str, title: &str, help: &str) {
    assert!(told.contains(title), "{told}");
    assert!(told.contains(&format!("= help: {help}\n")), "{told}");
}

/// Whoever calls these with what no definition can hold is told as well.
#[test]
fn what_only_a_call_can_ask_for_is_refused_in_words() {
    let nul = env_file::encode("A", "\0").expect_err("no process can have it");
    let words = "the value of `A` has a NUL character, which no process can be given";
    assert_eq!(nul.to_string(), words);
    let target =
        Target { project: "shop".parse().expect("a name"), env: "gone".parse().expect("a name") };
    let gone = compile::explain(&compiled(&sources(root())), &target, "guest.cores");
    let gone = gone.expect_err("nothing can be said of it");
    assert_eq!(gone.to_string(), "there is no guest `shop/gone`");
}

const ENV: &str = "[envs.dev]\nname = \"y-dev\"\nvmid = 150\nip = \"10.0.10.150/24\"\n";

/// Each part of the rows of hostile definitions (reliability.md, section 3.3), with a case and the words that refuse it there.
/// What is read from a disk is below; tricks of archives, the eighth row, are in `guest_hostile`.
const ROWS: &[(&str, &str, &str)] = &[
    ("up", "e1_paths", "`/etc/../shadow-x` is not a usable path"),
    ("relative", "e1_paths", "`etc/relative` is not a usable path"),
    ("twice a slash", "e1_paths", "`/etc//twice` is not a usable path"),
    ("a dot", "e1_paths", "`/etc/./dot` is not a usable path"),
    ("NUL", "e1_paths", "the character U+0000"),
    ("a long component", "e1_paths", "a component is longer than 255 bytes"),
    ("a long path", "e1_paths_that_are_long", "it is longer than 4,096 bytes"),
    (
        "long within a bundle",
        "e1_paths_too_long_below_their_bundle",
        "write it with at most 3072 bytes",
    ),
    ("a slash at the end", "e1_paths", "`/etc/ends/` is not a usable path"),
    ("bytes that are no text", "not_utf8", "is not UTF-8"),
    ("the kernel's", "e1_paths", "`/proc/sys/kernel/hostname` cannot be part of a bundle"),
    ("boot", "e1_paths", "`/boot/x` cannot be part of a bundle"),
    ("accounts", "e1_paths", "`/etc/shadow` cannot be part of a bundle"),
    ("keys of root", "e1_paths", "`/root/.ssh/authorized_keys` cannot be part of a bundle"),
    ("next line", "e2_texts_with_marks", "the character U+0085"),
    ("order of reading", "e2_texts_with_marks", "the character U+202E"),
    ("separator of lines", "e2_texts_with_marks", "the character U+2028"),
    ("no width", "e2_texts_with_marks", "the character U+FEFF"),
    ("an account", "e2_texts_with_marks", "`b\\nad` is not a name for a user or group"),
    ("a tag", "e2_texts_with_marks", "is no tag of Proxmox"),
    ("a schedule", "e2_texts_with_marks", "is no schedule of cron"),
    ("a job", "e2_texts_with_marks", "a cron job is one line"),
    ("a line of a unit", "units_by_keys", "a unit's line cannot have a line feed"),
    ("the end of a line", "units_by_keys", "a unit's line cannot end in a backslash"),
    ("a value of a variable", "variables_of_no_process", "which is no character"),
    ("a scheme that runs", "e3_words_that_shells_read", "`ext::sh -c reboot` is no repository"),
    ("a file's scheme", "e3_addresses_of_repositories", "`file:///etc` is no repository"),
    ("an option", "e3_words_that_shells_read", "`-o=Dir::Etc=x` is not a package name"),
    ("a second command", "e3_words_that_shells_read", "`curl;reboot` is not a package name"),
    ("an option for a unit", "e3_words_that_shells_read", "`-x.service` is not a unit name"),
    ("a branch", "branches", "is not a branch name"),
    ("depth", "e4_too_deep", "this nests too deep"),
    ("depth of a name", "e4_names_of_many_parts", "this nests too deep"),
    ("a circle of kinds", "kind_circle", "extends itself"),
    ("work without end", "template_bounds", "the loops of this template take too many turns"),
    ("another form", "e5_twins", "is not in Unicode normal form C"),
    ("twins by case", "e5_twins", "are one name where case does not count"),
    (
        "twins by folding",
        "e5_twins_by_folding",
        "`/srv/straße` and `/srv/strasse` are one name where case does not count",
    ),
    ("letters that look alike", "e5_twins", "is not a name for a user or group"),
    ("two of one path", "e6_one_path_twice", "two entries make `/etc/app/one`"),
    ("a file as a folder", "e6_one_path_twice", "which is no directory"),
    ("two units", "e6_one_path_twice", "two entries make `/etc/systemd/system/one.service`"),
    ("two guests", "guest_twins", "error[same-identity]"),
    ("sudoers", "e7_rights", "`/etc/sudoers` is a configuration file"),
    ("PAM", "e7_rights", "`/etc/pam.d/sshd` is a configuration file"),
    ("set-uid", "e7_rights", "`4755` is not a mode"),
    ("sticky", "e7_rights", "`1755` is not a mode"),
    ("writable by all", "e7_rights", "with mode 0777 everybody"),
];

#[test]
fn every_part_of_a_row_of_hostile_definitions_has_a_case() {
    let reports = reject_cases();
    for (part, case, words) in ROWS {
        let report = rejected(&reports[*case]).render(false);
        assert!(report.contains(words), "{part}: {case} does not say `{words}`");
    }
    let unlisted = reports.keys().filter(|case| {
        let is_of_row =
            case.starts_with('e') && case[1..].starts_with(|c: char| c.is_ascii_digit());
        is_of_row && !ROWS.iter().any(|(_, listed, _)| listed == case)
    });
    assert_eq!(unlisted.collect::<BTreeSet<_>>(), BTreeSet::new());
}

/// A workspace on a disk with something in it that no definition is.
fn unreadable(make: impl Fn(&Path)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(folder.path().join("stacks")).expect("a folder");
    fs::create_dir_all(folder.path().join("templates")).expect("a folder");
    make(folder.path());
    let error = store::read_sources(folder.path()).expect_err("it is refused");
    error.to_string().replace(&folder.path().display().to_string(), "WORKSPACE")
}

#[test]
fn what_is_no_definition_is_not_read_from_a_disk() {
    let run = |program: &str, arguments: &[&str], at: &Path| {
        let status = Command::new(program).arg(at).args(arguments).status();
        status.is_ok_and(|status| status.success())
    };
    let neither = "is neither a file nor a folder; a workspace holds nothing else, so that a build depends on nothing outside it";
    let fifo = unreadable(|at| assert!(run("mkfifo", &[], &at.join("templates/x"))));
    assert_eq!(fifo, format!("`WORKSPACE/templates/x` {neither}"));
    if rustix::process::geteuid().is_root() {
        let device = |at: &Path| assert!(run("mknod", &["c", "1", "5"], &at.join("templates/x")));
        assert_eq!(unreadable(device), format!("`WORKSPACE/templates/x` {neither}"));
    }
    let circle = |at: &Path| {
        std::os::unix::fs::symlink("..", at.join("templates/x")).expect("it is made");
    };
    assert_eq!(unreadable(circle), format!("`WORKSPACE/templates/x` {neither}"));
}

#[test]
fn a_workspace_that_is_too_big_too_deep_or_too_many_is_refused() {
    let sized = |path: &Path, bytes| {
        let file = fs::File::create(path).expect("it is made");
        file.set_len(bytes).expect("it has room");
    };
    let big = unreadable(|at| sized(&at.join("templates/x"), (1 << 20) + 1));
    let file = "is bigger than 1 MiB, the most that one file of a workspace may have";
    assert_eq!(big, format!("`WORKSPACE/templates/x` {file}"));
    let keys: Vec<_> = (0..1_000_000).map(|n| format!("k{n}=1")).collect();
    let bomb =
        unreadable(|at| fs::write(at.join("stacks/x.toml"), keys.join("\n")).expect("it has room"));
    assert_eq!(bomb, format!("`WORKSPACE/stacks/x.toml` {file}"));
    let heavy = unreadable(|at| {
        (0..65).for_each(|n| sized(&at.join(format!("templates/{n}")), 1 << 20));
    });
    assert_eq!(heavy, "the files of `WORKSPACE` have more than 64 MiB together");
    let many = unreadable(|at| {
        (0..20_001).for_each(|n| sized(&at.join(format!("templates/{n}")), 0));
    });
    assert_eq!(many, "`WORKSPACE` has more than 20000 files");
    for is_file in [true, false] {
        let deep = unreadable(|at| {
            let below = at.join("templates").join("x/".repeat(16));
            fs::create_dir_all(&below).expect("it is made");
            let last = below.join("x");
            if is_file { sized(&last, 0) } else { fs::create_dir(last).expect("it is made") }
        });
        assert!(
            deep.ends_with(
                "/x` lies more than 16 folders deep, the most that a workspace may have"
            ),
            "{deep}"
        );
    }
}
