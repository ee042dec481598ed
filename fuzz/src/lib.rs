//! What must hold whatever bytes come in: a function for each reader of foreign input.
//!
//! The fuzzer calls them with bytes of its own (`cargo +nightly fuzz run NAME` from the top); `tests/it/fuzzed.rs` with the
//! corpora that were kept. A function panics when the law of its first line does not hold.

pub mod env_grammar;

use env_grammar::systemd;
use serde::{Serialize, de::DeserializeOwned};
use stackc::{
    compile::{self, Sources, env_file},
    guest::{Answer, Guest, Offline, RealFs, answer},
    model::{
        AptDocument, Bundle, DatabasesDocument, Digest, EntryPath, GuestPath, HealthDocument,
        HooksDocument, Manifest, ProxmoxDocument, ReleaseDocument, UfwDocument, canonical,
        protocol::{Caller, Identity, ReceiveRequest},
    },
    store,
};
use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    io::{Read as _, Write as _},
    path::Path,
    str::{self, FromStr},
};

/// A function that panics when its law does not hold for these bytes.
pub type Law = fn(&[u8]);

/// Every function by its name, which is that of its corpus and of the fuzzer's program.
pub const ALL: [(&str, Law); 8] = [
    ("archive", archive),
    ("cron", cron),
    ("definitions", definitions),
    ("env_file", env_file),
    ("manifest", manifest),
    ("paths", paths),
    ("template", template),
    ("unit", unit),
];

/// A site that compiles; the projects come from the fuzzer.
const SITE: [(&str, &[u8]); 3] = [
    ("stacks/site.toml", include_bytes!("../../tests/cases/node_app/stacks/site.toml")),
    ("keys/ops.pub", include_bytes!("../../tests/cases/node_app/keys/ops.pub")),
    ("keys/pve-root-ca.pem", include_bytes!("../../tests/cases/node_app/keys/pve-root-ca.pem")),
];

const ENV: &str = "[envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n";

/// A file from the template that comes from the fuzzer.
const TEMPLATED: &[u8] = b"[project]\nkind = \"base\"\n[project.files.a]\npath = \"/etc/a\"\n\
    template = \"a.tera\"\n[envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n\
    [envs.dev.env_vars]\nA = \"b\"\nSECRET = { secret = \"x/dev/word\" }\n";

/// A project compiles to whole bundles, twice the same, or is refused with mistakes that can be shown.
pub fn definitions(bytes: &[u8]) {
    compiles_or_says_why(&[("stacks/x.toml", bytes)]);
}

/// A template, likewise.
pub fn template(bytes: &[u8]) {
    compiles_or_says_why(&[("stacks/x.toml", TEMPLATED), ("templates/a.tera", bytes)]);
}

fn compiles_or_says_why(files: &[(&str, &[u8])]) {
    let files = SITE.iter().chain(files).map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    let sources = Sources { files: files.collect() };
    match compile::compile(&sources) {
        Ok(compiled) => {
            compiled.guests.values().for_each(is_whole);
            let again = compile::compile(&sources).expect("it compiled a moment ago");
            assert_eq!(compiled.guests, again.guests);
        }
        Err(report) => {
            assert!(report.mistakes().count() > 0, "refused for no reason");
            let shown = report.render(false);
            assert!(shown.starts_with("error"), "{shown}");
            assert!(!shown.contains(['\u{1b}', '\r', '\u{202e}']), "{shown:?} moves the cursor");
        }
    }
}

fn is_whole(bundle: &Bundle) {
    let bytes = canonical::to_bytes(&bundle.manifest);
    let manifest: Manifest = canonical::from_slice(&bytes).expect("what was compiled can be read");
    let proved = Bundle::prove(bundle.digest, manifest, bundle.files.clone());
    assert_eq!(proved.as_ref(), Some(bundle));
    assert_eq!(store::archive(bundle), store::archive(bundle));
}

/// A text in a key of a service leaves its directive nowhere, or is refused; words are never refused.
pub fn unit(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let path = "rootfs/etc/systemd/system/a.service";
    let keys = [
        "exec = [\"/usr/bin/true\"]\ndescription = X",
        "exec = [\"/usr/bin/true\", X]",
        "exec = [\"/usr/bin/true\"]\nenvironment = { A = X }",
    ];
    for key in keys {
        let with = |text: &str| made(path, &format!("[project.services.a]\n{key}\n"), text);
        let made = with(text);
        assert!(made.is_some() || !is_harmless(text), "{key} refuses {text:?}");
        let goes_on = |line: &str| line.ends_with('\\');
        assert!(!made.iter().flat_map(|made| made.lines()).any(goes_on), "{made:?}");
        stays_in_its_line(made, with("x"));
    }
}

/// What a cron job says has its line for itself, or is refused; words of a command or variable are never refused.
pub fn cron(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let with = |keys: &str, text: &str| {
        made("rootfs/etc/cron.d/a", &format!("[project.cron.a]\n{keys}\n"), text)
    };
    for keys in [
        "schedule = \"@daily\"\nuser = \"root\"\nrun = X",
        "schedule = \"@daily\"\nuser = \"root\"\nrun = \"x\"\nenvironment = { A = X }",
    ] {
        let made = with(keys, text);
        assert!(made.is_some() || !is_harmless(text), "{keys} refuses {text:?}");
        stays_in_its_line(made, with(keys, "x"));
    }
    is_the_field(
        with("schedule = X\nuser = \"root\"\nrun = \"x\"", text),
        &format!("{text} root x"),
    );
    is_the_field(
        with("schedule = \"@daily\"\nuser = X\nrun = \"x\"", text),
        &format!("@daily {text} x"),
    );
}

/// The table's last line is just this one, and it has no more lines than any other.
fn is_the_field(made: Option<String>, line: &str) {
    let Some(made) = made else { return };
    assert_eq!(made.lines().last(), Some(line), "{made}");
    assert_eq!(made.lines().count(), 3, "{made}");
}

/// Words that no writer has a reason to refuse.
fn is_harmless(text: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric());
    text.len() < 200 && text.split(' ').all(is_word)
}

/// A file that a project makes which has this text in the place of `X`; none when that is refused.
fn made(path: &str, tables: &str, text: &str) -> Option<String> {
    let mut quoted = String::new();
    for c in text.chars() {
        write!(quoted, "\\U{:08X}", u32::from(c)).expect("memory takes it all");
    }
    let tables = tables.replace('X', &format!("\"{quoted}\""));
    let project = format!("[project]\nkind = \"base\"\n{tables}{ENV}");
    let files = SITE.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
    let project = ("stacks/x.toml".to_owned(), project.into_bytes());
    let sources = Sources { files: files.chain([project]).collect() };
    let bundle = compile::compile(&sources).ok()?.guests.into_values().next()?;
    let bytes = bundle.files.get(&path.parse::<EntryPath>().expect("it is a path"))?;
    Some(String::from_utf8(bytes.clone()).expect("what was compiled of text is text"))
}

/// What begins each line is the same for all texts.
fn stays_in_its_line(made: Option<String>, of_a_word: Option<String>) {
    let Some(made) = made else { return };
    let begins = |text: &str| -> Vec<String> {
        let key = |line: &str| line.split(['=', ' ']).next().unwrap_or_default().to_owned();
        text.split('\n').map(key).collect()
    };
    assert_eq!(begins(&made), begins(&of_a_word.expect("a word is never refused")), "{made}");
}

/// Text is a path or is not; what is one reads back as itself and leads nowhere else.
pub fn paths(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(path) = same_text::<GuestPath>(text) {
        assert!(Path::new("/srv").join(path.relative()).starts_with("/srv"), "{text}");
        assert!(path.as_str().ends_with(path.file_name()), "{text}");
        let entry = EntryPath::of_overlay(&path);
        assert_eq!(entry.on_guest().as_ref(), Some(&path));
        is_plain(path.relative());
    }
    if let Some(path) = same_text::<EntryPath>(text) {
        is_plain(path.as_str());
        if let Some(guest) = path.on_guest() {
            assert_eq!(same_text::<GuestPath>(guest.as_str()).as_ref(), Some(&guest));
        }
    }
}

fn same_text<T: FromStr + Display>(text: &str) -> Option<T> {
    let parsed = text.parse::<T>().ok()?;
    assert_eq!(parsed.to_string(), text);
    Some(parsed)
}

fn is_plain(relative: &str) {
    let components: Vec<_> = Path::new(relative).components().collect();
    let plain = |c: &std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
    assert!(components.iter().all(plain), "{relative:?}");
    assert_eq!(components.len(), relative.split('/').count(), "{relative:?}");
}

/// Variables have lines that systemd reads as just these variables, or none.
pub fn env_file(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let (mut lines, mut wanted) = (String::new(), Vec::new());
    for (n, value) in text.split('\0').enumerate() {
        let key = format!("V{n}");
        if let Ok(line) = env_file::encode(&key, value) {
            assert!(line.ends_with('\n'), "{line:?}");
            lines.push_str(&line);
            wanted.push((key, value.to_owned()));
        }
    }
    assert_eq!(systemd(&lines), wanted, "{lines:?}");
    if let Ok(line) = env_file::encode(text, "x") {
        assert_eq!(systemd(&line), [(text.to_owned(), "x".to_owned())]);
    }
}

/// What is read as canonical JSON is written as the same bytes.
pub fn manifest(bytes: &[u8]) {
    same_bytes::<Manifest>(bytes);
    same_bytes::<AptDocument>(bytes);
    same_bytes::<DatabasesDocument>(bytes);
    same_bytes::<HealthDocument>(bytes);
    same_bytes::<HooksDocument>(bytes);
    same_bytes::<ProxmoxDocument>(bytes);
    same_bytes::<ReleaseDocument>(bytes);
    same_bytes::<UfwDocument>(bytes);
    same_bytes::<BTreeMap<String, Vec<String>>>(bytes);
}

fn same_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = canonical::from_slice::<T>(bytes) {
        assert_eq!(canonical::to_bytes(&value), bytes);
    }
}

/// A tar that a guest receives becomes a whole bundle of the wanted digest, or nothing.
pub fn archive(bytes: &[u8]) {
    let folder = tempfile::tempdir_in(memory()).expect("there is room");
    let digest = digest_within(bytes);
    let answer = received(folder.path(), digest, &zipped(bytes));
    let tree = folder.path().join(format!("var/lib/stackc/store/{digest}"));
    match answer {
        Answer::Reply(_) => assert!(tree.join("manifest.json").is_file(), "{digest} is not there"),
        Answer::Refused(_) => assert!(!tree.exists(), "{digest} was refused, and is there"),
        Answer::Usage => panic!("a guest knows the verb"),
    }
    let made = folder.path().read_dir().expect("it is ours").flatten();
    let made =
        made.filter(|entry| !["run", "var"].contains(&&*entry.file_name().to_string_lossy()));
    assert_eq!(made.count(), 0, "something was written beside the state of stackc");
}

fn memory() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory } else { Path::new("/tmp") }
}

/// The digest that an operator would ask for: that of the manifest, when the tar has one.
fn digest_within(tar: &[u8]) -> Digest {
    let mut bytes = Vec::new();
    let mut archive = tar::Archive::new(tar);
    if let Some(Ok(mut first)) = archive.entries().ok().and_then(|mut entries| entries.next()) {
        // What cannot be read whole has no digest that anybody would ask for.
        drop(first.by_ref().take(1 << 20).read_to_end(&mut bytes));
    }
    Digest::of(&bytes)
}

fn zipped(tar: &[u8]) -> Vec<u8> {
    let mut zipped = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    zipped.write_all(tar).and_then(|()| zipped.finish()).expect("memory takes it all")
}

fn received(root: &Path, digest: Digest, archive: &[u8]) -> Answer {
    let name = "fuzz".to_owned();
    let identity = Identity {
        project: "shop".parse().expect("a name"),
        env: "dev".parse().expect("a name"),
        uuid: name.clone(),
    };
    let tx = "00000000000000a1".parse().expect("a number");
    let caller = Caller { identity, tx, who: name.clone(), why: name, over: None };
    let request = ReceiveRequest { caller, digest, bytes: archive.len() as u64 };
    let mut input = serde_json::to_vec(&request).expect("a request is JSON");
    input.push(b'\n');
    input.extend_from_slice(archive);
    let mut fs = RealFs::open(root).expect("it is a folder");
    let mut system = Offline::open(root).expect("it is a folder");
    let mut guest = Guest { fs: &mut fs, system: &mut system, news: &mut |_| {} };
    answer(&mut guest, &["receive".to_owned()], &mut &input[..])
}
