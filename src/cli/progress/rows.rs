//! The board's text: which lines are written when, and which are drawn over.

use crate::plan::difference::visible;
use anstyle::Style;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Where lines cannot be drawn over, a step shows that it still runs this often.
const QUIET_LIMIT: Duration = Duration::from_secs(10);
/// More guests at once would push each other out of a small terminal.
const DRAWN_MAX: usize = 8;
/// A line longer than the terminal is cut off by it, whatever its width is and becomes (DECAWM off, and on again).
const CUT: &str = "\x1b[?7l";
const WRAP: &str = "\x1b[?7h";

/// What runs, by guest. Each change returns the text to write for it.
pub(super) struct Rows {
    running: BTreeMap<String, Row>,
    display: Display,
    /// Lines at the bottom of the terminal that are ours to draw over.
    drawn: usize,
    over: bool,
}

enum Display {
    /// A terminal.
    Live { quiet: Style },
    /// Anything else: a log, a pipe.
    Plain,
}

struct Row {
    step: String,
    since: Instant,
    /// When a line of this guest was written last.
    told: Instant,
    /// What a command of the step has said last.
    output: String,
}

impl Rows {
    pub(super) fn live(has_colour: bool) -> Self {
        let quiet = if has_colour { Style::new().dimmed() } else { Style::new() };
        Self::new(Display::Live { quiet })
    }

    pub(super) fn plain() -> Self {
        Self::new(Display::Plain)
    }

    fn new(display: Display) -> Self {
        Self { running: BTreeMap::new(), display, drawn: 0, over: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// A step of a guest begins.
    pub(super) fn begin(&mut self, name: &str, step: &str, text: &str, now: Instant) -> String {
        let row = Row { step: step.to_owned(), since: now, told: now, output: String::new() };
        self.running.insert(name.to_owned(), row);
        self.write(&line(name, step, &clean(text)), now)
    }

    /// Something worth a line of its own happens in the step that runs, or before the first.
    pub(super) fn event(&mut self, name: &str, step: &str, text: &str, now: Instant) -> String {
        let Some(row) = self.running.get_mut(name) else {
            return self.begin(name, step, text, now);
        };
        row.told = now;
        row.output.clear();
        self.write(&line(name, step, &clean(text)), now)
    }

    /// A command of the running step has said something.
    pub(super) fn output(&mut self, name: &str, text: &str, now: Instant) -> String {
        let Some(row) = self.running.get_mut(name) else { return String::new() };
        row.output = clean(text);
        self.draw(now)
    }

    pub(super) fn rest(&mut self, name: &str, now: Instant) -> String {
        self.running.remove(name);
        self.draw(now)
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) -> String {
        match self.display {
            Display::Live { .. } => self.draw(now),
            Display::Plain => self.overdue(now),
        }
    }

    /// The lines of guests that have been silent for long.
    fn overdue(&mut self, now: Instant) -> String {
        let mut text = String::new();
        for (name, row) in &mut self.running {
            if now.duration_since(row.told) >= QUIET_LIMIT {
                row.told = now;
                let time = time(now.duration_since(row.since));
                let so_far = match row.output.as_str() {
                    "" => format!("{time} so far"),
                    output => format!("{time} so far: {output}"),
                };
                text.push_str(&line(name, &row.step, &so_far));
            }
        }
        text
    }

    /// A line that stays, above those that do not.
    fn write(&mut self, line: &str, now: Instant) -> String {
        format!("{}{line}{}", self.clear(), self.frame(now))
    }

    fn draw(&mut self, now: Instant) -> String {
        format!("{}{}", self.clear(), self.frame(now))
    }

    /// Takes the drawn lines away; the cursor stands where they began.
    pub(super) fn clear(&mut self) -> String {
        match std::mem::take(&mut self.drawn) {
            0 => String::new(),
            drawn => format!("\r{}\x1b[J", "\x1b[A".repeat(drawn - 1)),
        }
    }

    /// Draws them; the cursor stands behind the last one.
    pub(super) fn frame(&mut self, now: Instant) -> String {
        let Display::Live { quiet } = self.display else { return String::new() };
        let rows = self.running.iter().take(DRAWN_MAX);
        let lines = rows.map(|(name, row)| {
            let time = time(now.duration_since(row.since));
            let text = line(name, &row.step, &format!("{time:>7}  {}", row.output));
            format!("{quiet}{}{quiet:#}", text.trim_end())
        });
        let lines: Vec<String> = lines.collect();
        self.drawn = lines.len();
        if lines.is_empty() { String::new() } else { format!("{CUT}{}{WRAP}", lines.join("\n")) }
    }
}

fn line(name: &str, step: &str, text: &str) -> String {
    format!("{name}  {step:<10} {text}\n")
}

/// What comes from elsewhere must not move the cursor.
fn clean(text: &str) -> String {
    visible(text).replace(['\n', '\t'], " ")
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds / 60 {
        0 => format!("{seconds} s"),
        minutes => format!("{minutes} min {:02} s", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn a_log_gets_a_line_every_ten_seconds_however_much_a_step_says() {
        let (mut rows, start) = (Rows::plain(), Instant::now());
        let mut log = rows.begin("shop/dev", "packages", "nodejs is missing", start);
        for second in 1..=25 {
            log += &rows.output("shop/dev", &format!("unpacking {second}"), after(start, second));
            log += &rows.tick(after(start, second));
        }
        log += &rows.begin("shop/dev", "release", "build 1234", after(start, 70));
        log += &rows.tick(after(start, 80));
        log += &rows.rest("shop/dev", after(start, 81));
        log += &rows.tick(after(start, 120));
        insta::assert_snapshot!(log, @r"
        shop/dev  packages   nodejs is missing
        shop/dev  packages   10 s so far: unpacking 10
        shop/dev  packages   20 s so far: unpacking 20
        shop/dev  release    build 1234
        shop/dev  release    10 s so far
        ");
    }

    #[test]
    fn a_terminal_shows_each_guest_below_the_lines_that_stay() {
        let (mut rows, start) = (Rows::live(false), Instant::now());
        rows.begin("shop/dev", "packages", "nodejs is missing", start);
        rows.begin("shop/qa", "release", "build 1234", start);
        rows.output("shop/dev", "Setting up nodejs", after(start, 61));
        let text = rows.begin("shop/qa", "migrate", "migrations of 1234", after(start, 62));
        insta::assert_snapshot!(text.replace('\x1b', "ESC"), @r"
        ESC[AESC[Jshop/qa  migrate    migrations of 1234
        ESC[?7lshop/dev  packages   1 min 02 s  Setting up nodejs
        shop/qa  migrate        0 sESC[?7h
        ");
    }

    #[test]
    fn a_guest_cannot_move_the_cursor_of_the_operator() {
        let (mut rows, now) = (Rows::plain(), Instant::now());
        let text = rows.event("shop/dev", "packages", "a\x1b[2Jb\r\nc", now);
        assert_eq!(text, "shop/dev  packages   a<U+001B>[2Jb<U+000D> c\n");
    }
}
