//! What was measured, each figure beside its aim, for the terminal and as a page.

use crate::figures::Figure;
use std::{
    fmt::Write as _,
    fs,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/speed.md");
const TITLES: [&str; 6] = ["", "median", "beside", "runs", "at most", ""];

/// What was measured so far.
pub struct Report {
    rows: Vec<[String; 6]>,
    missed: usize,
}

impl Report {
    /// Begins with the titles of what follows.
    pub fn begin() -> Self {
        println!("{}", line(&TITLES.map(str::to_owned)));
        Self { rows: Vec::new(), missed: 0 }
    }

    /// A time, as a ratio to a yardstick; `most` is what the ratio may be.
    pub fn beside(&mut self, what: &str, time: Figure, yardstick: Figure, most: Option<f64>) {
        let ratio = time.median.as_secs_f64() / yardstick.median.as_secs_f64();
        let aim = most.map(|most| (format!("{most} ×"), ratio <= most));
        self.row(what, &milliseconds(time), &format!("{ratio:.2} ×"), time.runs, aim);
    }

    /// A time by itself; `most` is what it may be beyond `floor`.
    pub fn beyond(&mut self, what: &str, time: Figure, floor: Figure, most: Option<Duration>) {
        let over = time.median.saturating_sub(floor.median);
        let aim = most.map(|most| (format!("+{} ms", most.as_millis()), over <= most));
        let told = format!("+{} ms", over.as_millis());
        self.row(what, &milliseconds(time), &told, time.runs, aim);
    }

    /// A number that is counted once.
    pub fn limit(&mut self, what: &str, found: u64, most: u64) {
        self.row(what, &found.to_string(), "", 1, Some((most.to_string(), found <= most)));
    }

    fn row(
        &mut self,
        what: &str,
        median: &str,
        beside: &str,
        runs: usize,
        aim: Option<(String, bool)>,
    ) {
        let verdict = match &aim {
            Some((_, true)) => "met",
            Some((_, false)) => "missed",
            None => "",
        };
        self.missed += usize::from(verdict == "missed");
        let aim = aim.map(|(aim, _)| aim).unwrap_or_default();
        let row = [what, median, beside, &runs.to_string(), &aim, verdict].map(str::to_owned);
        println!("{}", line(&row));
        self.rows.push(row);
    }

    /// Says how it ended, and writes the page when that is wanted.
    pub fn end(self, took: Duration) -> ExitCode {
        println!("{} aims missed, in {} s", self.missed, took.as_secs());
        if std::env::var_os("STACKC_WRITE").is_some() {
            fs::write(PAGE, self.page()).expect("the tree is ours");
        }
        if self.missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn page(&self) -> String {
        let cores = thread::available_parallelism().map_or(0, usize::from);
        let mut text = format!(
            "# Speed: what a switch costs on real guests\n\n\
             Written by `STACKC_WRITE=1 cargo bench --bench switch`, as root, of commit `{}`, on {cores} cores, Linux {}.\n\
             Medians of runs that took turns with what they are compared to: as many parallel cold `ssh guest true`, an\n\
             activation with nothing to do, one script by hand. A *value* is one of an env file, asked for over HTTP until the\n\
             new one is served.\n\n\
             | | median | beside | runs | at most | |\n|---|--:|--:|--:|--:|---|\n",
            said("git", &["rev-parse", "HEAD"]),
            said("uname", &["-r"]),
        );
        for row in &self.rows {
            let cells = row.iter().map(|cell| cell.trim()).collect::<Vec<_>>();
            writeln!(text, "| {} |", cells.join(" | ")).expect("text takes all");
        }
        text
    }
}

fn said(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect("the program runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn milliseconds(time: Figure) -> String {
    format!("{:.1} ms", time.median.as_secs_f64() * 1000.0)
}

fn line([what, median, beside, runs, aim, verdict]: &[String; 6]) -> String {
    let text = format!("{what:<58}{median:>12}{beside:>10}{runs:>6}{aim:>10}  {verdict}");
    text.trim_end().to_owned()
}
