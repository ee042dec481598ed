//! `users.NAME.sudo`: a line of sudoers. Source: sudoers(5); what is escaped and what is refused was measured with
//! cvtsudoers(1) of sudo 1.9.13, one character at a time.

use crate::{
    compile::{
        report::{Code, Mistake},
        source::Value,
        view::{Located, View},
    },
    model::{AccountName, GuestPath},
};

/// The user's file; none when it may do nothing as root.
pub fn read(view: &View<'_>, user: &AccountName) -> Option<String> {
    let allowed = match &view.node("sudo")?.value {
        Value::Boolean(all) => all.then(|| "ALL".to_owned())?,
        _ => commands(view)?,
    };
    Some(format!("{user} ALL=(ALL:ALL) NOPASSWD: {allowed}\n"))
}

fn commands(view: &View<'_>) -> Option<String> {
    let texts = view.texts("sudo");
    let commands: Vec<_> = texts.iter().map(|text| command(view, text)).collect();
    let commands: Option<Vec<_>> = commands.into_iter().collect();
    commands.filter(|commands| !commands.is_empty()).map(|commands| commands.join(", "))
}

fn command(view: &View<'_>, text: &Located<String>) -> Option<String> {
    let refuse = |why: &str, help: &str| {
        let title = format!("`{}` {why}", text.value);
        view.report(Mistake::new(Code::BadSudoCommand, text.at, title).help(help));
        None
    };
    let words: Vec<_> = text.value.split(' ').filter(|word| !word.is_empty()).collect();
    let Some((program, arguments)) = words.split_first() else {
        return refuse("is no command", "write a program and its arguments, or take it out");
    };
    if program.parse::<GuestPath>().is_err() {
        let help = "begin with the absolute path of a program; `sudo = true` allows everything";
        return refuse("names no program that sudo could find", help);
    }
    let any = *arguments == ["*"];
    let exact = |word: &&str| word.chars().all(|c| c.is_ascii_graphic() && !REFUSED.contains(c));
    if !exact(program) || !any && !arguments.iter().all(exact) {
        let help =
            "name each command in full, or put it into a script; `PROGRAM *` allows any arguments";
        return refuse("has characters that sudo would read as a pattern, or not at all", help);
    }
    // A command alone would let any arguments pass: sudoers(5).
    let arguments = match (any, arguments) {
        (true, _) => String::new(),
        (false, []) => " \"\"".to_owned(),
        (false, words) => format!(" {}", escaped(&words.join(" "))),
    };
    Some(escaped(program) + &arguments)
}

/// What is a pattern, an exception or a quote: there is no form of it that means itself alone.
const REFUSED: &str = "*?[]\\^!\"'";
/// What ends a command, or a comment begins with.
const ESCAPED: &str = ",:=#";

fn escaped(text: &str) -> String {
    let escape = |c: char| if ESCAPED.contains(c) { format!("\\{c}") } else { c.to_string() };
    text.chars().map(escape).collect()
}
