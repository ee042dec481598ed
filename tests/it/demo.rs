//! The demo when it does not come to its end. Its whole story is told by `tests/run`.
#![expect(clippy::print_stderr, reason = "a skipped test must say so")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A lab comes up in seconds; the machine may be busy, or the base not there yet.
const UP: Duration = Duration::from_secs(600);

const BIN: &str = env!("CARGO_BIN_EXE_stackc");

/// A place for demos of this test, with nothing in it afterwards.
struct Place {
    name: String,
    state: PathBuf,
}

impl Place {
    /// Nothing when the test does not run as root. `name` has at most 4 letters.
    fn new(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: a demo needs root");
            return None;
        }
        let name = format!("{name}-{:x}", std::process::id());
        Some(Self { state: Path::new("/var/lib/stackc-lab").join(&name), name })
    }

    fn lab(&self, verb: &str) -> Command {
        let mut command = Command::new(BIN);
        command.args(["lab", verb, "--name", &self.name, "--state"]).arg(&self.state);
        command
    }

    fn demo(&self) -> Child {
        let mut command = self.lab("demo");
        command.arg("--yes").stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the demo starts")
    }

    /// Waits until the demo's lab has a workspace, so that its activation is about to begin.
    fn wait_for_workspace(&self) {
        let deadline = Instant::now() + UP;
        let workspace = self.state.join("demo/workspace/stacks/secrets.local.toml");
        while !workspace.exists() {
            assert!(Instant::now() < deadline, "no {}", workspace.display());
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn is_gone(&self) -> bool {
        let bridge = Path::new("/sys/class/net").join(format!("lab-{}", self.name));
        !self.state.exists() && !bridge.exists()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = self.lab("down").output() {
            eprintln!("{error}");
        }
    }
}

fn signal(demo: &Child, name: &str) {
    let pid = demo.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
}

fn end(demo: Child) -> Output {
    demo.wait_with_output().expect("it ends")
}

#[test]
fn a_demo_that_is_stopped_takes_its_lab_down() {
    let Some(place) = Place::new("stop") else { return };
    let demo = place.demo();
    place.wait_for_workspace();
    signal(&demo, "-TERM");
    let ended = end(demo);
    let (told, errors) =
        (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert_eq!(ended.status.code(), Some(4), "{told}{errors}");
    assert_eq!(errors, "error: it was stopped\n");
    assert!(place.is_gone(), "{told}");
}

#[test]
fn what_a_killed_demo_left_goes_before_the_next_begins() {
    let Some(place) = Place::new("kill") else { return };
    let mut killed = place.demo();
    place.wait_for_workspace();
    let first = fs::read(place.state.join("lab.json")).expect("the lab is up");
    signal(&killed, "-KILL");
    killed.wait().expect("it ends");

    let mut demo = place.demo();
    let deadline = Instant::now() + UP;
    while fs::read(place.state.join("lab.json")).ok().is_none_or(|lab| lab == first) {
        if Instant::now() > deadline || demo.try_wait().expect("it is our child").is_some() {
            drop(demo.kill());
            panic!("the lab of the killed demo is still there: {:?}", end(demo));
        }
        thread::sleep(Duration::from_millis(50));
    }
    place.wait_for_workspace();
    signal(&demo, "-INT");
    let ended = end(demo);
    assert_eq!(ended.status.code(), Some(4), "{}", String::from_utf8_lossy(&ended.stderr));
    let told = String::from_utf8_lossy(&ended.stdout);
    assert!(told.contains("A demo before this one left its lab, which goes first."), "{told}");
    assert!(place.is_gone(), "{told}");
}
