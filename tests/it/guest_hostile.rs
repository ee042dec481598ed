//! Archives that no operator's stackc sends: a guest refuses each in words of its own, and writes nothing outside its store.

use crate::compile::snapshot;
use crate::guest_bundle::{Made, make};
use crate::guest_fixture::{Folder, caller, name};
use flate2::{Compression, write::GzEncoder};
use stackc::model::protocol::{Done, ReceiveRequest};
use stackc::model::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use tar::EntryType;

const TX: &str = "00000000000000e8";
const APP: &str = "rootfs/usr/local/bin/app";
const WANTS: &str = "rootfs/etc/systemd/system/multi-user.target.wants/app.service";

/// A member as its bytes are on the wire: nothing of it is checked here.
fn member(path: &str, kind: EntryType, target: &str, mode: u32, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    let fields = header.as_gnu_mut().expect("it is GNU's");
    fields.name[..path.len()].copy_from_slice(path.as_bytes());
    fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
    fields.realsize.copy_from_slice(b"00000000000\0");
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    let mut member = [header.as_bytes(), bytes].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

fn file(path: &str, bytes: &[u8]) -> Vec<u8> {
    member(path, EntryType::Regular, "", 0o644, bytes)
}

/// The members of a bundle's archive by their paths, and the manifest.
fn members(made: &Made) -> (Vec<u8>, BTreeMap<String, Vec<u8>>) {
    let mut all = BTreeMap::new();
    for (path, entry) in &made.bundle.manifest.entries {
        let text = path.as_str();
        let member = match entry {
            Entry::Secret { .. } => continue,
            Entry::Link { target } => member(text, EntryType::Symlink, target, 0o777, &[]),
            Entry::Directory { .. } => member(text, EntryType::Directory, "", 0o755, &[]),
            Entry::Document(_) | Entry::File { .. } => file(text, &made.bundle.files[path]),
        };
        all.insert(text.to_owned(), member);
    }
    (file("manifest.json", &canonical::to_bytes(&made.bundle.manifest)), all)
}

/// The archive of a bundle with members before its own; those of the same paths are left out.
fn archive(made: &Made, hostile: &[Vec<u8>]) -> Vec<u8> {
    let (manifest, rest) = members(made);
    let rest = rest.into_iter().filter(|(path, _)| {
        !hostile.iter().any(|member| member.starts_with(&[path.as_bytes(), &[0]].concat()))
    });
    zipped(&[manifest, hostile.concat(), rest.flat_map(|(_, member)| member).collect()])
}

fn zipped(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&parts.concat()).expect("memory takes it all");
    gzip.write_all(&[0; 1024]).expect("memory takes it all");
    gzip.finish().expect("memory takes it all")
}

/// The record of pax that gives the next member another value.
fn pax(key: &str, value: &str) -> Vec<u8> {
    let rest = format!(" {key}={value}\n");
    let length = (rest.len()..rest.len() + 9).find(|n| n.to_string().len() + rest.len() == *n);
    let record = format!("{}{rest}", length.expect("there is one"));
    member("pax", EntryType::XHeader, "", 0o644, record.as_bytes())
}

/// A bundle whose manifest itself has a file below a link that leads out.
fn with_file_below_a_link(outside: &Path) -> Made {
    let mut made = make(1, 60);
    let target = outside.to_string_lossy().into_owned();
    let entries = &mut made.bundle.manifest.entries;
    entries.insert(name("rootfs/srv/way"), Entry::Link { target });
    let Entry::File { class, access, bytes, .. } = entries[&name::<EntryPath>(APP)].clone() else {
        panic!("the app is a file");
    };
    let file = Entry::File { class, access, bytes, unit: None };
    entries.insert(name("rootfs/srv/way/escaped"), file);
    let app = made.bundle.files[&name::<EntryPath>(APP)].clone();
    made.bundle.files.insert(name("rootfs/srv/way/escaped"), app);
    made.bundle.digest = Digest::of(&canonical::to_bytes(&made.bundle.manifest));
    made
}

/// Every archive that is no bundle's, by its trick.
fn hostile(made: &Made, outside: &Path) -> Vec<(&'static str, Vec<u8>)> {
    let path = |text: &str| text.parse::<EntryPath>().expect("a path");
    let app = &made.bundle.files[&path(APP)];
    let absolute = format!("{}/escaped", outside.display());
    let of_kind = |kind, target: &str| archive(made, &[member(APP, kind, target, 0o755, &[])]);
    let (manifest, rest) = members(made);
    let rest: Vec<u8> = rest.into_values().flatten().collect();
    let long =
        member("././@LongLink", EntryType::GNULongName, "", 0o644, b"../../../../../escaped\0");
    let mut cut = archive(made, &[]);
    cut.truncate(cut.len() / 2);
    let up = "../../../../../escaped";
    let many: Vec<_> = (0..20_001).map(|n| file(&format!("rootfs/srv/{n}"), b"")).collect();
    vec![
        ("a path with `..`", archive(made, &[file(up, app)])),
        (
            "a path with `..` within",
            archive(made, &[file("rootfs/../../../../../../escaped", app)]),
        ),
        ("an absolute path", archive(made, &[file(&absolute, app)])),
        ("a path with `.`", archive(made, &[file("./rootfs/usr/local/bin/app", app)])),
        ("a long name of GNU's with `..`", archive(made, &[long, file("x", app)])),
        ("a name of pax with `..`", archive(made, &[pax("path", up), file(APP, app)])),
        ("a hard link", of_kind(EntryType::Link, "/etc/passwd")),
        ("a symlink for a file", of_kind(EntryType::Symlink, "/etc/passwd")),
        ("a device", of_kind(EntryType::Char, "")),
        ("a FIFO", of_kind(EntryType::Fifo, "")),
        ("a sparse file", of_kind(EntryType::GNUSparse, "")),
        ("a folder for a file", of_kind(EntryType::Directory, "")),
        (
            "a link of another target",
            archive(made, &[member(WANTS, EntryType::Symlink, "/", 0o777, &[])]),
        ),
        (
            "a link for a folder",
            archive(made, &[member("rootfs/etc", EntryType::Symlink, "/etc", 0o777, &[])]),
        ),
        ("one path twice", archive(made, &[file(APP, app), file(APP, app)])),
        ("a twin by case", archive(made, &[file(&APP.to_uppercase(), app)])),
        ("a file that is not listed", archive(made, &[file("rootfs/etc/cron.d/more", app)])),
        ("a file that is too long", archive(made, &[file(APP, &[&app[..], b"more"].concat())])),
        ("a file of other bytes", archive(made, &[file(APP, &vec![b'x'; app.len()])])),
        ("a size of pax beside other bytes", archive(made, &[pax("size", "1"), file(APP, app)])),
        ("a size beyond all bounds", archive(made, &[pax("size", "9000000000"), file(APP, app)])),
        ("20,001 files", archive(made, &many)),
        ("a file missing", zipped(std::slice::from_ref(&manifest))),
        ("no manifest first", zipped(&[rest.clone(), manifest])),
        ("another manifest", zipped(&[file("manifest.json", b"{}\n"), rest])),
        ("a manifest beyond all bounds", zipped(&[file("manifest.json", &vec![b' '; 33 << 20])])),
        ("nothing", zipped(&[])),
        ("no gzip", b"plain words".to_vec()),
        ("the first half", cut),
    ]
}

fn receive(folder: &Folder, made: &Made, archive: &[u8]) -> Result<Done, String> {
    let (digest, bytes) = (made.bundle.digest, archive.len() as u64);
    let request = ReceiveRequest { caller: caller(TX), digest, bytes };
    folder
        .call::<Done>(&["receive"], &request, archive)
        .map_err(|refusal| [vec![refusal.message], refusal.details].concat().join("\n    "))
}

/// Every path of the guest with what it is, but for stackc's own state.
fn all_of(folder: &Folder) -> BTreeSet<(String, u64, i64)> {
    let all = walkdir::WalkDir::new(folder.dir.path()).into_iter().map(|e| e.expect("readable"));
    let kept = all.filter(|e| !e.path().starts_with(folder.at("/var/lib/stackc")));
    kept.filter(|e| e.file_type().is_file() || e.file_type().is_symlink())
        .map(|e| (e.path().display().to_string(), e.metadata().expect("there")))
        .map(|(path, data)| (path, data.ino(), data.mtime_nsec()))
        .collect()
}

#[test]
fn every_trick_of_an_archive_is_refused_in_words_of_its_own_and_writes_nothing_outside() {
    let outside = tempfile::tempdir().expect("a folder");
    let (made, mut told) = (make(1, 60), String::new());
    let mut tricks: Vec<_> = hostile(&made, outside.path())
        .into_iter()
        .map(|(trick, archive)| (trick, make(1, 60), archive))
        .collect();
    let below = with_file_below_a_link(outside.path());
    let bytes = archive(&below, &[]);
    tricks.push(("a manifest with a file below a link", below, bytes));
    for (trick, made, archive) in tricks {
        let folder = Folder::new();
        let before = all_of(&folder);
        let refusal = receive(&folder, &made, &archive);
        let refusal = refusal.err().unwrap_or_else(|| panic!("{trick} is taken"));
        told.extend([trick, ":\n    ", &refusal, "\n"]);
        assert_eq!(all_of(&folder), before, "{trick}");
        let escaped = fs::read_dir(outside.path()).expect("it is there").count();
        assert_eq!(escaped, 0, "{trick} leads out of the guest");
        let store = fs::read_dir(folder.at("/var/lib/stackc/store")).expect("it is there");
        let names = store.map(|e| e.expect("readable").file_name().to_string_lossy().into_owned());
        let finished: Vec<_> = names.filter(|name| !name.starts_with(".tmp-")).collect();
        assert_eq!(finished, Vec::<String>::new(), "{trick} has a name in the store");
    }
    let digests = regex::Regex::new("[0-9a-f]{12,64}").expect("it is an expression");
    let told = digests.replace_all(&told, "DIGEST");
    let told = told.replace(&outside.path().to_string_lossy().into_owned(), "/OUTSIDE");
    snapshot(&crate::compile::root().join("tests/it/snapshots"), "hostile_archives", &told);
}

/// The same archive without a trick is taken, so that what is refused above is refused for its trick alone.
#[test]
fn modes_of_an_archive_count_for_nothing_and_no_file_is_set_uid() {
    let made = make(1, 60);
    let app = made.bundle.files[&name::<EntryPath>(APP)].clone();
    let with_bits = archive(&made, &[member(APP, EntryType::Regular, "", 0o6777, &app)]);
    let folder = Folder::new();
    receive(&folder, &made, &with_bits).expect("its bytes are the bundle's");
    let taken = folder.at(&format!("/var/lib/stackc/store/{}/{APP}", made.bundle.digest));
    assert_eq!(fs::metadata(taken).expect("it is there").mode() & 0o7777, 0o755);
}

/// What follows the end of an archive is read by nobody.
#[test]
fn bytes_after_the_end_of_an_archive_make_nothing() {
    let made = make(1, 60);
    let (manifest, rest) = members(&made);
    let rest = rest.into_values().flatten().collect();
    let more = file("rootfs/etc/cron.d/more", b"* * * * * root true\n");
    let within = zipped(&[manifest, rest, vec![0; 1024], more]);
    let behind = [archive(&made, &[]), b"more".to_vec()].concat();
    for archive in [within, behind] {
        let folder = Folder::new();
        let before = all_of(&folder);
        receive(&folder, &made, &archive).expect("the bundle is whole");
        assert_eq!(all_of(&folder), before);
        let tree = folder.at(&format!("/var/lib/stackc/store/{}/rootfs/etc", made.bundle.digest));
        assert!(!tree.join("cron.d").exists());
    }
}
