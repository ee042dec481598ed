//! Env files: what real readers take from the lines that the encoder writes.

use crate::{dice::Dice, fixture_lab::RealLab, guest_fixture::feed, guest_real::RealGuest};
use stackc::compile::env_file;
use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Output},
};

type Variables = BTreeMap<String, String>;

/// Characters on which some reader has its own opinion.
const ODD: [&str; 40] = [
    "'", "\"", "\\", "$", "`", "${X}", "$(x)", "$X", "{", "}", " ", "  ", "\t", "\n", "\r", "\r\n",
    "\n\n", "#", ";", "=", "!", "~", "*", "?", "%", "&", "|", "<", "\\n", "export ", "é", "日",
    "😀", "e\u{301}", "\u{a0}", "\u{85}", "\u{2028}", "\u{202e}", "\u{feff}", "\u{7f}",
];

/// What only few may ever write: control characters, and what is no character.
const RARE: [char; 36] = [
    '\u{1}',
    '\u{2}',
    '\u{3}',
    '\u{4}',
    '\u{5}',
    '\u{6}',
    '\u{7}',
    '\u{8}',
    '\u{b}',
    '\u{c}',
    '\u{e}',
    '\u{f}',
    '\u{10}',
    '\u{11}',
    '\u{12}',
    '\u{13}',
    '\u{14}',
    '\u{15}',
    '\u{16}',
    '\u{17}',
    '\u{18}',
    '\u{19}',
    '\u{1a}',
    '\u{1b}',
    '\u{1c}',
    '\u{1d}',
    '\u{1e}',
    '\u{1f}',
    '\u{80}',
    '\u{81}',
    '\u{fdd0}',
    '\u{fffe}',
    '\u{ffff}',
    '\u{1fffe}',
    '\u{10ffff}',
    '\0',
];

fn value(dice: &mut Dice) -> String {
    // The kernel takes 131,072 bytes for one variable, its name and a NUL included.
    if dice.one_in(500) {
        let long = [1 << 16, 131_065, 131_066, 131_067, 131_068, 140_000];
        let end = dice.pick(&["", " ", "'", "\\"]);
        let length = dice.pick(&long) - end.len();
        return dice.pick(&["x", " ", "'"]).repeat(length) + end;
    }
    let mut text = String::new();
    for _ in 0..dice.pick(&[0, 1, 1, 2, 2, 3, 4, 6, 8, 12, 40]) {
        match dice.roll(60) {
            0 => text.push(dice.pick(&RARE)),
            1..30 => text.push_str(dice.pick(&ODD)),
            30..33 => text.extend(any_character(dice)),
            _ => text.push(char::from(b'!' + u8::try_from(dice.roll(94)).expect("7 bits"))),
        }
    }
    text
}

/// None for a surrogate.
fn any_character(dice: &mut Dice) -> Option<char> {
    char::from_u32(u32::try_from(dice.roll(0x11_0000)).expect("21 bits"))
}

/// Env files of `each` variables, with what they have to be read as; and how many values had no line.
fn files(dice: &mut Dice, count: usize, each: usize) -> (Vec<(String, Variables)>, usize) {
    let (mut files, mut refused) = (Vec::new(), 0);
    for _ in 0..count / each {
        let (mut text, mut wanted) = (String::new(), Variables::new());
        for n in 0..each {
            let (key, value) = (format!("V{n:03}"), value(dice));
            match env_file::encode(&key, &value) {
                Ok(line) => {
                    text.push_str(&line);
                    wanted.insert(key, value);
                }
                Err(_) => refused += 1,
            }
        }
        files.push((text, wanted));
    }
    (files, refused)
}

/// Reads each file as `EnvironmentFile=` of a unit, and with two shells. A reader that refuses a file leaves an empty or short
/// output, which is not what was wanted: so its status does not matter.
const READ_ALL: &str = r#"
set -eu
mkdir /root/files /root/read
tar -x -C /root/files
cat >/etc/systemd/system/dump.service <<'END'
[Unit]
StartLimitIntervalSec=0
[Service]
Type=oneshot
EnvironmentFile=/run/dump.env
ExecStart=/usr/bin/env -0
StandardOutput=truncate:/run/dump.out
END
systemctl daemon-reload
cd /root/read
for file in /root/files/*; do
  name=${file##*/}
  cp "$file" /run/dump.env
  : >/run/dump.out
  systemctl start dump.service || true
  cp /run/dump.out "systemd.$name"
  for shell in dash bash; do
    env -i "$shell" -c 'set -a; . "$1"; exec /usr/bin/env -0' - "$file" >"$shell.$name" || true
  done
done
tar -c ./*
"#;

fn packed(files: &[(String, Variables)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (n, (text, _)) in files.iter().enumerate() {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, format!("{n:03}"), text.as_bytes()).expect("memory takes it");
    }
    tar.into_inner().expect("memory takes it")
}

/// What `env -0` printed, by `READER.FILE`.
fn unpacked(tar: &[u8]) -> BTreeMap<String, Variables> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().expect("it is a tar");
    let read = entries.map(|entry| {
        let mut entry = entry.expect("it is whole");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("it is whole");
        (name.trim_start_matches("./").to_owned(), variables(&bytes))
    });
    read.collect()
}

fn variables(dump: &[u8]) -> Variables {
    let texts = dump.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let pairs = texts.filter_map(|text| {
        let (key, value) = text.split_once('=')?;
        let ours = key.strip_prefix('V')?.bytes().all(|byte| byte.is_ascii_digit());
        ours.then(|| (key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

/// The first values that were read as something else.
fn wrong(wanted: &Variables, read: &Variables) -> Vec<String> {
    if read.is_empty() {
        return vec!["the reader took nothing of the file".to_owned()];
    }
    let short = |text: Option<&String>| text.map(|text| text.chars().take(80).collect::<String>());
    let differ = wanted.iter().filter(|(key, value)| read.get(*key) != Some(value));
    let told = differ.map(|(key, value)| {
        format!("{:?} was read as {:?}", short(Some(value)), short(read.get(key)))
    });
    told.take(5).collect()
}

#[test]
fn ten_thousand_values_are_exact_in_systemd_dash_and_bash_or_refused() {
    let Some(lab) = RealLab::start("env") else { return };
    let (files, refused) = files(&mut Dice::seeded(), 10_000, 200);
    lab.boot(101, "env1");
    let guest = RealGuest::new(&lab, "env1");
    let read = unpacked(&feed(guest.command(READ_ALL), &packed(&files)));
    let mut faults = Vec::new();
    for (n, (_, wanted)) in files.iter().enumerate() {
        for reader in ["systemd", "dash", "bash"] {
            let read = &read[&format!("{reader}.{n:03}")];
            faults
                .extend(wrong(wanted, read).into_iter().map(|fault| format!("{reader}: {fault}")));
        }
    }
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
    let exact: usize = files.iter().map(|(_, wanted)| wanted.len()).sum();
    eprintln!("{exact} values exact in three readers, {refused} refused");
    assert!(exact > 9_000 && refused > 0, "{exact} exact, {refused} refused");
}

/// Prints what a reader of the dotenv family takes from a file, as JSON.
const PYTHON: &str =
    "import dotenv, json, sys; json.dump(dotenv.dotenv_values(sys.argv[1]), sys.stdout)";
const NODE: &str = "const [fs, util] = [require('fs'), require('util')];\
    console.log(JSON.stringify(util.parseEnv(fs.readFileSync(process.argv[1], 'utf8'))))";

fn read_by(program: &str, option: &str, script: &str, file: &Path) -> Option<Output> {
    Command::new(program).args([option, script]).arg(file).output().ok()
}

/// What the reader took; none when it is not there.
fn taken(output: Option<Output>) -> Option<Variables> {
    let output = output.filter(|output| output.status.success())?;
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

#[test]
fn values_that_are_called_universal_are_exact_in_readers_of_the_dotenv_family() {
    let mut dice = Dice::seeded();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("env");
    let (mut text, mut wanted, mut refused) = (String::new(), Variables::new(), 0);
    for n in 0..2000 {
        let (key, value) = (format!("V{n:04}"), value(&mut dice));
        match env_file::encode(&key, &value) {
            Ok(line) if env_file::is_universal(&value) => {
                text.push_str(&line);
                wanted.insert(key, value);
            }
            _ => refused += 1,
        }
    }
    fs::write(&file, text).expect("it can be written");
    let pythons = ["/usr/bin/python3", "python3"];
    let python = pythons.iter().find_map(|python| taken(read_by(python, "-c", PYTHON, &file)));
    let python = python.expect("python-dotenv reads it: apt-get install python3-dotenv");
    let faults = wrong(&wanted, &python);
    assert!(faults.is_empty(), "python-dotenv: {}", faults.join("\n"));
    match taken(read_by("node", "-e", NODE, &file)) {
        Some(node) => {
            let faults = wrong(&wanted, &node);
            assert!(faults.is_empty(), "node: {}", faults.join("\n"));
        }
        None => eprintln!("left out: node's parseEnv, which needs node 20.12 or later"),
    }
    eprintln!("{} values are universal, {refused} are not", wanted.len());
    assert!(wanted.len() > 500 && refused > 100, "{} and {refused}", wanted.len());
}
