//! Definitions to bundles: cases, rejected input, and laws.

use stackc::{
    compile::{self, Code, Compiled, Report, Sources, env_file, text},
    model::{
        Access, Bundle, Bytes, Digest, Entry, EntryPath, FileClass, Manifest, Mode, Target,
        canonical,
    },
    store,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    path::PathBuf,
    process::Command,
};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn cases() -> PathBuf {
    root().join("tests/cases")
}

pub fn sources(workspace: &Path) -> Sources {
    Sources { files: store::read_sources(workspace).expect("the workspace is readable") }
}

pub fn compiled(sources: &Sources) -> Compiled {
    compile::compile(sources).unwrap_or_else(|report| panic!("{report}"))
}

pub fn rejected(sources: &Sources) -> Report {
    match compile::compile(sources) {
        Ok(_) => panic!("these definitions are to be rejected"),
        Err(report) => report,
    }
}

fn digests(compiled: &Compiled) -> BTreeMap<Target, Digest> {
    compiled.guests.iter().map(|(target, bundle)| (target.clone(), bundle.digest)).collect()
}

pub fn snapshot(folder: &Path, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_node_app_compiles_to_this() {
    case("node_app");
}

#[test]
fn layers_merge_remove_and_keep_secrets_out() {
    case("layers_and_secrets");
}

#[test]
fn rules_probes_and_releases_compile_to_this() {
    case("rules_probes_and_release");
}

#[test]
fn databases_become_documents_or_units_and_hooks_a_document() {
    case("databases_and_hooks");
}

#[test]
fn units_and_cron_tables_compile_to_this() {
    case("units");
}

#[test]
fn what_an_unknown_package_may_bring_is_no_mistake() {
    case("units_of_others");
}

#[test]
fn what_somebody_else_makes_is_no_mistake() {
    case("made_by_others");
}

#[test]
fn what_people_run_from_debians_packages_is_no_mistake() {
    case("real_services");
}

pub fn case(name: &str) {
    let folder = cases().join(name);
    let compiled = compiled(&sources(&folder));
    let texts = compiled.guests.values().map(text::whole);
    snapshot(&folder, "bundle", &texts.collect::<String>());
}

#[test]
fn the_worked_examples_compile_to_this() {
    let compiled = compiled(&sources(root()));
    for (target, bundle) in compiled.guests {
        let name = target.to_string().replace('/', "_");
        if target.env.as_str() == "dev" {
            snapshot(&cases().join("worked_examples"), &name, &text::whole(&bundle));
        }
    }
}

/// Every case of `reject`: a file is the project `x` of a good site, a folder is laid over that workspace.
pub fn reject_cases() -> BTreeMap<String, Sources> {
    let folder = cases().join("reject");
    let entries = fs::read_dir(&folder).expect("the folder is there");
    let paths = entries.map(|entry| entry.expect("it is readable").path());
    let case = |path: PathBuf| {
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        match path.extension() {
            None => Some((name, with_folder(&path))),
            Some(end) if end == "toml" => {
                Some((name, with_project(&fs::read(&path).expect("it is readable"))))
            }
            Some(_) => None,
        }
    };
    paths.filter_map(case).collect()
}

/// A good workspace with the files of a folder; those that its `REMOVED` names, a line each, are taken out.
fn with_folder(folder: &Path) -> Sources {
    let mut sources = sources(&cases().join("node_app"));
    if let Ok(removed) = fs::read_to_string(folder.join("REMOVED")) {
        sources.files.retain(|name, _| !removed.lines().any(|line| line == name));
    }
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.expect("the case is readable");
        let name = entry.path().strip_prefix(folder).expect("it lies in its folder");
        if entry.file_type().is_file() && name != Path::new("REMOVED") {
            let bytes = fs::read(entry.path()).expect("it is readable");
            sources.files.insert(name.to_string_lossy().into_owned(), bytes);
        }
    }
    sources
}

#[test]
fn rejected_definitions_are_told_with_place_and_remedy() {
    let folder = cases().join("reject");
    let rejects = reject_cases();
    assert!(rejects.len() >= 12, "the folder has its cases");
    for (name, sources) in rejects {
        snapshot(&folder, &name, &rejected(&sources).render(false));
    }
}

/// Warnings, sizes that no file of a repository should have, and `lockouts`: each with the file that shows it.
const TOLD_ELSEWHERE: [(Code, &str); 7] = [
    (Code::KindTooDeep, "tests/it/compile_hostile.rs"),
    (Code::BundleTooBig, "tests/it/compile_hostile.rs"),
    (Code::SourceTooBig, "tests/it/compile_hostile.rs"),
    (Code::FileTooBig, "tests/it/compile_hostile.rs"),
    (Code::UnreadFile, "tests/it/compile_hostile.rs"),
    (Code::UnusedPin, "tests/it/compile.rs"),
    (Code::SshdShutsOut, "tests/cases/lockouts/hosts_deny_all.snap"),
];

#[test]
fn every_mistake_says_how_to_mend_it() {
    for (case, sources) in reject_cases() {
        let told = rejected(&sources).told();
        let helpless: Vec<_> = told.iter().filter(|told| told.help.is_none()).collect();
        assert_eq!(helpless, Vec::<&stackc::compile::Told>::new(), "{case}");
    }
}

#[test]
fn every_kind_of_mistake_has_a_case_that_shows_it() {
    let reports: Vec<_> = reject_cases().values().map(rejected).collect();
    let shown: BTreeSet<_> =
        reports.iter().flat_map(Report::mistakes).map(stackc::compile::Mistake::code).collect();
    let elsewhere = TOLD_ELSEWHERE.map(|(code, _)| code);
    let missing: Vec<_> =
        Code::ALL.iter().filter(|c| !shown.contains(c) && !elsewhere.contains(c)).collect();
    assert_eq!(missing, Vec::<&Code>::new(), "add a case to tests/cases/reject");
    let twice = elsewhere.iter().filter(|code| shown.contains(code)).count();
    assert_eq!(twice, 0, "a case shows what is said to be shown elsewhere");
    for (code, file) in TOLD_ELSEWHERE {
        let told = format!("[{}]: ", code.as_str());
        assert!(crate::tree::read(file).contains(&told), "{file} does not show `{told}`");
    }
}

pub fn with_project(text: &[u8]) -> Sources {
    let mut sources = sources(&cases().join("node_app"));
    sources.files.remove("stacks/web.toml");
    sources.files.remove("stacks/lock.toml");
    sources.files.insert("stacks/x.toml".to_owned(), text.to_vec());
    sources
}

#[test]
fn a_mistake_of_a_kind_is_told_once_and_names_its_guests() {
    let mut sources = sources(root());
    let unit = "templates/own/unit.tera".to_owned();
    sources.files.insert(unit, b"[Service]\nExecStart={{ vars.nothing }}\n".to_vec());
    let kind = "extends = \"builtin:node-app\"\n[services.extra]\ntemplate = \"unit.tera\"\n";
    sources.files.insert("templates/own/kind.toml".to_owned(), kind.into());
    let shop = String::from_utf8(sources.files["stacks/shop.toml"].clone()).expect("UTF-8");
    let shop = shop.replace("kind = \"node-app\"", "kind = \"own\"");
    sources.files.insert("stacks/shop.toml".to_owned(), shop.into());
    let report = rejected(&sources);
    assert_eq!(report.mistakes().count(), 1, "{report}");
    assert!(report.to_string().contains("templates/own/unit.tera:2:14"), "{report}");
    assert!(report.to_string().contains("in shop/dev, shop/prod, shop/qa"), "{report}");
}

#[test]
fn a_pin_for_another_branch_asks_for_lock() {
    let mut sources = sources(root());
    let shop = String::from_utf8(sources.files["stacks/shop.toml"].clone()).expect("UTF-8");
    let shop = shop.replace("branch = \"dev\"", "branch = \"next\"");
    sources.files.insert("stacks/shop.toml".to_owned(), shop.into());
    let report = rejected(&sources).to_string();
    assert!(report.contains("run `stackc lock shop/dev`"), "{report}");
    assert_eq!(compile::branches(&sources).expect("lock needs no pins").len(), 10);
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    let sources = sources(root());
    let (first, second) = (compiled(&sources), compiled(&sources));
    assert_eq!(first.guests, second.guests);
    for (target, bundle) in &first.guests {
        assert_eq!(store::archive(bundle), store::archive(&second.guests[target]));
    }
}

#[test]
fn the_order_of_tables_in_a_file_does_not_matter() {
    let sources = sources(root());
    let wanted = digests(&compiled(&sources));
    for file in ["stacks/shop.toml", "stacks/reports.toml", "stacks/site.toml"] {
        let mut shuffled = sources.clone();
        let text = String::from_utf8(shuffled.files[file].clone()).expect("UTF-8");
        let mut tables: Vec<_> = text.split("\n[").collect();
        let head = tables.remove(0).to_owned();
        tables.reverse();
        let tables = format!("\n[{}\n", tables.join("\n["));
        shuffled.files.insert(file.to_owned(), format!("{head}\n{tables}").into());
        assert_eq!(digests(&compiled(&shuffled)), wanted, "{file}");
    }
}

#[test]
fn a_payload_is_the_same_in_every_env() {
    let compiled = compiled(&sources(root()));
    let mut payloads: BTreeMap<_, Vec<Digest>> = BTreeMap::new();
    for (target, bundle) in &compiled.guests {
        payloads.entry(target.project.clone()).or_default().push(bundle.manifest.payload);
    }
    assert_eq!(payloads.len(), 4);
    for same in payloads.values() {
        assert!(same.iter().all(|payload| payload == &same[0]));
    }
}

#[test]
fn every_manifest_and_document_is_canonical_and_holds_no_path_of_this_machine() {
    for bundle in compiled(&sources(root())).guests.values() {
        let manifest = canonical::to_bytes(&bundle.manifest);
        let read = canonical::from_slice(&manifest).expect("a manifest reads back");
        assert_eq!(bundle.manifest, read);
        assert_eq!(bundle.digest, Digest::of(&manifest));
        let here = root().to_string_lossy();
        for (path, bytes) in &bundle.files {
            assert!(!String::from_utf8_lossy(bytes).contains(&*here), "{path}");
        }
    }
}

/// Bytes of gzip depend on the crate behind it: a change of it must not go unseen. The bundles are made by hand, so that
/// nothing but the archive's own form is in them; the big one is where zlib's backends go their own ways.
#[test]
fn an_archive_has_these_bytes() {
    let archive = store::archive(&bundle_with(b"#!/bin/sh\n".to_vec()));
    let digest = "ecebe3d27abcef70b3f661a128690e52abed451835936dc16cd6893e4aef2033";
    assert_eq!(Digest::of(&archive).to_string(), digest);
    let long = format!("rootfs/srv/{}", "long/".repeat(30) + "name");
    let names = ["manifest.json", "apt.json", "rootfs/etc/folder", "rootfs/etc/link", &long]
        .map(str::to_owned);
    assert_eq!(names_of(&archive), names);
    let words: Vec<_> = (0_u32..20_000).map(|n| (n.wrapping_mul(n) % 977).to_string()).collect();
    let archive = store::archive(&bundle_with(words.join(" ").into_bytes()));
    assert_eq!(
        Digest::of(&archive).to_string(),
        "5ed7b99cf4b6fea9e7dd71a649167385e3958fc091b8c2ecc25d80a6658afc3a"
    );
}

fn bundle_with(script: Vec<u8>) -> Bundle {
    let access = || Access {
        mode: Mode::EXECUTABLE,
        owner: "root".parse().expect("a name"),
        group: "root".parse().expect("a name"),
    };
    let path = |text: &str| text.parse::<EntryPath>().expect("a path");
    let long = path(&format!("rootfs/srv/{}", "long/".repeat(30) + "name"));
    let document = b"{}\n".to_vec();
    let class = FileClass::Linked;
    let bytes = Bytes::of(&script);
    let entries = BTreeMap::from([
        (path("apt.json"), Entry::Document(Bytes::of(&document))),
        (path("rootfs/etc/folder"), Entry::Directory { access: access() }),
        (path("rootfs/etc/link"), Entry::Link { target: "../target".to_owned() }),
        (long.clone(), Entry::File { class, access: access(), bytes, unit: None }),
    ]);
    let target =
        Target { project: "shop".parse().expect("a name"), env: "dev".parse().expect("a name") };
    let manifest = Manifest { target, payload: Digest::of(b""), entries, units: BTreeMap::new() };
    let digest = Digest::of(&canonical::to_bytes(&manifest));
    Bundle {
        digest,
        manifest,
        files: BTreeMap::from([(path("apt.json"), document), (long, script)]),
    }
}

fn names_of(archive: &[u8]) -> Vec<String> {
    let mut reader = tar::Archive::new(flate2::read::GzDecoder::new(archive));
    let entries = reader.entries().expect("it is a tar");
    entries
        .map(|entry| entry.expect("whole").path().expect("a path").display().to_string())
        .collect()
}

#[test]
fn a_store_gives_back_what_was_put_and_no_damaged_bundle() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store::Store::open(folder.path()).expect("it opens");
    let compiled = compiled(&sources(root()));
    let bundle: &Bundle = compiled.guests.values().next().expect("a guest");
    let put = || store.put(bundle, String::new).expect("it can be put");
    assert_eq!(put(), store::Change::New);
    assert_eq!(put(), store::Change::Unchanged);
    assert_eq!(&store.get(&bundle.digest).expect("it is there"), bundle);
    let apt = store.path_of(&bundle.digest).join("apt.json");
    fs::write(&apt, b"{}\n").expect("it can be damaged");
    let error = store.get(&bundle.digest).expect_err("damage is seen");
    assert!(error.to_string().contains("apt.json"), "{error}");
    assert!(error.to_string().contains("delete"), "{error}");
    let manifest = store.path_of(&bundle.digest).join("manifest.json");
    fs::write(&manifest, b"{}\n").expect("it can be damaged");
    store.get(&bundle.digest).expect_err("damage is seen");
    assert_eq!(put(), store::Change::New);
    assert_eq!(&store.get(&bundle.digest).expect("it is whole again"), bundle);
}

#[test]
fn a_symlink_among_the_sources_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("stacks")).expect("a folder");
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("stacks/x.toml")).expect("a link");
    let error = store::read_sources(folder.path()).expect_err("a link is refused");
    assert!(error.to_string().contains("stacks/x.toml"), "{error}");
}

/// `sh` reads the very values that were encoded: dash, as on a guest.
#[test]
fn a_shell_reads_back_every_value_of_an_env_file() {
    let odd = [
        "'", "\"", "\\", "$HOME", "`id`", "${X}", " ", "\t", "\n", "#", ";", "é", "=", "!", "\r",
        "*",
    ];
    let mut values: Vec<String> = odd.iter().map(|value| (*value).to_owned()).collect();
    for a in odd {
        for b in odd {
            values.push(format!("{a}x{b}"));
            values.push(format!("{b}{a}"));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("env");
    let mut text = String::new();
    for (n, value) in values.iter().enumerate() {
        text.push_str(&env_file::encode(&format!("V{n}"), value).expect("it has a line"));
    }
    fs::write(&file, text).expect("it can be written");
    let script = format!(
        "set -a; . {}; i=0; while [ $i -lt {} ]; do eval \"printf '%s\\\\0' \\\"\\$V$i\\\"\"; i=$((i+1)); done",
        file.display(),
        values.len()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh runs");
    let read: Vec<_> =
        output.stdout.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    assert_eq!(read.len(), values.len() + 1, "{}", String::from_utf8_lossy(&output.stderr));
    for (wanted, found) in values.iter().zip(read) {
        assert_eq!(wanted, &found);
    }
}

#[test]
fn the_deploy_scripts_are_clean_shell() {
    let folder = tempfile::tempdir().expect("a folder");
    for (target, bundle) in compiled(&sources(root())).guests {
        for (path, bytes) in &bundle.files {
            if !bytes.starts_with(b"#!/bin/sh") {
                continue;
            }
            let file = folder.path().join("script.sh");
            fs::write(&file, bytes).expect("it can be written");
            let status = Command::new("sh").arg("-n").arg(&file).status().expect("sh runs");
            assert!(status.success(), "{target}: {path}");
        }
    }
}

#[test]
fn explain_says_which_line_won() {
    let compiled = compiled(&sources(root()));
    let target =
        compiled.guests.keys().find(|t| t.to_string() == "shop/prod").expect("it is there");
    let explanation = compile::explain(&compiled, target, "guest.memory_mib").expect("it is set");
    assert_eq!(explanation.value, 4096);
    let lines: Vec<_> = explanation.lines.iter().map(|line| (line.layer, line.wins)).collect();
    assert_eq!(lines, [("site", false), ("env", true)]);
    assert!(explanation.lines[1].place.starts_with("stacks/shop.toml:"));
    assert!(compile::explain(&compiled, target, "guest.nothing").is_err());
}

#[test]
fn explain_finds_a_name_with_dots_in_quotes_and_without() {
    let compiled = compiled(&sources(&cases().join("system")));
    let target = compiled.guests.keys().find(|t| t.project.as_str() != "bare").expect("a guest");
    let explain = |key: &str| compile::explain(&compiled, target, key).expect("it is set");
    let quoted = explain("system.sysctl.\"net.core.somaxconn\"");
    assert_eq!(explain("system.sysctl.net.core.somaxconn"), quoted);
}

#[test]
fn explain_shows_what_a_template_makes_beside_what_was_written() {
    let compiled = compiled(&sources(root()));
    let explain = |target: &str, key: &str| {
        let target = compiled.guests.keys().find(|t| t.to_string() == target).expect("it is there");
        compile::explain(&compiled, target, key).expect("it is set")
    };
    let app_env = explain("shop/dev", "env_vars.APP_ENV");
    assert_eq!(app_env.value, "dev");
    assert_eq!(app_env.lines[0].value, "{{ env }}");
    assert_eq!(explain("shop/qa", "firewall.rules.backend").value["port"], "3001");
    let script = explain("reports/dev", "files.backup_database.text").value;
    assert!(script.as_str().expect("a text").contains(". /srv/app/.env.dev\n"), "{script}");
}

#[test]
fn a_template_that_loops_and_sets_makes_what_it_made_without_limits() {
    let text = "{% for a in [1, 2] -%}  \n {{ a }}\n{%- endfor %}|{% for a in [1] %} {{ a }} {% endfor %}|\
                {%- set x = 1 if env == 'dev' else 2 -%} {{ x }}|{% set y = [x, 'b'] | join(sep='-') %}{{ y }}|\
                {{ 'a\n\nb' | indent(width=2) }}|{{ 'aXa' | replace(from='a', to='bb') }}";
    let mut sources = sources(root());
    let script = format!("#!/bin/sh\n# {text}\n");
    sources.files.insert("templates/app/deploy_app.sh.tera".to_owned(), script.into());
    let compiled = compiled(&sources);
    let (_, shop) =
        compiled.guests.iter().find(|(t, _)| t.to_string() == "shop/dev").expect("there");
    let path = "rootfs/usr/local/bin/deploy_app.sh".parse().expect("a path");
    let made = String::from_utf8_lossy(&shop.files[&path]).into_owned();
    assert_eq!(made, "#!/bin/sh\n# 12| 1 |1|1-b|a\n\n  b|bbXbb\n");
}

#[test]
fn a_pin_that_no_env_uses_is_told_and_stops_nothing() {
    let mut sources = sources(root());
    assert!(compiled(&sources).warnings.is_none());
    let gone = "[shop.gone]\nrepo = \"repos/shop\"\nbranch = \"gone\"\n";
    sources.files.get_mut("stacks/lock.toml").expect("it is there").extend(gone.as_bytes());
    let warnings = compiled(&sources).warnings.expect("one warning").to_string();
    assert!(
        warnings.starts_with("warning[unused-pin]: nothing is built from the pin of `shop/gone`")
            && warnings.contains("help: run `stackc lock`, which removes it"),
        "{warnings}"
    );
    assert!(warnings.contains("stacks/lock.toml:62:7"), "{warnings}");
    assert!(!warnings.contains("nothing was built"), "{warnings}");
}
