//! An activation with nothing to do of 1 and 4 guests, beside as many parallel cold `ssh guest true` in the same run.
//! It needs root: it makes a lab of its own, and takes it down.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs programs on real guests")]

mod figures;

use figures::Figure;
use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

const LAB: &str = "bench";
const RUNS: usize = 11;

const TARGETS: [(&str, &str); 4] =
    [("shop", "dev"), ("shop", "qa"), ("shop", "prod"), ("reports", "dev")];

/// Takes the lab down, whatever happens.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        stackc(Path::new("/"), &["lab", "down", "--name", LAB]);
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let workspace = dir.path().join("workspace");
    let path = workspace.to_str().expect("temporary folders are UTF-8");
    let _down = Down;
    must(Path::new("/"), &["lab", "up", "--name", LAB]);
    must(Path::new("/"), &["lab", "workspace", "--name", LAB, path]);
    must(&workspace, &["build"]);
    must(&workspace, &activate(4));
    let addresses = TARGETS.map(|target| address(&workspace, target));
    for count in [1, 4] {
        let ssh = figures::median(RUNS, || (), || ssh_true(&workspace, &addresses[..count]));
        let noop = figures::median(RUNS, || (), || must(&workspace, &activate(count)));
        show(&format!("ssh guest true, {count} in parallel"), ssh, ssh);
        show(&format!("activate with nothing to do, {count}"), noop, ssh);
    }
}

/// One line: what, its median, how many times the yardstick that is, and of how many runs.
#[expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
fn show(what: &str, figure: Figure, yardstick: Figure) {
    let (time, runs) = (figure.median.as_secs_f64(), figure.runs);
    let times = time / yardstick.median.as_secs_f64();
    println!("{what:<44} {:>9.1} ms {times:>7.2} ×  median of {runs}", time * 1000.0);
}

fn activate(count: usize) -> Vec<String> {
    let targets = TARGETS[..count].iter().map(|(project, env)| format!("{project}/{env}"));
    ["activate", "--yes"].into_iter().map(str::to_owned).chain(targets).collect()
}

/// As many cold connections at once as there are guests: new TCP, key exchange, login, one command.
fn ssh_true(workspace: &Path, addresses: &[String]) {
    let start = |address: &String| {
        Command::new("ssh")
            .args(["-F", "none", "-i", "keys/ops", "-o", "BatchMode=yes", "-o", "ControlPath=none"])
            .args([
                "-o",
                "UserKnownHostsFile=known_hosts",
                "-o",
                "StrictHostKeyChecking=accept-new",
            ])
            .args([&format!("root@{address}"), "true"])
            .current_dir(workspace)
            .spawn()
            .expect("ssh runs")
    };
    let sessions: Vec<Child> = addresses.iter().map(start).collect();
    for mut session in sessions {
        assert!(session.wait().expect("ssh ends").success(), "a guest lets us in");
    }
}

/// The address of a target's guest, from its definition.
fn address(workspace: &Path, (project, env): (&str, &str)) -> String {
    let path = workspace.join(format!("stacks/{project}.toml"));
    let text = fs::read_to_string(path).expect("the workspace has it");
    let definition: toml::Table = text.parse().expect("it is TOML");
    let ip = definition["envs"][env]["ip"].as_str().expect("every env has its address");
    ip.split('/').next().expect("split gives one part at least").to_owned()
}

fn must<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) {
    assert!(stackc(folder, arguments), "stackc does what it is asked");
}

fn stackc<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
    command.args(arguments).current_dir(folder).stdout(Stdio::null());
    command.status().expect("stackc runs").success()
}
