//! `build` and `check` of 1,000 generated envs, beside `tar | tar` of what the build wrote and beside Nix making the same
//! files; then of up to 10,000 envs; then of guests with more and more of one thing. Some five minutes; ends with 1 when an
//! aim was missed.
#![expect(clippy::disallowed_methods, reason = "a benchmark runs programs on real files")]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

#[path = "../figures/mod.rs"]
mod figures;
mod guest;
mod memory;
mod nix;
mod runs;
mod tree;

use figures::Figure;
use nix::Nix;
use runs::median;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

const ENVS: usize = 1000;
const MORE_ENVS: [usize; 3] = [ENVS, 3000, 10_000];
const RUNS: usize = 5;
/// Nix takes longer than everything else here together.
const NIX_RUNS: usize = 1;
const NOTHING_NEW: Aim = Aim::TimeAndMemory(Duration::from_millis(100), 100);
const ONE_MISTAKE: Aim = Aim::Time(Duration::from_millis(200));

/// A workspace with everything that is made of it.
struct Fleet {
    folder: tempfile::TempDir,
    envs: usize,
}

/// One row of a table.
struct Row {
    what: &'static str,
    time: Figure,
    peak_kib: Option<u64>,
    aim: Aim,
}

/// What a row may cost at most.
#[derive(Clone, Copy)]
enum Aim {
    None,
    TimesOfTar(f64),
    Time(Duration),
    TimeAndMemory(Duration, u64),
}

impl Aim {
    fn is_kept(self, row: &Row, yardstick: Duration) -> bool {
        let time = row.time.median;
        match self {
            Self::None => true,
            Self::TimesOfTar(most) => time <= yardstick.mul_f64(most),
            Self::Time(most) => time <= most,
            Self::TimeAndMemory(most, mib) => {
                time <= most && row.peak_kib.is_some_and(|kib| kib <= mib * 1024)
            }
        }
    }

    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::TimesOfTar(most) => format!("{most} × tar | tar"),
            Self::Time(most) => format!("{} ms", most.as_millis()),
            Self::TimeAndMemory(most, mib) => format!("{} ms, {mib} MiB", most.as_millis()),
        }
    }
}

fn main() -> ExitCode {
    // In memory where that can be, so that what is compared is not drowned by a slow or busy disk.
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { env::temp_dir() };
    let missed = compare(&parent);
    grow(&parent);
    guest::grow(&parent);
    for row in &missed {
        println!("missed: {} is to take at most {}", row.what, row.aim.text());
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What 1,000 envs cost, beside other ways to write as much: the rows that miss their aim.
fn compare(parent: &Path) -> Vec<Row> {
    let fleet = Fleet::new(parent, ENVS);
    let copy = fleet.path().join("copy");
    let build = fleet.rows();
    let tar = median(RUNS, || remove(&copy), || run(&mut fleet.tar()));
    remove(&copy);
    let tar = Row { what: "tar | tar of out/store", time: tar, peak_kib: None, aim: Aim::None };
    let mut rows = vec![tar];
    rows.extend(build);
    let nix = nix::is_installed();
    if nix {
        rows.extend(nix_rows(&fleet));
    }
    println!("{}", fleet.described(parent));
    print_rows(&rows);
    if nix {
        println!("{}", nix::WHAT_IT_DOES);
    } else {
        println!("Nix is not installed, so there is nothing of it here: apt-get install nix-bin");
    }
    let yardstick = rows[0].time.median;
    rows.into_iter().filter(|row| !row.aim.is_kept(row, yardstick)).collect()
}

fn nix_rows(fleet: &Fleet) -> [Row; 2] {
    let nix = Nix::new(fleet.path());
    let cold = median(NIX_RUNS, || nix.forget(), || run(&mut nix.build()));
    let again = median(NIX_RUNS, || (), || run(&mut nix.build()));
    nix.compare(fleet.path(), fleet.envs);
    let peak = memory::peak_kib(&mut nix.build());
    nix.forget();
    [
        Row { what: "nix-build, cold", time: cold, peak_kib: None, aim: Aim::None },
        Row { what: "nix-build, nothing new", time: again, peak_kib: Some(peak), aim: Aim::None },
    ]
}

/// What an env costs among more of them.
fn grow(parent: &Path) {
    let heads = ["build, cold", "nothing new", "misspelt key", "undefined name"];
    print!("\nan env among");
    for head in heads {
        print!("{head:>18}");
    }
    println!();
    for envs in MORE_ENVS {
        print!("{envs:>12}");
        for row in Fleet::new(parent, envs).rows() {
            let one = row.time.median.as_secs_f64() * 1e6 / thousands(envs) / 1000.0;
            let peak = row.peak_kib.unwrap_or(0) / 1024;
            print!("{:>18}", format!("{one:.0} µs {peak:>4} MiB"));
        }
        println!();
    }
}

#[expect(clippy::cast_precision_loss, reason = "the counts are small")]
fn thousands(count: usize) -> f64 {
    count as f64 / 1000.0
}

impl Fleet {
    fn new(parent: &Path, envs: usize) -> Self {
        let folder = tempfile::tempdir_in(parent).expect("a temporary folder");
        tree::generate(folder.path(), envs);
        Self { folder, envs }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn out(&self) -> PathBuf {
        self.path().join("out")
    }

    /// Measures what stackc does with it, and leaves it built.
    fn rows(&self) -> [Row; 4] {
        let wrong = [tree::MISSPELT, tree::UNDEFINED].map(|slip| {
            let text = tree::make_mistake(self.path(), self.envs, &slip);
            self.check_told(&slip);
            let time = median(RUNS, || (), || ends_with(&mut self.stackc("check"), 1));
            let peak = memory::peak_kib(&mut self.stackc("check"));
            tree::mend(self.path(), self.envs, &text);
            (time, Some(peak))
        });
        let cold = median(RUNS, || remove(&self.out()), || run(&mut self.stackc("build")));
        remove(&self.out());
        let cold_peak = memory::peak_kib(&mut self.stackc("build"));
        let again = median(RUNS, || (), || run(&mut self.stackc("build")));
        let again_peak = memory::peak_kib(&mut self.stackc("build"));
        self.check_counts();
        let [(key, key_peak), (name, name_peak)] = wrong;
        let row = |what, time, peak_kib, aim| Row { what, time, peak_kib, aim };
        [
            row("build, cold", cold, Some(cold_peak), Aim::TimesOfTar(3.0)),
            row("build, nothing new", again, Some(again_peak), NOTHING_NEW),
            row("check, one misspelt key", key, key_peak, ONE_MISTAKE),
            row("check, one undefined name", name, name_peak, ONE_MISTAKE),
        ]
    }

    /// A check ends with this one mistake, and for no other reason.
    fn check_told(&self, slip: &tree::Slip) {
        let told = self.stackc("check").stderr(Stdio::piped()).output().expect("stackc runs");
        let told = String::from_utf8_lossy(&told.stderr);
        let one = told.contains(slip.told) && told.contains("\n1 mistake; nothing was built");
        assert!(one, "{told}");
    }

    /// What was measured is what the tables say.
    fn check_counts(&self) {
        let bundles = fs::read_dir(self.out().join("store")).expect("the build made it").count();
        assert_eq!(bundles, self.envs, "every env has a bundle of its own");
        let files = nix::files_below(&nix::overlay(self.path(), &tree::project(0), &tree::env(0)));
        assert_eq!(files.len(), tree::FILES, "an env has its files: {:?}", files.keys());
        let env_file = &files[&format!("srv/app/.env.{}", tree::env(0))];
        assert_eq!(env_file.lines().count(), tree::VARIABLES, "an env has its variables");
    }

    fn stackc(&self, verb: &str) -> Command {
        stackc(verb, self.path())
    }

    fn tar(&self) -> Command {
        let mut command = Command::new("sh");
        let script = "mkdir copy && tar cf - -C out/store . | tar xf - -C copy";
        command.args(["-ec", script]).current_dir(self.path());
        command
    }

    fn described(&self, parent: &Path) -> String {
        let (mut files, mut bytes) = (0, 0);
        for entry in walkdir::WalkDir::new(self.out().join("store")) {
            let stat = entry.expect("readable").metadata().expect("it is there");
            if !stat.is_dir() {
                (files, bytes) = (files + 1, bytes + stat.len());
            }
        }
        format!(
            "{} envs, each with {} files and {} env vars: {files} files and links with all documents, {} MiB, in {}",
            self.envs,
            tree::FILES,
            tree::VARIABLES,
            bytes >> 20,
            parent.display()
        )
    }
}

/// Times beside the first row's.
fn print_rows(rows: &[Row]) {
    println!("{:<28}{:>12}{:>9}{:>14}{:>7}  at most", "", "median", "× tar", "peak memory", "runs");
    let yardstick = rows[0].time.median.as_secs_f64();
    for Row { what, time, peak_kib, aim } in rows {
        let seconds = time.median.as_secs_f64();
        let peak = peak_kib.map_or_else(String::new, |kib| format!("{} MiB", kib / 1024));
        let times = seconds / yardstick;
        let milliseconds = format!("{:.1} ms", seconds * 1000.0);
        let aim = aim.text();
        let line =
            format!("{what:<28}{milliseconds:>12}{times:>9.2}{peak:>14}{:>7}  {aim}", time.runs);
        println!("{}", line.trim_end());
    }
}

fn stackc(verb: &str, workspace: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stackc"));
    command.arg(verb).current_dir(workspace).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn remove(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).expect("it is ours");
    }
}

fn run(command: &mut Command) {
    ends_with(command, 0);
}

fn ends_with(command: &mut Command, code: i32) {
    let status = command.status().expect("the program runs");
    assert_eq!(status.code(), Some(code), "{command:?}");
}
