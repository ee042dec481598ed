//! The verbs with which people look at bundles: `diff`, `show`, `build --review`.

use crate::compile_cli::{stackc, text, workspace};
use std::{fs, path::Path};

/// Replaces a text in a file of a workspace.
fn edit(workspace: &Path, file: &str, old: &str, new: &str) {
    let path = workspace.join(file);
    let written = fs::read_to_string(&path).expect("it is there");
    assert!(written.contains(old), "{old}");
    fs::write(path, written.replace(old, new)).expect("written");
}

/// A workspace with one small guest that was built, and changes since.
pub fn changed() -> tempfile::TempDir {
    let folder = workspace();
    for other in ["manual", "rates", "reports"] {
        let file = folder.path().join(format!("stacks/{other}.toml"));
        fs::remove_file(file).expect("it was there");
    }
    stackc(folder.path()).arg("build").assert().success();
    edit(folder.path(), "stacks/shop.toml", "backend = 3001", "backend = 3002");
    edit(
        folder.path(),
        "stacks/shop.toml",
        "\"debug\"",
        "'<script>alert(1)</script> ]]> \"q\" &amp;'",
    );
    folder
}

fn out(workspace: &Path, arguments: &[&str]) -> String {
    text(&stackc(workspace).args(arguments).assert().success().get_output().stdout)
}

fn page(workspace: &Path) -> String {
    let file = workspace.join("page.html");
    stackc(workspace).args(["build", "--review"]).arg(&file).assert().success();
    fs::read_to_string(file).expect("it was written")
}

#[test]
fn diff_compares_any_two_bundles_by_target_or_digest() {
    let folder = changed();
    let digest = |line: &str| line.split_whitespace().nth(1).expect("a digest").to_owned();
    let shown = out(folder.path(), &["show", "shop/dev"]);
    let built = fs::read_link(folder.path().join("out/guests/shop/dev")).expect("it was built");
    let before = built.file_name().expect("a digest").to_string_lossy().into_owned();
    assert_ne!(digest(&shown), before);
    let by_digest = out(folder.path(), &["diff", "--from", &before[..8], "--to", "shop/dev"]);
    assert_eq!(by_digest, out(folder.path(), &["diff", "shop/dev"]));
    let envs = out(folder.path(), &["diff", "--from", "shop/qa", "--to", "shop/prod"]);
    for line in ["== shop/qa  ", "  ~ vmid: 102 -> 103\n", "  + secret: shop/prod/cookie_key\n"] {
        assert!(envs.contains(line), "{line}{envs}");
    }
    let mut same = stackc(folder.path());
    same.args(["diff", "--from", "shop/qa", "--to", "shop/qa", "--exit-code"]);
    same.assert().success().stdout("");
    // Two of the store need no definitions that compile.
    fs::write(folder.path().join("stacks/shop.toml"), "broken").expect("written");
    let stored = ["diff", "--exit-code", "--from", &before[..6], "--to", &before];
    stackc(folder.path()).args(stored).assert().success().stdout("");
    assert!(
        out(folder.path(), &["show", &before[..8]]).starts_with(&format!("shop/dev  {before}\n"))
    );
    stackc(folder.path()).args(["show", "shop/dev"]).assert().code(1);
}

#[test]
fn a_name_of_no_bundle_or_of_two_is_refused_and_half_a_pair_is_wrong_use() {
    let folder = changed();
    let refused = stackc(folder.path()).args(["show", "0000000000"]).assert().code(3);
    let told = text(&refused.get_output().stderr);
    assert!(told.contains("no bundle in") && told.contains("write project/env"), "{told}");
    for twin in ["a", "b"] {
        fs::create_dir(
            folder.path().join("out/store").join(format!("00000000{}", twin.repeat(56))),
        )
        .expect("a folder");
    }
    let refused = stackc(folder.path()).args(["show", "00000000"]).assert().code(3);
    let told = text(&refused.get_output().stderr);
    assert!(told.contains("more than one digest begins with `00000000`: 00000000aaaa, "), "{told}");
    stackc(folder.path()).args(["diff", "--from", "shop/qa"]).assert().code(2);
    stackc(folder.path())
        .args(["diff", "x", "--from", "shop/qa", "--to", "shop/dev"])
        .assert()
        .code(2);
    stackc(folder.path()).args(["diff", "--from", "shop", "--to", "shop/dev"]).assert().code(2);
}

#[test]
fn diff_as_json_is_one_document_with_every_change() {
    let folder = changed();
    let document = out(folder.path(), &["diff", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let guests = document["guests"].as_array().expect("guests");
    assert_eq!(guests.len(), 3);
    assert_eq!(guests[0]["to"]["target"], "shop/dev");
    assert_eq!(guests[0]["units"]["app-backend.service"]["decision"], "restart");
    let files: Vec<_> =
        guests[0]["files"].as_array().expect("files").iter().map(|file| &file["path"]).collect();
    assert!(files.contains(&&"rootfs/srv/app/.env.dev".into()), "{files:?}");
}

#[test]
fn colours_are_for_terminals_and_those_who_ask() {
    let folder = changed();
    let mut coloured = stackc(folder.path());
    let coloured =
        coloured.args(["diff", "shop/dev"]).env("CLICOLOR_FORCE", "1").assert().success();
    let coloured = text(&coloured.get_output().stdout);
    assert!(coloured.contains("\u{1b}[32m+Environment=PORT=3002\u{1b}[0m\n"));
    assert!(!out(folder.path(), &["diff", "shop/dev"]).contains('\u{1b}'));
}

#[test]
fn the_page_of_a_small_fleet_is_this() {
    let folder = changed();
    let page = page(folder.path());
    let outside = |page: &str, tag: &str| {
        let (before, rest) = page.split_once(&format!("<{tag}>")).expect("it begins");
        let (_, after) = rest.split_once(&format!("</{tag}>")).expect("it ends");
        format!("{before}<{tag}>…</{tag}>{after}")
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.add_filter("sha256-[A-Za-z0-9+/]{43}=", "sha256-…");
    settings.add_filter("[0-9a-f]{64}", "<digest>");
    settings.add_filter("<code( title=\"<digest>\")?>[0-9a-f]{12}<", "<code$1>…<");
    settings.bind(|| insta::assert_snapshot!(outside(&outside(&page, "style"), "script")));
}

#[test]
fn no_text_of_a_bundle_becomes_markup_of_the_page_and_nothing_is_loaded() {
    let folder = changed();
    edit(
        folder.path(),
        "stacks/shop.toml",
        "[project.vars]",
        "[project.firewall.rules.x]\nport = 9\nprotocol = \"tcp\"\ncomment = '<s>x</s>'\n[project.vars]",
    );
    let page = page(folder.path());
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; ]]&gt; "), "{page}");
    assert!(page.contains("&lt;s&gt;x&lt;") && !page.contains("<s>"), "{page}");
    assert!(page.contains("&amp;amp;"), "an entity is shown as it was written");
    for loads in ["src=", "url(", "@import", "http://", "<link", " style=", " onclick"] {
        assert!(!page.contains(loads), "{loads}");
    }
    assert!(
        page.contains("content=\"default-src &#39;none&#39;;")
            || page.contains("content=\"default-src 'none';")
    );
}

#[test]
fn the_page_is_the_same_elsewhere_and_compares_with_the_build_before_this_one() {
    let (one, other) = (changed(), changed());
    let first = page(one.path());
    assert_eq!(first, page(other.path()));
    assert!(!first.contains(&*one.path().to_string_lossy()), "no path of this machine");
    let again = page(one.path());
    assert!(again.contains("<p>Nothing changed.</p>"), "{again}");
    assert!(first.contains("3 changed") && again.contains("3 unchanged"));
}

#[test]
fn a_page_that_cannot_be_written_leaves_the_last_build_to_compare_with() {
    let folder = changed();
    let latest = || fs::read_link(folder.path().join("out/guests/shop/dev")).expect("it was built");
    let before = latest();
    let none = folder.path().join("none/page.html");
    let refused = stackc(folder.path()).args(["build", "--review"]).arg(none).assert().code(3);
    assert!(text(&refused.get_output().stderr).contains("cannot write"));
    assert_eq!(latest(), before);
    page(folder.path());
    assert_ne!(latest(), before);
}

#[test]
fn last_builds_that_are_damaged_are_named_and_not_compared_with() {
    let folder = changed();
    let rules = folder.path().join("out/guests/shop/dev/firewall/user.rules");
    fs::write(rules, "damaged").expect("written");
    fs::remove_file(folder.path().join("out/guests/shop/qa/apt.json")).expect("it was there");
    let page = page(folder.path());
    assert_eq!(page.matches("cannot be read from out/ any more").count(), 2, "{page}");
    assert!(page.contains("2 new") && page.contains("1 changed"));
}

#[test]
fn an_env_that_the_definitions_lost_is_told_by_diff_and_review_and_leaves_out() {
    let folder = changed();
    edit(folder.path(), "stacks/shop.toml", "'<script>alert(1)</script> ]]> \"q\" &amp;'", "\"x\"");
    stackc(folder.path()).arg("build").assert().success();
    let shop = folder.path().join("stacks/shop.toml");
    let digest = fs::read_link(folder.path().join("out/guests/shop/qa")).expect("it was built");
    let digest = digest.file_name().expect("a digest").to_string_lossy().into_owned();
    let mut written: toml::Table =
        fs::read_to_string(&shop).expect("there").parse().expect("it is TOML");
    let envs = written.get_mut("envs").and_then(toml::Value::as_table_mut).expect("envs");
    envs.remove("qa").expect("it was there");
    fs::write(&shop, written.to_string()).expect("written");

    let told = out(folder.path(), &["diff", "shop/qa"]);
    let wanted = format!(
        "== shop/qa  {digest} -> nothing\n  - gone from the definitions; the guest itself is left alone, and `stackc rollback` still reaches it\n"
    );
    assert_eq!(told, wanted);
    let changes = ["diff", "shop/qa", "--exit-code", "--json"];
    let found = stackc(folder.path()).args(changes).assert().code(10);
    let found: serde_json::Value =
        serde_json::from_slice(&found.get_output().stdout).expect("a document");
    let gone = serde_json::json!([{ "target": "shop/qa", "digest": digest }]);
    assert_eq!((&found["gone"], &found["guests"]), (&gone, &serde_json::json!([])));

    let link = folder.path().join("out/guests/shop/qa");
    assert!(!out(folder.path(), &["build", "shop/dev"]).contains("gone"));
    assert!(link.is_symlink(), "a build of another guest leaves it");
    let page = page(folder.path());
    assert!(page.contains("<b>shop/qa</b> gone from the definitions; the guest"), "{page}");
    assert!(!link.is_symlink() && folder.path().join("out/store").join(&digest).is_dir());
    for verb in ["diff", "build"] {
        assert!(!out(folder.path(), &[verb]).contains("gone"), "it is told once");
    }
}
