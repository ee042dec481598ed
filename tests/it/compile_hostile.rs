//! Definitions that nobody would write on purpose: each is told once, where it is, and soon.

use crate::compile::{compiled, rejected, root, sources, with_project};
use stackc::compile::{self, env_file};
use stackc::model::Target;

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
    let gone = gone.err().expect("nothing can be said of it");
    assert_eq!(gone.to_string(), "there is no guest `shop/gone`");
}

const ENV: &str = "[envs.dev]\nname = \"y-dev\"\nvmid = 150\nip = \"10.0.10.150/24\"\n";
