//! The example apps' vendored packages are what their sources say, byte for byte: no opaque binary is in the tree.
//! `STACKC_PACK=1 cargo test example_apps` packs them anew.

use flate2::{Compression, Crc, GzBuilder};
use sha2::{Digest as _, Sha256, Sha512};
use std::{
    collections::BTreeMap,
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn vendored_npm_packages_are_packed_from_the_sources_beside_them() {
    for (part, package) in [("backend", "money"), ("frontend", "page")] {
        let packed = npm_package(&apps().join("shop/packages").join(package));
        let vendored = apps().join(format!("shop/{part}/vendor/{package}-1.0.0.tgz"));
        compare(&vendored, &packed);
    }
}

#[test]
fn npm_lockfiles_carry_the_hashes_of_the_vendored_packages() {
    for (part, package) in [("backend", "money"), ("frontend", "page")] {
        let folder = apps().join("shop").join(part);
        let lockfile = fs::read_to_string(folder.join("package-lock.json")).expect("a lockfile");
        let lockfile: serde_json::Value = serde_json::from_str(&lockfile).expect("it is JSON");
        let packed = fs::read(folder.join(format!("vendor/{package}-1.0.0.tgz"))).expect("packed");
        let entry = &lockfile["packages"][format!("node_modules/{package}")];
        assert_eq!(entry["resolved"], format!("file:vendor/{package}-1.0.0.tgz"));
        assert_eq!(
            entry["integrity"],
            format!("sha512-{}==", base64(&Sha512::digest(&packed), STANDARD))
        );
    }
}

#[test]
fn vendored_wheel_is_packed_from_the_sources_beside_it() {
    let packed = wheel(&apps().join("reports/packages/tally"), "tally-1.0.0");
    compare(&apps().join("reports/service/vendor/tally-1.0.0-py3-none-any.whl"), &packed);
}

fn apps() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("stacks/apps")
}

fn compare(vendored: &Path, packed: &[u8]) {
    if env::var_os("STACKC_PACK").is_some() {
        fs::write(vendored, packed).expect("the vendored package can be written");
    }
    let found = fs::read(vendored).expect("the vendored package is in the tree");
    assert!(found == packed, "{} is not what its sources make", vendored.display());
}

/// A package as `npm pack` lays it out: everything below `package/`.
fn npm_package(sources: &Path) -> Vec<u8> {
    let gzip = GzBuilder::new().write(Vec::new(), Compression::best());
    let mut archive = tar::Builder::new(gzip);
    for (path, content) in files_below(sources) {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("package/{path}")).expect("a short path");
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // The date that `npm pack` gives to every file, so that two packings are equal.
        header.set_mtime(499_162_500);
        header.set_cksum();
        archive.append(&header, content.as_slice()).expect("memory takes it");
    }
    archive.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory takes it")
}

/// A pure wheel: a zip of stored files. Source: PEP 427.
fn wheel(sources: &Path, name: &str) -> Vec<u8> {
    let of_metadata = |path: &String| !path.contains('/');
    let mut files: BTreeMap<String, Vec<u8>> = files_below(sources)
        .into_iter()
        .map(|(path, bytes)| {
            (if of_metadata(&path) { format!("{name}.dist-info/{path}") } else { path }, bytes)
        })
        .collect();
    let mut record = String::new();
    for (path, bytes) in &files {
        let hash = base64(&Sha256::digest(bytes), URL);
        writeln!(record, "{path},sha256={hash},{}", bytes.len()).expect("memory takes it");
    }
    writeln!(record, "{name}.dist-info/RECORD,,").expect("memory takes it");
    files.insert(format!("{name}.dist-info/RECORD"), record.into_bytes());
    zip(&files)
}

/// A zip of stored files, dated 1980-01-01. Source: APPNOTE.TXT §4.3.
fn zip(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (path, bytes) in files {
        let offset = length(archive.len());
        let fields = zip_fields(path, bytes);
        archive.extend(b"PK\x03\x04\x14\0");
        archive.extend(&fields);
        archive.extend(path.as_bytes());
        archive.extend(bytes);
        // Made on Unix by version 2.0, and the mode in the upper half of the external attributes.
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&fields);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset);
        directory.extend(path.as_bytes());
    }
    let entries = u16::try_from(files.len()).expect("few files").to_le_bytes();
    let start = length(archive.len());
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([entries, entries].concat());
    archive.extend([length(directory.len()), start].concat());
    archive.extend([0; 2]);
    archive
}

/// What a local and a central header share: flags (UTF-8 names), method, time, date, CRC, sizes, lengths.
fn zip_fields(path: &str, bytes: &[u8]) -> Vec<u8> {
    let mut crc = Crc::new();
    crc.update(bytes);
    let name = u16::try_from(path.len()).expect("a short path");
    let mut fields = vec![0, 0x08, 0, 0, 0, 0, 0x21, 0];
    fields.extend(crc.sum().to_le_bytes());
    fields.extend([length(bytes.len()), length(bytes.len())].concat());
    fields.extend(name.to_le_bytes());
    fields.extend([0, 0]);
    fields
}

fn length(number: usize) -> [u8; 4] {
    u32::try_from(number).expect("a small archive").to_le_bytes()
}

fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|entry| entry.expect("sources are readable"))
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path = entry.path().strip_prefix(folder).expect("it was found there");
            let bytes = fs::read(entry.path()).expect("sources are readable");
            (path.to_str().expect("UTF-8").to_owned(), bytes)
        })
        .collect()
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base 64 without padding. Source: RFC 4648 §4 and §5.
fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(alphabet[(number >> (18 - 6 * place) & 63) as usize]));
        }
    }
    text
}
