//! Builds after a build: what the record in `out/built` may be trusted with.

use crate::compile_cli::{files_below, stackc, stored, text, workspace};
use assert_cmd::{Command, cargo::cargo_bin};
use stackc::model::Digest;
use std::{
    fs,
    io::Write as _,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process,
    time::{Duration, SystemTime},
};

/// What a build tells when it believes a record that was marked.
const MARK: &str = "told from the record";

fn record(workspace: &Path) -> PathBuf {
    workspace.join("out/built")
}

/// Changes what the record says of warnings, and seals it again.
fn mark(workspace: &Path) {
    let written = fs::read_to_string(record(workspace)).expect("a build records itself");
    let (_, document) = written.split_once('\n').expect("its digest stands first");
    let marked = document.replace("\"plain\":\"\"", &format!("\"plain\":\"{MARK}\""));
    assert_ne!(marked, document);
    let marked = format!("{}\n{marked}", Digest::of(marked.as_bytes()));
    fs::write(record(workspace), marked).expect("it is ours");
}

/// Makes every source as old as any other, whatever was done to it.
fn hide_times(workspace: &Path) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for folder in ["stacks", "templates", "keys"] {
        for path in files_below(&workspace.join(folder)) {
            let file = fs::File::options().append(true).open(path);
            file.and_then(|file| file.set_modified(time)).expect("it is ours");
        }
    }
}

/// A workspace that was built, with a marked record.
fn built() -> tempfile::TempDir {
    let folder = workspace();
    hide_times(folder.path());
    stackc(folder.path()).arg("build").assert().success();
    mark(folder.path());
    folder
}

/// Runs a build: its lines, and whether it believed the record.
fn build(command: &mut Command) -> (String, bool) {
    let built = command.arg("build").assert().success();
    let told = text(&built.get_output().stderr);
    (text(&built.get_output().stdout), told.contains(MARK))
}

fn rewrite(file: &Path, change: impl FnOnce(&str) -> String) {
    let written = fs::read_to_string(file).expect("it is there");
    let changed = change(&written);
    assert_ne!(written, changed, "{}", file.display());
    fs::write(file, changed).expect("it is ours");
}

/// What a build of this very workspace prints and stores when there never was another one.
fn first_build(workspace: &Path) -> (String, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let parts = ["stacks", "templates", "keys"].map(|part| workspace.join(part));
    Command::new("cp").arg("-R").args(parts).arg(folder.path()).assert().success();
    let lines = build(&mut stackc(folder.path())).0;
    (lines, stored(folder.path()).len())
}

/// What a build made; what is gone since another one is not of it.
fn digests(lines: &str) -> Vec<&str> {
    let made = lines.lines().filter(|line| !line.contains("  gone from the definitions"));
    made.map(|line| line.rsplit_once("  ").expect("what, digest, result").0).collect()
}

#[test]
fn files_with_a_new_time_and_the_same_content_are_not_compiled_again() {
    let folder = built();
    let later = SystemTime::now() + Duration::from_secs(3600);
    for path in ["stacks/shop.toml", "stacks/site.toml", "templates/base/kind.toml", "keys/ops.pub"]
    {
        let file = fs::File::options().append(true).open(folder.path().join(path));
        file.and_then(|file| file.set_modified(later)).expect("it is ours");
    }
    let before = stored(folder.path());
    let (lines, believed) = build(&mut stackc(folder.path()));
    assert!(believed);
    assert!(lines.contains("shop/dev"), "{lines}");
    assert!(lines.lines().all(|line| line.ends_with("  unchanged")), "{lines}");
    assert_eq!(stored(folder.path()), before);
}

#[test]
fn a_changed_source_is_compiled_though_its_time_is_as_before() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("a byte", |at| {
            rewrite(&at.join("stacks/shop.toml"), |t| {
                t.replacen("backend = 3001", "backend = 3002", 1)
            });
        }),
        ("a comment", |at| rewrite(&at.join("stacks/site.toml"), |t| t.replacen("# ", "#:", 1))),
        ("a template", |at| {
            let template = at.join("templates/app/deploy_app.sh.tera");
            rewrite(&template, |t| t.replacen("umask 022", "umask 027", 1));
        }),
        ("a key", |at| rewrite(&at.join("keys/ops.pub"), |t| format!("{}-too\n", t.trim_end()))),
        ("a file less", |at| {
            fs::remove_file(at.join("stacks/reports.toml")).expect("it was there");
        }),
        ("a file more", |at| {
            fs::copy(at.join("keys/ops.pub"), at.join("keys/more.pub")).expect("it is ours");
        }),
    ];
    for (what, change) in changes {
        let folder = built();
        change(folder.path());
        hide_times(folder.path());
        let (lines, believed) = build(&mut stackc(folder.path()));
        assert!(!believed, "{what}");
        assert_eq!(digests(&lines), digests(&first_build(folder.path()).0), "{what}");
        assert_eq!(lines.contains("reports/qa  gone"), what == "a file less", "{what}");
        assert!(!build(&mut stackc(folder.path())).1, "{what}: the record is of the last build");
    }
}

#[test]
fn a_mistake_made_after_a_build_is_told_and_mending_it_brings_the_record_back() {
    let folder = built();
    let shop = folder.path().join("stacks/shop.toml");
    let good = fs::read_to_string(&shop).expect("it is there");
    fs::write(&shop, good.replacen("vmid", "vimd", 1)).expect("it is ours");
    for verb in ["build", "check"] {
        let refused = stackc(folder.path()).arg(verb).assert().code(1).stdout("");
        let told = text(&refused.get_output().stderr);
        assert!(told.contains("`vimd`") && !told.contains(MARK), "{told}");
    }
    fs::write(&shop, good).expect("it is ours");
    assert!(build(&mut stackc(folder.path())).1);
}

#[test]
fn what_was_lost_or_damaged_in_out_is_made_again() {
    type Harm = fn(&Path, &Path);
    let harms: [(&str, Harm); 6] = [
        ("a bundle is gone", |_, bundle| fs::remove_dir_all(bundle).expect("it was there")),
        ("a manifest is gone", |_, bundle| {
            fs::remove_file(bundle.join("manifest.json")).expect("it was there");
        }),
        ("a manifest has another byte", |_, bundle| {
            rewrite(&bundle.join("manifest.json"), |text| text.replacen("\"dev\"", "\"dew\"", 1));
        }),
        ("a link is gone", |link, _| fs::remove_file(link).expect("it was there")),
        ("a link leads to another bundle", |link, _| {
            fs::remove_file(link).expect("it was there");
            symlink(format!("../../store/{}", "0".repeat(64)), link).expect("a link");
        }),
        ("the store is gone", |_, bundle| {
            fs::remove_dir_all(bundle.parent().expect("it lies in the store"))
                .expect("it was there");
        }),
    ];
    for (what, harm) in harms {
        let folder = built();
        let before = stored(folder.path());
        let link = folder.path().join("out/guests/shop/dev");
        let to = fs::read_link(&link).expect("it was built");
        harm(&link, &fs::canonicalize(&link).expect("it was built"));
        build(&mut stackc(folder.path()));
        assert!(stored(folder.path()) == before, "{what}");
        assert_eq!(fs::read_link(&link).expect("it is there again"), to, "{what}");
        stackc(folder.path()).args(["show", "shop/dev"]).assert().success();
    }
}

#[test]
fn a_record_that_is_not_as_it_was_written_is_not_believed() {
    let folder = built();
    let marked = fs::read_to_string(record(folder.path())).expect("it is there");
    let half = &marked[..marked.len() / 2];
    let zeros = "\0".repeat(marked.len());
    let other = marked.replacen("\"env\":\"dev\"", "\"env\":\"dew\"", 1);
    let newer = marked.replacen("{\"binary\"", "{\"more\":1,\"binary\"", 1);
    let (_, document) = newer.split_once('\n').expect("two lines");
    let newer = format!("{}\n{document}", Digest::of(document.as_bytes()));
    for broken in ["", "\n", half, &zeros, &other, &newer] {
        fs::write(record(folder.path()), broken).expect("it is ours");
        let (lines, believed) = build(&mut stackc(folder.path()));
        assert!(!believed, "{broken}");
        assert_eq!(digests(&lines), digests(&first_build(folder.path()).0));
        let healed = fs::read_to_string(record(folder.path())).expect("it is there");
        assert_eq!(healed.len(), marked.len() - MARK.len());
    }
}

#[test]
fn the_record_of_another_binary_is_not_believed() {
    let folder = built();
    let other = folder.path().join("stackc");
    fs::copy(cargo_bin("stackc"), &other).expect("it can be copied");
    let run = || {
        let mut command = Command::new(&other);
        command.arg("-C").arg(folder.path());
        build(&mut command)
    };
    assert!(run().1, "the same bytes elsewhere are the same binary");
    let file = fs::File::options().append(true).open(&other);
    file.and_then(|mut file| file.write_all(b"another build")).expect("it is ours");
    assert!(!run().1);
}

#[test]
fn builds_at_once_leave_one_whole_store_and_a_record_of_it() {
    let folder = workspace();
    let start = |_| {
        let mut command = process::Command::new(cargo_bin("stackc"));
        command.arg("-C").arg(folder.path()).arg("build");
        command.stdout(process::Stdio::null()).stderr(process::Stdio::null());
        command.spawn().expect("it runs")
    };
    let builds: Vec<_> = (0..4).map(start).collect();
    for mut build in builds {
        assert!(build.wait().expect("it ends").success());
    }
    mark(folder.path());
    let (lines, believed) = build(&mut stackc(folder.path()));
    assert!(believed);
    let (first, files) = first_build(folder.path());
    assert_eq!(digests(&lines), digests(&first));
    assert_eq!(stored(folder.path()).len(), files, "nothing half-made is left");
    let mut out: Vec<_> = fs::read_dir(folder.path().join("out"))
        .expect("it is there")
        .map(|entry| entry.expect("readable").file_name())
        .collect();
    out.sort();
    assert_eq!(out, [".gitignore", "built", "guests", "store"]);
}

#[test]
fn a_build_of_some_guests_is_no_record_of_the_others_bundles() {
    let folder = workspace();
    stackc(folder.path()).args(["build", "shop/dev"]).assert().success();
    mark(folder.path());
    let again = stackc(folder.path()).args(["build", "shop/dev"]).assert().success();
    assert!(text(&again.get_output().stderr).contains(MARK));
    let (lines, _) = build(&mut stackc(folder.path()));
    let new = lines.lines().filter(|line| line.ends_with("  new")).count();
    assert!(new > 0 && new == lines.lines().count() - 1, "all but shop/dev: {lines}");
    assert_eq!(stored(folder.path()).len(), first_build(folder.path()).1);
    stackc(folder.path()).args(["build", "nobody"]).assert().code(2);
}

#[test]
fn what_verbs_print_from_the_record_is_what_they_print_without_it() {
    let folder = workspace();
    // A pin that nobody uses: a warning.
    let lock = folder.path().join("stacks/lock.toml");
    rewrite(&lock, |text| {
        let (_, pin) = text.split_once("[shop.qa]").expect("it is pinned");
        let pin = pin.split('[').next().expect("split gives one part at least");
        format!("{text}\n[shop.gone]{pin}")
    });
    rewrite(&folder.path().join("stacks/site.toml"), |text| {
        text.replacen("[guest]\n", "[guest]\ntags = [\"app\"]\n", 1)
    });
    stackc(folder.path()).arg("build").assert().success();
    for words in
        [&["build"][..], &["build", "--json"], &["build", "@app"], &["check"], &["check", "--json"]]
    {
        let printed = || {
            let output = stackc(folder.path()).args(words).output().expect("it runs");
            (text(&output.stdout), text(&output.stderr), output.status.code())
        };
        assert!(record(folder.path()).exists());
        let believed = printed();
        fs::remove_file(record(folder.path())).expect("it is there");
        assert_eq!(believed, printed(), "{words:?}");
        let warned = believed.0.contains("shop/gone") || believed.1.contains("shop/gone");
        assert!(warned || words == ["build", "--json"], "{words:?}: {believed:?}");
        stackc(folder.path()).arg("build").assert().success();
    }
}

#[test]
fn a_page_of_what_was_built_before_is_the_page_without_a_record() {
    let folder = built();
    let page = |name: &str| {
        let file = folder.path().join(name);
        stackc(folder.path()).args(["build", "--review"]).arg(&file).assert().success();
        fs::read_to_string(file).expect("the page is written")
    };
    let believed = page("with.html");
    fs::remove_file(record(folder.path())).expect("it is there");
    assert!(believed == page("without.html"));
    assert!(believed.contains("shop/dev"));
}

#[test]
fn check_leaves_no_record_for_it_writes_nothing() {
    let folder = workspace();
    stackc(folder.path()).arg("check").assert().success();
    assert!(!folder.path().join("out").exists());
}

#[test]
fn pins_of_ten_thousand_envs_are_read_though_an_author_may_write_no_such_file() {
    let folder = workspace();
    let more = "# a line of fifty bytes, as many of them as needed\n".repeat(40_000);
    let lengthen = |name: &str| {
        rewrite(&folder.path().join("stacks").join(name), |text| format!("{text}{more}"));
    };
    lengthen("lock.toml");
    stackc(folder.path()).arg("check").assert().success();
    lengthen("shop.toml");
    let refused = stackc(folder.path()).arg("check").assert().code(1);
    let told = text(&refused.get_output().stderr);
    assert!(told.contains("shop.toml` is bigger than 1 MiB"), "{told}");
}
