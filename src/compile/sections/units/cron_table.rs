//! Tables of cron that definitions write as files: cron leaves out a whole table, with a line in its log, for one fault.
//!
//! Source: cron(8), NOTES.

use super::{cron, days};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::{
            overlay::{Item, Overlay},
            owners::Accounts,
        },
        source::At,
        view::View,
    },
    model::CronLine,
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
    match CronLine::of(line) {
        CronLine::Nothing | CronLine::Assignment { .. } => return,
        CronLine::Job { schedule, user, .. } => {
            if let Some(comes) = cron::comes(&schedule) {
                accounts.check(stack, user, true, at);
                if !comes {
                    stack.report(days::never(&schedule, at));
                }
                return;
            }
        }
        CronLine::Neither => {}
    }
    let title = format!("cron can read no job in `{}`", line.trim_matches([' ', '\t']));
    let help = "write a schedule, a user and a command: \"15 3 * * * root /usr/local/bin/backup\"";
    stack.report(Mistake::new(Code::BadSchedule, at, title).help(help));
}
