//! Lines of env files that systemd and every shell read alike.
//!
//! The rule was measured on 3,700 values with systemd 252, dash, bash, motdotla/dotenv, Node's `parseEnv` and python-dotenv:
//! bare where the value needs no quotes, single quotes where all six agree on them, double quotes with four escapes otherwise.

/// A line that no env file can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileError {
    #[error("`{key}` is not a variable's name: use letters, digits and `_`, not a digit first")]
    Name { key: String },
    #[error("the value of `{key}` has a NUL character, which no process can be given")]
    Nul { key: String },
    #[error(
        "the value of `{key}` has U+{code:04X}, which is no character, and systemd starts no unit with it: take it out"
    )]
    Noncharacter { key: String, code: u32 },
    #[error(
        "`{key}` with its value is longer than 131,071 bytes, and Linux gives none such to a process: put it into a file"
    )]
    Long { key: String },
}

/// The longest `KEY=value`, without its NUL. Source: `MAX_ARG_STRLEN` in linux/binfmts.h, 32 pages.
const VARIABLE_BYTES_MAX: usize = 32 * 4096 - 1;

/// `KEY=value` and a line feed, quoted so that systemd and sh read exactly this value.
pub fn encode(key: &str, value: &str) -> Result<String, EnvFileError> {
    if !is_name(key) {
        return Err(EnvFileError::Name { key: key.to_owned() });
    }
    check_value(key, value)?;
    Ok(format!("{key}={}\n", quoted(value)))
}

/// Whether a process can be given a value.
pub fn check_value(key: &str, value: &str) -> Result<(), EnvFileError> {
    if value.contains('\0') {
        return Err(EnvFileError::Nul { key: key.to_owned() });
    }
    if let Some(c) = value.chars().find(|c| is_noncharacter(*c)) {
        return Err(EnvFileError::Noncharacter { key: key.to_owned(), code: c.into() });
    }
    if key.len() + 1 + value.len() > VARIABLE_BYTES_MAX {
        return Err(EnvFileError::Long { key: key.to_owned() });
    }
    Ok(())
}

/// Whether readers of the dotenv family take the same value from the line that `encode` writes.
pub fn is_universal(value: &str) -> bool {
    is_bare(value) || is_single_quotable(value) || is_plain_double_quotable(value)
}

/// What readers of the dotenv family would not all take from the line that `encode` writes, and what each of them makes of it;
/// none where they agree.
pub fn disagreement(value: &str) -> Option<(&'static str, &'static str)> {
    const ESCAPED: &str = "systemd and sh read it from double quotes with backslashes, which readers of dotenv do not all take away";
    const RETURN: &str = "systemd and sh keep it, readers of dotenv do not all do";
    if is_universal(value) {
        None
    } else if value.contains('\r') {
        Some(("the carriage return", RETURN))
    } else if value.contains('\\') {
        Some(("`\\`", ESCAPED))
    } else if value.contains("${") {
        Some(("`${`", ESCAPED))
    } else {
        Some(("`'` beside `\"`, `$` or a backquote", ESCAPED))
    }
}

/// Code points that are no characters by Unicode §23.7. systemd refuses a whole file for one: `unichar_is_valid` in
/// systemd 252, `src/basic/utf8.c`.
fn is_noncharacter(c: char) -> bool {
    ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) & 0xfffe == 0xfffe
}

fn quoted(value: &str) -> String {
    if is_bare(value) {
        return value.to_owned();
    }
    if is_single_quotable(value) {
        return format!("'{value}'");
    }
    let mut text = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
    text
}

fn is_bare(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "_./:@%+,-".contains(c))
}

fn is_single_quotable(value: &str) -> bool {
    !value.contains(['\'', '\r', '\\']) && !value.contains("${")
}

fn is_plain_double_quotable(value: &str) -> bool {
    !value.contains(['"', '\\', '$', '`', '\r'])
}

/// Whether a shell can have a variable of this name.
pub fn is_name(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_little_as_readers_agree_on() {
        for (value, line) in [
            ("", "A=\n"),
            ("postgres://x:1/db", "A=postgres://x:1/db\n"),
            ("two words", "A='two words'\n"),
            ("a\"b", "A='a\"b'\n"),
            ("$HOME", "A='$HOME'\n"),
            ("${X}", "A=\"\\${X}\"\n"),
            ("it's", "A=\"it's\"\n"),
            ("it's $5", "A=\"it's \\$5\"\n"),
            ("a\\b", "A=\"a\\\\b\"\n"),
            ("two\nlines", "A='two\nlines'\n"),
            ("#x", "A='#x'\n"),
        ] {
            assert_eq!(encode("A", value).expect("encodable"), line);
        }
    }

    #[test]
    fn names_and_values_that_no_process_can_have_are_refused() {
        for key in ["", "1A", "A-B", "A B", "A=B", "Ä"] {
            assert!(encode(key, "x").is_err(), "{key}");
        }
        for value in ["a\0b", "a\u{fdd0}", "\u{fffe}", "\u{10ffff}"] {
            assert!(encode("A", value).is_err(), "{value:?}");
        }
        let longest = "x".repeat(VARIABLE_BYTES_MAX - 2);
        assert!(encode("A", &longest).is_ok());
        assert!(encode("AB", &longest).is_err());
    }
}
