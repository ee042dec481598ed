//! A bundle as plain text: for reviewers, diffs and snapshots.

use crate::model::{
    Access, Bundle, Entry, FileClass, Mark, Part, ProxmoxDocument, UnitInputs, creation, document,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The files of a bundle as a person reads them: documents with line breaks, secrets by their names. Path to text.
pub fn files(bundle: &Bundle) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::from([("entries".to_owned(), entries(bundle))]);
    for (path, bytes) in &bundle.files {
        // The bundle's own documents are one line each; `{:#}` breaks and indents them.
        let text = match serde_json::from_slice::<serde_json::Value>(bytes) {
            Ok(value) if path.on_guest().is_none() => format!("{value:#}\n"),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        texts.insert(path.to_string(), text);
    }
    for (path, entry) in &bundle.manifest.entries {
        if let Entry::Secret { parts, .. } = entry {
            texts.insert(path.to_string(), parts.iter().map(Part::to_string).collect());
        }
    }
    texts
}

/// The name of what `proxmox_calls` tells, among files.
pub const CALLS: &str = "proxmox calls";

/// The calls of Proxmox's API that make the guest, with a place-holder for what is drawn then. None for a bundle that
/// another version made.
pub fn proxmox_calls(bundle: &Bundle) -> Option<String> {
    let (_, bytes) = bundle.files.iter().find(|(path, _)| path.as_str() == document::PROXMOX)?;
    let wanted: ProxmoxDocument = serde_json::from_slice(bytes).ok()?;
    let mark = Mark { target: bundle.manifest.target.clone(), uuid: "UUID".to_owned() };
    let mut text = String::new();
    for call in creation(&wanted, &mark) {
        writeln!(text, "{} {}", call.method, call.path).expect("text takes all");
        for (key, value) in call.parameters {
            writeln!(text, "  {key}={}", value.replace('\n', "\\n")).expect("text takes all");
        }
    }
    Some(text)
}

/// A whole bundle in one text, with what it makes Proxmox do.
pub fn whole(bundle: &Bundle) -> String {
    let mut texts = files(bundle);
    texts.extend(proxmox_calls(bundle).map(|calls| (CALLS.to_owned(), calls)));
    listing(&texts)
}

/// Files one after another, each below its path.
pub fn listing(files: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    for (path, content) in files {
        writeln!(text, "── {path}").expect("text takes all");
        text.push_str(content);
        if !content.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// What a reviewer should know before the files, with what the bundle's documents say in words: derived, and in no manifest.
pub fn readme(bundle: &Bundle, contents: &str) -> String {
    format!(
        "{}\nbundle   {}\npayload  {}, equal where another env has the same app and kind\n\n\
         {contents}\n\
         files\n{}\n\
         {} lists every file with its hash; the bundle's digest is that file's SHA-256.\n\
         rootfs/ is laid over the guest's root. Class A: a link through /var/lib/stackc/current; B: a copy;\n\
         S: put together from secrets at activation; D: a directory; -: a document for stackc.\n\
         Secrets are named here; no value is in a bundle.\n\n\
         To compare two bundles: `stackc diff --from OLD --to NEW`, each the beginning of a digest or project/env; or\n\
         `diff -r --no-dereference OLD NEW`. The links of rootfs/ are the guest's: here they lead nowhere, or to files of\n\
         this machine.\n",
        bundle.manifest.target,
        bundle.digest,
        bundle.manifest.payload,
        entries(bundle),
        document::MANIFEST,
    )
}

/// One line for each entry: class, mode, owners, path; what a unit reads below it.
fn entries(bundle: &Bundle) -> String {
    let mut text = String::new();
    for (path, entry) in &bundle.manifest.entries {
        let line = match entry {
            Entry::Document(_) => format!("-                      {path}"),
            Entry::File { class: FileClass::Linked, access, .. } => row('A', access, path.as_str()),
            Entry::File { class: FileClass::Copied, access, .. } => row('B', access, path.as_str()),
            Entry::Secret { access, .. } => row('S', access, path.as_str()),
            Entry::Directory { access } => row('D', access, path.as_str()),
            Entry::Link { target } => format!("B link                 {path} -> {target}"),
        };
        writeln!(text, "{line}").expect("text takes all");
        if let Entry::File { unit: Some(unit), .. } = entry {
            text.push_str(&unit_lines(unit));
        }
    }
    for (name, inputs) in &bundle.manifest.units {
        writeln!(text, "- of a package           {name}").expect("text takes all");
        text.push_str(&unit_lines(inputs));
    }
    text
}

fn row(class: char, access: &Access, path: &str) -> String {
    let owners = format!("{}:{}", access.owner, access.group);
    format!("{class} {} {owners:<15} {path}", access.mode)
}

fn unit_lines(unit: &UnitInputs) -> String {
    let restart = unit.restart.keys().map(|path| format!("    restarts with {path}\n"));
    let reload = unit.reload.keys().map(|path| format!("    reloads with {path}\n"));
    let secrets = unit.secrets.iter().map(|name| format!("    restarts with the secret {name}\n"));
    let release = unit.release.then(|| "    restarts with the release\n".to_owned());
    restart.chain(reload).chain(secrets).chain(release).collect()
}
