//! What operators may do as root, where they log in as another user: stackc runs all of its commands by `sudo -n`.
//!
//! Source: sudoers(5): of several rules for a command the last one counts, and so it is with settings.

use super::{Login, Text};
use crate::compile::{
    report::{Code, Mistake},
    sections::overlay::Overlay,
    source::At,
    view::View,
};

const FOLDER: &str = "/etc/sudoers.d/";

pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    if login.user == "root" {
        return;
    }
    let own = format!("{FOLDER}stackc-{}", login.user);
    let in_order = overlay.items.keys().filter(|path| path.as_str().starts_with(FOLDER));
    let (mut terminal, mut password) = (None, None);
    for path in in_order {
        let Some(text) = super::text_of(overlay, path.as_str()) else { continue };
        let is_after =
            overlay.items.keys().any(|other| other.as_str() == own) && path.as_str() > own.as_str();
        for line in text.lines() {
            terminal = requires_terminal(line, login.user)
                .map_or(terminal, |is_so| is_so.then(|| place(stack, &text, line)));
            let asks = asks_password(line, login.user).filter(|_| is_after);
            password = asks.map_or(password, |is_so| is_so.then(|| place(stack, &text, line)));
        }
    }
    let terminal = terminal.map(|found| (found, "take it out: stackc has no terminal there"));
    let help = "add `NOPASSWD:`, or take it out: this rule counts instead of the user's own one";
    let password = password.map(|found| (found, help));
    for ((line, at), help) in terminal.into_iter().chain(password) {
        let title = format!("`{line}` keeps operators from working as root");
        stack.report(Mistake::new(Code::SshdShutsOut, at, title).help(help));
    }
}

fn place<'t>(stack: &View<'_>, text: &Text<'t>, line: &'t str) -> (&'t str, At) {
    (line.trim(), text.place(stack, line))
}

/// Whether a line of settings says that a user needs a terminal; none when it says nothing of that.
fn requires_terminal(line: &str, user: &str) -> Option<bool> {
    let (whose, settings) = line.trim().split_once([' ', '\t'])?;
    let is_for_user = whose == "Defaults" || whose.strip_prefix("Defaults:") == Some(user);
    let mut said = settings.split(',').map(str::trim).filter(|word| word.ends_with("requiretty"));
    said.next_back().filter(|_| is_for_user).map(|word| !word.starts_with('!'))
}

/// Whether a rule for every command asks a user for a password; none of a line that is no such rule.
fn asks_password(line: &str, user: &str) -> Option<bool> {
    let (who, rest) = line.trim().split_once([' ', '\t'])?;
    let (hosts, command) = rest.split_once('=')?;
    let command = command.trim();
    let command = match command.strip_prefix('(') {
        Some(rest) => {
            let (whom, command) = rest.split_once(')')?;
            whom.starts_with("ALL").then_some(command.trim())?
        }
        None => command,
    };
    let (tags, program) = command.rsplit_once(':').unwrap_or(("", command));
    let is_rule = [user, "ALL"].contains(&who) && hosts.trim() == "ALL" && program.trim() == "ALL";
    is_rule.then(|| !tags.split(':').any(|tag| tag.trim() == "NOPASSWD"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_for_everything_asks_for_a_password_unless_it_says_not_to() {
        assert_eq!(asks_password("deploy ALL=(ALL:ALL) ALL", "deploy"), Some(true));
        assert_eq!(asks_password("ALL\tALL = PASSWD: ALL", "deploy"), Some(true));
        assert_eq!(asks_password("deploy ALL=(ALL) SETENV:NOPASSWD: ALL", "deploy"), Some(false));
        for line in
            ["# deploy", "other ALL=(ALL) ALL", "deploy ALL=/bin/ls", "deploy ALL=(www) ALL"]
        {
            assert_eq!(asks_password(line, "deploy"), None, "{line}");
        }
    }

    #[test]
    fn settings_are_for_everybody_or_for_a_user() {
        assert_eq!(requires_terminal("Defaults env_reset, requiretty", "deploy"), Some(true));
        assert_eq!(requires_terminal("Defaults:deploy !requiretty", "deploy"), Some(false));
        assert_eq!(requires_terminal("Defaults:other requiretty", "deploy"), None);
        assert_eq!(requires_terminal("Defaults lecture=never", "deploy"), None);
    }
}
