//! The secrets file: who may read it, what stands in it, what is missing.

use crate::handmade::{Stack, bundle, name};
use stackc::{
    compile::env_file,
    vault::{Secrets, render},
};
use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt, path::Path};

fn write(folder: &Path, text: &str, mode: u32) -> std::path::PathBuf {
    let path = folder.join("secrets.local.toml");
    fs::write(&path, text).expect("the file is written");
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("it is ours");
    path
}

/// The message for a file of this text and mode, its folder left out.
fn complaint(text: &str, mode: u32) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = write(folder.path(), text, mode);
    let names = BTreeSet::from([name("shop/dev/password"), name("shop/dev/smtp"), name("top")]);
    let error = Secrets::load(&path).and_then(|secrets| secrets.tags(&names));
    let error = error.expect_err("it is at fault").to_string();
    error.replace(&folder.path().display().to_string(), "stacks")
}

#[test]
fn each_fault_of_the_file_says_where_and_how_to_fix_it() {
    let key = format!("tag_key = \"{}\"\n", "0a".repeat(32));
    let whole = format!("{key}top = \"x\"\n[shop.dev]\npassword = \"p\"\nsmtp = \"s\"\n");
    let faults = [
        complaint(&whole, 0o640),
        complaint(&key, 0o600),
        complaint(&whole.replace("tag_key", "other"), 0o600),
        complaint(&whole.replace("\"x\"", "7"), 0o600),
        complaint(&whole.replace("0a0a", "zz"), 0o600),
        complaint(&format!("{whole}\n\nnot toml"), 0o600),
        complaint(&format!("{whole}\"a b\" = \"x\"\n"), 0o600),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}

#[test]
fn a_link_in_place_of_the_file_is_not_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let real = write(folder.path(), "", 0o600);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(real, &link).expect("the link is made");
    assert!(Secrets::load(&link).is_err());
}

#[test]
fn no_message_shows_a_value() {
    for text in ["[shop]\ndev = \"hunter2\"\n[shop.dev]\n", "a = \"hunter2", "\"hunter2\" = 1\n= 2"]
    {
        let shown = complaint(text, 0o600);
        assert!(!shown.contains("hunter2") || text.starts_with("\"hunter2"), "{shown}");
    }
}

#[test]
fn tags_tell_values_and_names_and_keys_apart() {
    let tag_of = |key: &str, secret: &str, value: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = format!("tag_key = \"{}\"\n{secret} = \"{value}\"\n", key.repeat(32));
        let path = write(folder.path(), &text, 0o600);
        let tags = Secrets::load(&path).expect("it is whole").tags(&BTreeSet::from([name(secret)]));
        tags.expect("the key is there")[&name(secret)]
    };
    let one = tag_of("0a", "a", "x");
    assert_eq!(one, tag_of("0a", "a", "x"));
    let others = [tag_of("0b", "a", "x"), tag_of("0a", "b", "x"), tag_of("0a", "a", "y")];
    assert!(others.iter().all(|other| *other != one));
}

#[test]
fn a_secret_file_is_put_together_with_its_values_encoded() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = "0a".repeat(32);
    let text = format!("tag_key = \"{key}\"\n[shop.dev]\npassword = \"it's $5\"\n");
    let secrets = Secrets::load(&write(folder.path(), &text, 0o600)).expect("it is whole");
    let files = render(&bundle(&Stack::default()).manifest, &secrets, env_file::encode);
    let files = files.unwrap_or_else(|error| panic!("{error}"));
    let file = &files[&name("/etc/web.env")];
    let expected = env_file::encode("PASSWORD", "it's $5").expect("it can be written");
    assert_eq!(file.text, format!("VERSION=one\n{expected}"));
}
