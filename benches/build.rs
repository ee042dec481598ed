//! A cold and a no-op build of 1,000 generated envs, beside `tar | tar` of the bytes that the build wrote; a minute at most.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs programs on real files")]

mod figures;

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

const PROJECTS: usize = 50;
const ENVS: usize = 20;
const RUNS: usize = 5;

fn main() {
    // In memory where that can be, so that what is compared is not drowned by a slow or busy disk.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let dir = tempfile::tempdir_in(&parent).expect("a temporary folder");
    let workspace = dir.path();
    generate(workspace);
    let out = workspace.join("out");
    let copy = workspace.join("copy");
    let remove = |folder: &Path| {
        if folder.exists() {
            fs::remove_dir_all(folder).expect("it is ours");
        }
    };

    let cold = figures::median(RUNS, || remove(&out), || build(workspace));
    let noop = figures::median(RUNS, || (), || build(workspace));
    let tar = figures::median(RUNS, || remove(&copy), || copy_with_tar(workspace));
    let bundles = fs::read_dir(out.join("store")).expect("the build made it").count();
    assert_eq!(bundles, PROJECTS * ENVS, "every env has a bundle of its own");

    figures::show("tar | tar of out/store", tar, tar);
    figures::show("build of 1,000 envs, cold", cold, tar);
    figures::show("build of 1,000 envs, nothing new", noop, tar);
    let (files, bytes) = size_of(&out.join("store"));
    let mib = bytes / (1 << 20);
    show_size(&format!(
        "{bundles} bundles, {files} files and links, {mib} MiB, in {}",
        parent.display()
    ));
}

/// How many files and links lie below a folder, and how many bytes they have.
fn size_of(folder: &Path) -> (u64, u64) {
    let mut total = (0, 0);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("readable").path();
        let stat = fs::symlink_metadata(&path).expect("it is there");
        let (files, bytes) = if stat.is_dir() { size_of(&path) } else { (1, stat.len()) };
        total = (total.0 + files, total.1 + bytes);
    }
    total
}

#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn show_size(text: &str) {
    println!("{text}");
}

fn build(workspace: &Path) {
    let status = Command::new(env!("CARGO_BIN_EXE_stackc"))
        .arg("build")
        .current_dir(workspace)
        .stdout(Stdio::null())
        .status()
        .expect("stackc runs");
    assert!(status.success(), "build ends with {status}");
}

fn copy_with_tar(workspace: &Path) {
    let script = "mkdir copy && tar cf - -C out/store . | tar xf - -C copy";
    let status = Command::new("sh").args(["-ec", script]).current_dir(workspace).status();
    assert!(status.expect("sh runs").success(), "tar copies the bundles");
}

/// The worked example's site, and projects like its `shop`.
fn generate(workspace: &Path) {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["stacks", "keys"] {
        fs::create_dir(workspace.join(folder)).expect("writable");
    }
    fs::copy(tree.join("stacks/site.toml"), workspace.join("stacks/site.toml")).expect("writable");
    for key in fs::read_dir(tree.join("keys")).expect("the worked example has keys") {
        let key = key.expect("readable");
        fs::copy(key.path(), workspace.join("keys").join(key.file_name())).expect("writable");
    }
    let mut lock = String::new();
    for project in 0..PROJECTS {
        let text = definition(project, &mut lock);
        fs::write(workspace.join(format!("stacks/p{project}.toml")), text).expect("writable");
    }
    fs::write(workspace.join("stacks/lock.toml"), lock).expect("writable");
}

fn definition(project: usize, lock: &mut String) -> String {
    let mut text = format!(
        "[project]\nkind = \"node-app\"\nrepo = \"repos/p{project}\"\n\
         [project.ports]\nbackend = 3001\nfrontend = 3000\n"
    );
    for env in 0..ENVS {
        let number = project * ENVS + env;
        let (third, fourth) = (number / 200, number % 200 + 20);
        let pin = format!("{number:040x}");
        write!(
            text,
            "[envs.e{env}]\nname = \"p{project}-e{env}\"\nvmid = {}\nip = \"10.0.{third}.{fourth}/16\"\n\
             branch = \"main\"\n[envs.e{env}.env_vars]\nAPP_ENV = \"e{env}\"\nNUMBER = {number}\n",
            1000 + number
        )
        .expect("text takes it");
        write!(
            lock,
            "[p{project}.e{env}]\nrepo = \"repos/p{project}\"\nbranch = \"main\"\ncommit = \"{pin}\"\ntree = \"{pin}\"\n"
        )
        .expect("text takes it");
    }
    text
}
