//! Bundles of format 1, read by `tests/reader/read_bundle.py`, which shares no code with stackc.

use crate::compile::{cases, compiled, root, sources};
use serde_json::{Value, json};
use stackc::{
    model::{
        Access, Bundle, Bytes, Digest, Encoder, Entry, EntryPath, FileClass, Manifest, Part,
        UnitInputs, canonical,
    },
    store::Store,
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// What the other reader says of a folder.
fn read(folder: &Path) -> Result<String, String> {
    let reader = root().join("tests/reader/read_bundle.py");
    let output = Command::new("python3").arg(reader).arg(folder).output();
    let output = output.unwrap_or_else(|error| panic!("apt-get install python3: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The same in the reader's words.
fn told(bundle: &Bundle) -> String {
    let lines = bundle.manifest.entries.iter().map(|(path, entry)| told_of(path, entry));
    let units = bundle.manifest.units.iter();
    let units = units.map(|(name, inputs)| format!("unit {name}:{}\n", of_inputs(inputs)));
    format!("{}\n{}", bundle.digest, lines.chain(units).collect::<String>())
}

fn told_of(path: &EntryPath, entry: &Entry) -> String {
    let words = match entry {
        Entry::Document(bytes) => format!("file - {}", of_bytes(bytes)),
        Entry::File { class, access, bytes, unit } => {
            let class = if *class == FileClass::Linked { "A" } else { "B" };
            let unit = unit.as_ref().map(of_inputs).unwrap_or_default();
            format!("file {class} {} {}{unit}", of_access(access), of_bytes(bytes))
        }
        Entry::Secret { access, encoder, parts } => {
            let encoder = match encoder {
                Encoder::Env => "env",
                Encoder::Raw => "raw",
                Encoder::Redis => "redis",
            };
            let parts: String = parts.iter().map(of_part).collect();
            format!("file S {} {encoder}{parts}", of_access(access))
        }
        Entry::Link { target } => format!("link B -> {target}"),
        Entry::Directory { access } => format!("directory D {}", of_access(access)),
    };
    format!("{path} {words}\n")
}

fn of_access(access: &Access) -> String {
    format!("{} {}:{}", access.mode, access.owner, access.group)
}

fn of_bytes(bytes: &Bytes) -> String {
    format!("{} {}", bytes.size, bytes.sha256)
}

fn of_part(part: &Part) -> String {
    match part {
        Part::Literal(text) => format!(" literal={}", Digest::of(text.as_bytes())),
        Part::Secret(name) => format!(" secret={name}"),
        Part::Variable { key, secret } => format!(" {key}={secret}"),
    }
}

fn of_inputs(unit: &UnitInputs) -> String {
    let restart = unit.restart.iter().map(|(path, digest)| format!(" restart:{path}={digest}"));
    let reload = unit.reload.iter().map(|(path, digest)| format!(" reload:{path}={digest}"));
    let secrets = unit.secrets.iter().map(|name| format!(" secret:{name}"));
    let release = unit.release.then(|| " release".to_owned());
    restart.chain(reload).chain(secrets).chain(release).collect()
}

#[test]
fn a_reader_that_shares_no_code_sees_the_same_digest_and_entries() {
    let folders = fs::read_dir(cases()).expect("the cases are there");
    let folders = folders.map(|entry| entry.expect("it is readable").path());
    let mut workspaces: Vec<_> = folders.filter(|path| path.join("stacks").is_dir()).collect();
    workspaces.push(root().to_owned());
    let out = tempfile::tempdir().expect("a folder");
    let store = Store::open(out.path()).expect("it opens");
    let (mut bundles, mut classes) = (0, String::new());
    for workspace in workspaces {
        for (target, bundle) in compiled(&sources(&workspace)).guests {
            store.put(&bundle, String::new).expect("it can be put");
            let read = read(&store.path_of(&bundle.digest));
            assert_eq!(read.as_ref(), Ok(&told(&bundle)), "{target}");
            let ours = store.get(&bundle.digest).expect("our own reader takes it too");
            assert_eq!(told(&ours), told(&bundle), "{target}");
            classes += &read.unwrap_or_default();
            bundles += 1;
        }
    }
    assert!(bundles >= 7, "{bundles} bundles are not all of the examples and cases");
    for class in [" file - ", " file A ", " file B ", " file S ", " link B ", " directory D "] {
        assert!(classes.contains(class), "no bundle has an entry `{class}`");
    }
}

/// A whole bundle on disk, to be broken.
struct Broken {
    folder: PathBuf,
}

impl Broken {
    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    /// Another manifest; the folder gets the name that belongs to it, so that its hash is no fault.
    fn put_manifest(&mut self, bytes: &[u8]) {
        fs::write(self.at("manifest.json"), bytes).expect("it is ours");
        let folder = self.folder.with_file_name(Digest::of(bytes).to_string());
        fs::rename(&self.folder, &folder).expect("it is ours");
        self.folder = folder;
    }

    /// The manifest's text with something else in place of the first `old`.
    fn spell(&mut self, old: &str, new: &str) {
        let text = fs::read_to_string(self.at("manifest.json")).expect("it is there");
        assert!(text.contains(old), "{old} is in the manifest");
        self.put_manifest(text.replacen(old, new, 1).as_bytes());
    }

    /// Canonical JSON again, of other values.
    fn edit(&mut self, edit: impl FnOnce(&mut Vec<Value>)) {
        let text = fs::read(self.at("manifest.json")).expect("it is there");
        let mut manifest: Value = serde_json::from_slice(&text).expect("it is JSON");
        edit(manifest["entries"].as_array_mut().expect("a list"));
        self.put_manifest(&canonical::to_bytes(&manifest));
    }

    /// The first entry of a class gets another value; `null` takes the key away.
    fn set(&mut self, class: &str, key: &str, value: Value) {
        self.edit(|entries| {
            let found = entries.iter_mut().find(|entry| entry["class"] == class);
            let entry = found.and_then(Value::as_object_mut).expect("there is one of the class");
            match value {
                Value::Null => drop(entry.remove(key).expect("it had the key")),
                value => drop(entry.insert(key.to_owned(), value)),
            }
        });
    }

    /// One more link; on disk it is as the manifest says.
    fn add_link(&mut self, path: &str) {
        symlink("x", self.at(path)).expect("there is no such link");
        self.add(link(path));
    }

    fn add(&mut self, entry: Value) {
        self.edit(|entries| {
            entries.push(entry);
            entries.sort_by(|a, b| a["path"].as_str().cmp(&b["path"].as_str()));
        });
    }
}

fn link(path: &str) -> Value {
    json!({ "class": "B", "path": path, "target": "x", "type": "link" })
}

/// The bundle that is broken: made by hand of an entry of each sort.
fn whole() -> Bundle {
    let access = json!({ "mode": "0644", "owner": "root", "group": "root" });
    let with = |entry: Value| {
        let mut entry = entry;
        let fields = entry.as_object_mut().expect("a table");
        fields.extend(access.as_object().expect("a table").clone());
        entry
    };
    let bytes = |path: &str, class: &str| {
        let hash = Digest::of(path.as_bytes());
        with(
            json!({ "path": path, "type": "file", "class": class, "size": path.len(), "sha256": hash }),
        )
    };
    let unit = json!({ "restart": {}, "reload": {}, "secrets": ["a/b"], "release": false });
    let mut service = bytes("rootfs/etc/unit.service", "A");
    service["unit"] = unit;
    let variable = json!({ "variable": { "key": "KEY", "secret": "a/b" } });
    let parts = json!([{ "literal": "A=b\n" }, variable]);
    let secret = with(
        json!({ "path": "rootfs/etc/env", "type": "file", "class": "S", "encoder": "env", "parts": parts }),
    );
    let apt = Digest::of(b"apt.json");
    let entries = json!([
        { "path": "apt.json", "type": "file", "size": 8, "sha256": apt },
        bytes("rootfs/etc/copied", "B"),
        with(json!({ "path": "rootfs/etc/empty", "type": "directory", "class": "D" })),
        secret,
        { "path": "rootfs/etc/link", "type": "link", "class": "B", "target": "copied" },
        service,
    ]);
    let manifest =
        json!({ "format": 1, "project": "shop", "env": "dev", "payload": apt, "entries": entries });
    let manifest = canonical::to_bytes(&manifest);
    let read: Manifest = canonical::from_slice(&manifest).expect("it is by the rules");
    let has_bytes = |entry: &Entry| matches!(entry, Entry::Document(_) | Entry::File { .. });
    let files = read.entries.iter().filter(|(_, entry)| has_bytes(entry));
    let files = files.map(|(path, _)| (path.clone(), path.as_str().as_bytes().to_vec())).collect();
    Bundle::prove(Digest::of(&manifest), read, files).expect("each file holds its path")
}

fn twins(broken: &mut Broken, names: [&str; 2]) {
    for name in names {
        broken.add_link(&format!("rootfs/etc/{name}"));
    }
}

type Fault = (&'static str, fn(&mut Broken));

/// What the other reader says of a fault, and the fault: each bundle has one, and is whole but for it.
const FAULTS: [Fault; 45] = [
    ("a number that is no plain integer", |b| b.spell("\"format\":1", "\"format\":1.0")),
    ("a number that is no plain integer", |b| b.spell("\"format\":1", "\"format\":1e0")),
    ("a number that is no plain integer", |b| b.spell("\"format\":1", "\"format\":01")),
    ("no value at character", |b| b.spell("\"format\":1", "\"format\":-1")),
    ("an integer above 2^53-1", |b| b.spell("\"size\":8", "\"size\":9007199254740992")),
    ("key 'env' is twice there", |b| b.spell("\"env\":\"dev\"", "\"env\":\"dev\",\"env\":\"dev\"")),
    ("not in byte order", |b| {
        b.spell("\"format\":1,", "");
        b.spell("\"project\":\"shop\"", "\"project\":\"shop\",\"format\":1");
    }),
    ("no value at character", |b| b.spell("\"format\":1", "\"format\": 1")),
    ("no '\\n' at character", |b| b.spell("}\n", "}")),
    ("after the final line feed", |b| b.spell("}\n", "}\n\n")),
    ("a byte order mark", |b| b.spell("{\"entries\"", "\u{feff}{\"entries\"")),
    ("an escape that is not needed", |b| b.spell("\"dev\"", "\"\\u0064ev\"")),
    ("an escape that is not needed", |b| b.spell("rootfs/etc/copied", "rootfs\\/etc/copied")),
    ("a long escape where there is a short one", |b| b.spell("A=b\\n", "A=b\\u000a")),
    ("a control character that is not escaped", |b| b.spell("A=b\\n", "A=b\t")),
    ("format 2 instead of 1", |b| b.spell("\"format\":1", "\"format\":2")),
    ("the manifest has the keys", |b| b.spell("\"format\":1", "\"format\":1,\"from\":1")),
    ("the manifest has the keys", |b| b.spell("\"env\":\"dev\",", "")),
    ("project: 'lock'", |b| b.spell("\"shop\"", "\"lock\"")),
    ("env: 'Dev'", |b| b.spell("\"dev\"", "\"Dev\"")),
    ("'apt.json' is twice there, or not in byte order", |b| b.edit(|e| e.swap(0, 1))),
    ("is twice there, or not in byte order", |b| b.edit(|e| e.push(e[e.len() - 1].clone()))),
    ("differs from another only in case", |b| b.add_link("rootfs/etc/UNIT.service")),
    ("differs from another only in case", |b| twins(b, ["straße", "strasse"])),
    ("differs from another only in case", |b| twins(b, ["λόγος", "λόγοσ"])),
    ("differs from another only in case", |b| twins(b, ["ﬁle", "file"])),
    ("is not in normal form C", |b| b.add_link("rootfs/etc/unit.service.e\u{301}")),
    ("is not plain and relative", |b| b.add(link("rootfs/etc/zz/../x"))),
    ("has a control character", |b| b.add_link("rootfs/etc/zz\u{202e}")),
    ("is of type 'file' and class 'D'", |b| b.set("D", "type", json!("file"))),
    ("has the class -", |b| b.set("A", "class", Value::Null)),
    ("has the keys", |b| b.set("B", "size", Value::Null)),
    ("has the keys", |b| b.set("D", "size", json!(0))),
    ("has the keys", |b| b.set("S", "sha256", json!("0".repeat(64)))),
    ("mode of 'rootfs/etc/copied'", |b| b.set("B", "mode", json!("4755"))),
    ("owner of 'rootfs/etc/copied'", |b| b.set("B", "owner", json!("0:0"))),
    ("hash of 'rootfs/etc/copied'", |b| b.set("B", "sha256", json!("A".repeat(64)))),
    ("size of 'rootfs/etc/copied'", |b| b.set("B", "size", json!((1 << 20) + 1))),
    ("is 'variable' for 'raw'", |b| b.set("S", "encoder", json!("raw"))),
    ("the folder's name is not the manifest's SHA-256", |b| {
        let other = b.folder.with_file_name("0".repeat(64));
        fs::rename(&b.folder, &other).expect("it is ours");
        b.folder = other;
    }),
    ("'apt.json' has other bytes", |b| fs::write(b.at("apt.json"), "APT.json").expect("ours")),
    ("'apt.json' is missing", |b| fs::remove_file(b.at("apt.json")).expect("it is there")),
    ("'rootfs/etc/link' leads elsewhere", |b| {
        fs::remove_file(b.at("rootfs/etc/link")).expect("it is there");
        symlink("/etc/shadow", b.at("rootfs/etc/link")).expect("it was removed");
    }),
    ("'rootfs/etc/env' has secrets, and lies there", |b| {
        fs::write(b.at("rootfs/etc/env"), "KEY=plain\n").expect("ours");
    }),
    ("'rootfs/etc/more' is not in the manifest", |b| {
        fs::write(b.at("rootfs/etc/more"), "").expect("ours");
    }),
];

#[test]
fn a_broken_bundle_is_refused_by_both_readers_whatever_its_one_fault_is() {
    let bundle = whole();
    for (rule, fault) in FAULTS {
        let out = tempfile::tempdir().expect("a folder");
        let store = Store::open(out.path()).expect("it opens");
        store.put(&bundle, String::new).expect("it can be put");
        let mut broken = Broken { folder: store.path_of(&bundle.digest) };
        assert_eq!(read(&broken.folder).as_ref(), Ok(&told(&bundle)), "it is whole before");
        fault(&mut broken);
        let refused = read(&broken.folder).expect_err(rule);
        assert!(refused.contains(rule), "{rule}: {refused}");
        let digest = broken.folder.file_name().expect("it has a name").to_string_lossy();
        let digest: Digest = digest.parse().expect("a folder is named by a digest");
        assert!(store.get(&digest).is_err(), "stackc reads what has this fault: {rule}");
    }
}
