//! Tables of cron that definitions write as files: cron leaves out a whole table, with a line in its log, for one fault.
//!
//! Source: crontab(5); cron(8), NOTES; `load_entry` in cron's entry.c.

use super::{cron, days};
use crate::compile::{
    report::{Code, Mistake},
    sections::{
        overlay::{Item, Overlay},
        owners::Accounts,
    },
    source::At,
    view::View,
};

/// Where tables are that name their users.
const TABLES: &str = "/etc/cron.d/";

/// Reports tables that cron would not run; those of `cron` are right by how they are made.
pub fn check(stack: &View<'_>, overlay: &Overlay, accounts: &Accounts) {
    let made: Vec<String> =
        stack.entries("cron").map(|(name, ..)| format!("{TABLES}{name}")).collect();
    for (path, (item, at)) in &overlay.items {
        let Item::File { access, bytes, .. } = item else { continue };
        if !path.as_str().starts_with(TABLES) || made.iter().any(|made| made == path.as_str()) {
            continue;
        }
        let refuse = |why: &str, help: &str| {
            let title = format!("cron would leave out `{path}`: {why}");
            stack.report(Mistake::new(Code::IgnoredLine, *at, title).help(help));
        };
        if access.owner.as_str() != "root" || access.mode.is_shared() {
            refuse(
                "others than root may write it",
                "leave `owner` out, and write `mode = \"0644\"`",
            );
        }
        let text = String::from_utf8_lossy(bytes);
        if !text.is_empty() && !text.ends_with('\n') {
            refuse("its last line has no end", "end the text with a line feed");
        }
        for line in text.lines() {
            check_line(stack, line, *at, accounts);
        }
    }
}

fn check_line(stack: &View<'_>, line: &str, at: At, accounts: &Accounts) {
    let line = line.trim_matches([' ', '\t']);
    if line.is_empty() || line.starts_with('#') || is_assignment(line) {
        return;
    }
    if let Some(Job { schedule, user, comes }) = job(line) {
        accounts.check(stack, user, true, at);
        if !comes {
            stack.report(days::never(&schedule, at));
        }
        return;
    }
    let title = format!("cron can read no job in `{line}`");
    let help = "write a schedule, a user and a command: \"15 3 * * * root /usr/local/bin/backup\"";
    stack.report(Mistake::new(Code::BadSchedule, at, title).help(help));
}

/// `NAME=value`, `NAME = value`, or with quotes around the name.
fn is_assignment(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let name = name.trim_end_matches([' ', '\t']);
    let is_quoted = |quote| name.len() > 1 && name.starts_with(quote) && name.ends_with(quote);
    !name.is_empty() && (!name.contains([' ', '\t']) || is_quoted('"') || is_quoted('\''))
}

/// What is to be known of a job.
struct Job<'l> {
    schedule: String,
    user: &'l str,
    /// Whether it is for a day that there is.
    comes: bool,
}

/// The job of a line; none of a line that is none.
fn job(line: &str) -> Option<Job<'_>> {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.split_once([' ', '\t'])?;
        rest = after.trim_start_matches([' ', '\t']);
        Some(word)
    };
    let schedule: Vec<&str> = (0..fields).map(|_| word()).collect::<Option<_>>()?;
    let user = word()?;
    let schedule = schedule.join(" ");
    let comes = cron::comes(&schedule).filter(|_| !rest.is_empty())?;
    Some(Job { schedule, user, comes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_name_their_users_and_other_lines_are_none() {
        let job = |line| job(line).map(|job| job.user);
        assert_eq!(job("15 3 * * mon\troot  /bin/true x"), Some("root"));
        assert_eq!(job("@daily backup run"), Some("backup"));
        for line in ["15 3 * * root /bin/true", "* * * * * root", "@often root x", "* * * * *", "x"]
        {
            assert_eq!(job(line), None, "{line}");
        }
        for line in ["A=b", "A = b c", "\"A B\"=c", "PATH=/bin:/usr/bin"] {
            assert!(is_assignment(line), "{line}");
        }
        assert!(!is_assignment("* * * * * root A=b x"));
    }
}
