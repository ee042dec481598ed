//! Values as a unit's text holds them: what systemd reads from a line is exactly what was given, or it is refused.
//!
//! Sources: systemd.syntax(7), QUOTING; systemd.service(5), COMMAND LINES; systemd.unit(5), SPECIFIERS.

use std::fmt::Write as _;

/// A value that a unit cannot hold as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoForm {
    #[error("a unit's line cannot have a line feed or another control character")]
    Control,
    #[error("a unit's line cannot end in a backslash: it would go on in the next one")]
    Backslash,
    #[error("systemd takes away blanks at both ends of a line")]
    Blanks,
    #[error("an empty line of a unit takes back what was said before")]
    Empty,
    #[error("a command begins with the absolute path of a program")]
    Relative,
    #[error(
        "systemd runs no program whose path has quotes, backslashes, `$` or control characters"
    )]
    Program,
}

/// A line that systemd takes as it is, but for `%`.
pub fn literal(text: &str) -> Result<String, NoForm> {
    raw(text).map(|text| text.replace('%', "%%"))
}

/// A line that systemd reads by its own rules, `%` and quotes included.
pub fn raw(text: &str) -> Result<&str, NoForm> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        Err(NoForm::Control)
    } else if text.ends_with('\\') {
        Err(NoForm::Backslash)
    } else if text.is_empty() {
        Err(NoForm::Empty)
    } else if text.trim() != text {
        Err(NoForm::Blanks)
    } else {
        Ok(text)
    }
}

/// A program and its arguments, which systemd neither splits nor expands.
pub fn command<T: AsRef<str>>(argv: &[T]) -> Result<String, NoForm> {
    command_with(argv, &[])
}

/// The same of a command for a service that runs: `$MAINPID` alone is the service's process.
pub fn control_command<T: AsRef<str>>(argv: &[T]) -> Result<String, NoForm> {
    command_with(argv, &["$MAINPID"])
}

fn command_with<T: AsRef<str>>(argv: &[T], expanded: &[&str]) -> Result<String, NoForm> {
    let mut words = argv.iter().map(AsRef::as_ref);
    let program = words.next().filter(|word| word.starts_with('/')).ok_or(NoForm::Relative)?;
    if program.chars().any(|c| c.is_control() || "\"'\\$".contains(c)) {
        return Err(NoForm::Program);
    }
    let mut line = word(program)?;
    for argument in words {
        line.push(' ');
        if expanded.contains(&argument) {
            line.push_str(argument);
        } else {
            line.push_str(&word(&argument.replace('$', "$$"))?);
        }
    }
    Ok(line)
}

/// A variable of `Environment=`.
pub fn assignment(name: &str, value: &str) -> Result<String, NoForm> {
    word(&format!("{name}={value}"))
}

/// One word of a line, in quotes where it needs them.
pub fn word(text: &str) -> Result<String, NoForm> {
    if text.contains('\0') {
        return Err(NoForm::Control);
    }
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"\"'\\;".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.replace('%', "%%"));
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '%' => quoted.push_str("%%"),
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => {
                write!(quoted, "\\x{:02x}", u32::from(c)).expect("text takes all");
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// Sections with their lines, one after another; a section's name stands where it changes.
pub fn text<'a>(lines: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> String {
    let mut text = String::new();
    let mut open = "";
    for (section, key, value) in lines {
        if section != open {
            let gap = if open.is_empty() { "" } else { "\n" };
            writeln!(text, "{gap}[{section}]").expect("text takes all");
            open = section;
        }
        writeln!(text, "{key}={value}").expect("text takes all");
    }
    text
}
