//! `cron`: tables of their own in `/etc/cron.d`.
//!
//! What cron takes for which value was measured with cron 3.0pl1-162, Debian 12's: besides crontab(5), it takes `\\` for one
//! backslash, and leaves out a whole table for one line that it cannot read.

use super::{days, lines};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::overlay::Overlay,
        view::View,
    },
    model::{Mode, Owner},
};
use std::{collections::BTreeSet, fmt::Write as _, iter::StepBy, ops::RangeInclusive};

/// The longest line that cron reads. Source: `MAX_COMMAND` and `MAX_ENVSTR` in cron.h.
const LINE_BYTES_MAX: usize = 998;

/// What jobs start with unless they say otherwise: cron's own PATH lacks `/usr/local` and `sbin`.
const DEFAULTS: [(&str, &str); 2] = [
    ("SHELL", "/bin/sh"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
];

/// A table of its own: `/etc/cron.d/<name>`.
pub fn add(name: &str, view: &View<'_>, overlay: &mut Overlay) {
    let schedule = schedule(view);
    let user = view.need::<Owner>("user");
    let environment = environment(view);
    let command = view.need_text("run").and_then(|run| match command(&run.value) {
        Ok(command) => Some(command),
        Err(error) => {
            let (code, help) = match error {
                NoLine::NotOne => (Code::NotOneLine, "put it into a script"),
                NoLine::Empty => (Code::NotOneLine, "write the command, or take the job out"),
                NoLine::Padded => (Code::NoForm, "take the blanks out"),
                NoLine::Escaped => (Code::NoForm, "write the bare `%`"),
                _ => (Code::NoForm, "put it into a script"),
            };
            view.report(Mistake::new(code, run.at, error.to_string()).help(help));
            None
        }
    });
    overlay.cron_users.extend(user.iter().map(|user| (user.value.clone(), user.at)));
    let (Some(schedule), Some(user), Some(command)) = (schedule, user, command) else { return };
    let text = format!("{environment}{schedule} {} {command}\n", user.value);
    overlay.add_text(&format!("/etc/cron.d/{name}"), Mode::FILE, text, view.at, view);
}

/// What no line of cron can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoLine {
    #[error("a cron job is one line")]
    NotOne,
    #[error("the command of the cron job is empty")]
    Empty,
    #[error("cron has no form for blanks around a command")]
    Padded,
    #[error("cron reads lines of at most {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("cron takes away blanks at the end of a value, in quotes as well")]
    Blanks,
    #[error(
        "cron has no form for a value with quotes of both kinds that begins with one or with a blank"
    )]
    Quotes,
    #[error("cron takes away the quotes around a value, and then those within them as well")]
    TwiceQuoted,
    #[error("a `%` needs no backslash here: stackc writes it, and this one would stay")]
    Escaped,
}

/// A line of shell as cron passes it on: a bare `%` would end it.
pub fn command(run: &str) -> Result<String, NoLine> {
    if run.trim().is_empty() {
        return Err(NoLine::Empty);
    }
    if run.chars().any(|c| c.is_control() && c != '\t') {
        return Err(NoLine::NotOne);
    }
    if run.trim() != run {
        return Err(NoLine::Padded);
    }
    if run.contains("\\%") {
        return Err(NoLine::Escaped);
    }
    let line = run.replace('\\', "\\\\").replace('%', "\\%");
    if line.len() > LINE_BYTES_MAX { Err(NoLine::TooLong) } else { Ok(line) }
}

/// A variable of a table.
pub fn assignment(name: &str, value: &str) -> Result<String, NoLine> {
    let is_bare = !value.is_empty() && value.trim() == value && !value.starts_with(['"', '\'']);
    let is_twice_quoted =
        ['"', '\''].iter().any(|q| value.len() > 1 && value.starts_with(*q) && value.ends_with(*q));
    let value = if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(NoLine::NotOne);
    } else if value.ends_with([' ', '\t']) {
        return Err(NoLine::Blanks);
    } else if is_twice_quoted {
        return Err(NoLine::TwiceQuoted);
    } else if is_bare {
        value.to_owned()
    } else if !value.contains('"') {
        format!("\"{value}\"")
    } else if !value.contains('\'') {
        format!("'{value}'")
    } else {
        return Err(NoLine::Quotes);
    };
    let line = format!("{name}={value}");
    if line.len() > LINE_BYTES_MAX { Err(NoLine::TooLong) } else { Ok(line) }
}

fn environment(view: &View<'_>) -> String {
    let variables = super::variables(view);
    let is_said = |name: &str| variables.iter().any(|(said, _)| said == name);
    let mut text = String::new();
    for (name, value) in DEFAULTS.iter().filter(|(name, _)| !is_said(name)) {
        writeln!(text, "{name}={value}").expect("text takes all");
    }
    for (name, value) in &variables {
        match assignment(name, &value.value) {
            _ if name == "LOGNAME" => {
                let title = "cron sets `LOGNAME` itself, to the job's user";
                view.report(Mistake::new(Code::NoEffect, value.at, title).help("leave it out"));
            }
            Ok(line) => writeln!(text, "{line}").expect("text takes all"),
            Err(error) => view.report(lines::without_form(&error, value.at)),
        }
    }
    text
}

fn schedule(view: &View<'_>) -> Option<String> {
    let schedule = view.need_text("schedule")?;
    match comes(&schedule.value).filter(|_| !schedule.value.contains(['\n', '\r'])) {
        Some(true) => return Some(schedule.value),
        Some(false) => view.report(days::never(&schedule.value, schedule.at)),
        None => {
            let title = format!("`{}` is no schedule of cron", schedule.value);
            let help = "write five fields, such as \"15 3 * * *\", or @daily";
            view.report(Mistake::new(Code::BadSchedule, schedule.at, title).help(help));
        }
    }
    None
}

const NAMED: [&str; 8] =
    ["@reboot", "@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"];
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Whether a schedule of five fields, or a name for one, is for a day that there is; none of what cron cannot read. Source:
/// crontab(5); `find_jobs` in cron.c: a day of the week is one more way to come, unless its field begins with `*`.
pub fn comes(schedule: &str) -> Option<bool> {
    if NAMED.contains(&schedule) {
        return Some(true);
    }
    let fields: Vec<_> = schedule.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
    let [minute, hour, day, month, weekday] = fields.as_slice() else { return None };
    numbers(minute, (0, 59), &[])?;
    numbers(hour, (0, 23), &[])?;
    numbers(weekday, (0, 7), &DAYS)?;
    let (days, months) = (numbers(day, (1, 31), &[])?, numbers(month, (1, 12), &MONTHS)?);
    let first = days.first()?;
    let is_there = months.iter().any(|month| *first <= days::of_month(LEAP_YEAR, *month));
    Some(is_there || !day.starts_with('*') && !weekday.starts_with('*'))
}

/// A year that has all days there are.
const LEAP_YEAR: u32 = 2028;

/// The numbers that a field stands for.
fn numbers(field: &str, range: (u32, u32), names: &[&str]) -> Option<BTreeSet<u32>> {
    let parts: Option<Vec<_>> = field.split(',').map(|p| part(p, range, names)).collect();
    Some(parts?.into_iter().flatten().collect())
}

/// One of a field's parts: `*`, a value or a range, with or without a step.
fn part(
    part: &str,
    (low, high): (u32, u32),
    names: &[&str],
) -> Option<StepBy<RangeInclusive<u32>>> {
    let is_number = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let number = |text: &str| is_number(text).then(|| text.parse::<u32>().ok()).flatten();
    let value = |text: &str| {
        let position = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let by_name = position.and_then(|n| u32::try_from(n).ok()).map(|n| n + low);
        by_name.or_else(|| number(text)).filter(|value| (low..=high).contains(value))
    };
    let (values, step) = part.split_once('/').map_or((part, None), |(v, step)| (v, Some(step)));
    let (from, to) = match values.split_once('-') {
        Some((from, to)) => (value(from)?, value(to)?),
        None if values == "*" => (low, high),
        None if step.is_none() => (value(values)?, value(values)?),
        None => return None,
    };
    let step = step.map_or(Some(1), number).filter(|step| (1..=high).contains(step))?;
    (from <= to).then(|| (from..=to).step_by(usize::try_from(step).unwrap_or(usize::MAX)))
}
