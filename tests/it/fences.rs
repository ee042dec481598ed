//! The rules of src/ARCHITECTURE.md that a machine can keep.

use std::{collections::BTreeMap, fs, path::Path};

/// Which folders each folder of `src` may name (design.md §4). `cli` may name all.
const ARROWS: [(&str, &[&str]); 10] = [
    ("model", &[]),
    ("compile", &["model"]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("vault", &["model"]),
    ("proxmox", &["model"]),
    ("remote", &["model"]),
    ("guest", &["model"]),
    ("activate", &["model", "compile", "plan", "store", "vault", "proxmox", "remote"]),
    ("lab", &["model"]),
];

#[test]
fn arrows_between_folders_point_one_way() {
    let allowed = BTreeMap::from(ARROWS);
    let mut wrong = Vec::new();
    for (folder, file, line) in source_lines() {
        let Some(allowed) = allowed.get(folder.as_str()) else { continue };
        for named in line.split("crate::").skip(1) {
            let named =
                named.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            if named != folder && !allowed.contains(&named) {
                wrong.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "folders name what they must not:\n{}", wrong.join("\n"));
}

/// Every line of `src/<folder>/`, with its folder and file; comments left out.
fn source_lines() -> Vec<(String, String, String)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines = Vec::new();
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let below = path.strip_prefix(&source).expect("it was found there");
            let top =
                below.iter().next().expect("a file has a name").to_string_lossy().into_owned();
            if path.extension().is_none_or(|e| e != "rs") || below.iter().count() < 2 {
                continue;
            }
            let text = fs::read_to_string(&path).expect("sources are UTF-8");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.extend(code.map(|l| (top.clone(), below.display().to_string(), l.to_owned())));
        }
    }
    assert!(lines.len() > 100, "the fence reads the sources");
    lines
}
