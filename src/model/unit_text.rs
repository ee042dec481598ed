//! The text of a unit as systemd reads it: lines that mean something, each with its place, and the words of commands.
//!
//! Source: systemd 252, `config_parse` in src/shared/conf-parser.c and `extract_first_word` in src/basic/extract-word.c.

use std::{ops::Range, str::Chars};

/// What a line of a unit's text says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnitLine {
    Section {
        name: String,
    },
    /// The section is empty before the first `[Section]`.
    Directive {
        section: String,
        key: String,
        value: String,
    },
    /// Neither: systemd warns, and goes on without it.
    Neither,
}

/// Every line that is no comment and not empty. Its place is the bytes of what it says, as far as the end of its first line
/// where it goes on.
pub fn unit_lines(text: &str) -> Vec<(Range<usize>, UnitLine)> {
    let mut found = Vec::new();
    let mut section = String::new();
    let mut open: Option<(Range<usize>, String)> = None;
    for span in physical_lines(text) {
        let line = &text[span.clone()];
        if line.trim_start_matches(is_blank).starts_with(['#', ';']) {
            continue;
        }
        let (place, mut logical) =
            open.take().unwrap_or_else(|| (trimmed(text, span), String::new()));
        logical.push_str(line);
        if ends_in_escape(&logical) {
            logical.pop();
            logical.push(' ');
            open = Some((place, logical));
            continue;
        }
        found.extend(meaning(&logical, &mut section).map(|line| (place, line)));
    }
    if let Some((place, logical)) = open {
        found.extend(meaning(&logical, &mut section).map(|line| (place, line)));
    }
    found
}

/// A carriage return ends a line as well, and one before a line feed is a part of it.
fn physical_lines(text: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let start = next?;
        let end = text[start..].find(['\n', '\r', '\0']).map(|n| start + n);
        next = end.map(|end| if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 });
        Some(start..end.unwrap_or(text.len()))
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let line = &text[span.clone()];
    let start = span.end - line.trim_start_matches(is_blank).len();
    let end = span.start + line.trim_end_matches(is_blank).len();
    start..end.max(start)
}

/// Whether the last character is a backslash that nothing before it escapes.
fn ends_in_escape(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn meaning(line: &str, section: &mut String) -> Option<UnitLine> {
    let line = line.trim_matches(is_blank);
    if line.is_empty() {
        return None;
    }
    if line.starts_with('[') {
        let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return Some(UnitLine::Neither);
        };
        name.clone_into(section);
        return Some(UnitLine::Section { name: name.to_owned() });
    }
    Some(match line.split_once('=') {
        None | Some(("", _)) => UnitLine::Neither,
        Some((key, value)) => UnitLine::Directive {
            section: section.clone(),
            key: key.trim_matches(is_blank).to_owned(),
            value: value.trim_matches(is_blank).to_owned(),
        },
    })
}

/// The words of a value, its quotes and escapes taken away; none when a quote is left open.
pub fn unit_words(value: &str) -> Option<Vec<String>> {
    first_words(value, usize::MAX)
}

/// No more than so many of them; what stands behind is not read.
pub fn first_words(value: &str, count: usize) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = value.chars();
    while words.len() < count
        && let Some(word) = next_word(&mut rest).ok()?
    {
        words.push(word);
    }
    Some(words)
}

/// The commands of an `Exec…=` line, which a `;` of its own parts; none when a quote is left open.
pub fn unit_commands(value: &str) -> Option<Vec<Vec<String>>> {
    let mut commands = vec![Vec::new()];
    let mut rest = value.chars();
    loop {
        skip_blanks(&mut rest);
        let text = rest.as_str();
        let is_alone = |mark: &str| {
            text.strip_prefix(mark)
                .is_some_and(|after| after.is_empty() || after.starts_with(is_blank))
        };
        let last = commands.last_mut()?;
        if is_alone("\\;") {
            last.push(";".to_owned());
            rest = text[2..].chars();
        } else if is_alone(";") {
            commands.push(Vec::new());
            rest = text[1..].chars();
        } else {
            match next_word(&mut rest).ok()? {
                Some(word) => last.push(word),
                None => break,
            }
        }
    }
    commands.retain(|command| !command.is_empty());
    Some(commands)
}

fn skip_blanks(rest: &mut Chars<'_>) {
    *rest = rest.as_str().trim_start_matches(is_blank).chars();
}

/// A quote that is never closed.
struct OpenQuote;

/// The next word, if there is one.
fn next_word(rest: &mut Chars<'_>) -> Result<Option<String>, OpenQuote> {
    skip_blanks(rest);
    if rest.as_str().is_empty() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let mut quote = None;
    while let Some(c) = rest.next() {
        match (c, quote) {
            ('\\', _) => unescape(rest, &mut bytes),
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if is_blank(c) => break,
            (c, _) => push(c, &mut bytes),
        }
    }
    if quote.is_some() {
        return Err(OpenQuote);
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
}

/// One escape, its backslash being read; what is none stays as it is. Source: `cunescape_one` in src/basic/escape.c.
fn unescape(rest: &mut Chars<'_>, bytes: &mut Vec<u8>) {
    let text = rest.as_str();
    let Some(c) = rest.next() else { return bytes.push(b'\\') };
    let by_number = |digits: usize, skip: usize, radix: u32| {
        let digits = text.get(skip..skip + digits)?;
        let number = digits.bytes().all(|b| char::from(b).is_digit(radix));
        number.then(|| u32::from_str_radix(digits, radix).ok()).flatten().filter(|n| *n != 0)
    };
    let (byte, character, length) = match c {
        'a' => (Some(0x07), None, 1),
        'b' => (Some(0x08), None, 1),
        'f' => (Some(0x0c), None, 1),
        'n' => (Some(b'\n'), None, 1),
        'r' => (Some(b'\r'), None, 1),
        't' => (Some(b'\t'), None, 1),
        'v' => (Some(0x0b), None, 1),
        's' => (Some(b' '), None, 1),
        '\\' | '"' | '\'' => (u8::try_from(c).ok(), None, 1),
        'x' => (by_number(2, 1, 16).and_then(|n| u8::try_from(n).ok()), None, 3),
        '0'..='7' => (by_number(3, 0, 8).and_then(|n| u8::try_from(n).ok()), None, 3),
        'u' => (None, by_number(4, 1, 16).and_then(char::from_u32), 5),
        'U' => (None, by_number(8, 1, 16).and_then(char::from_u32), 9),
        _ => (None, None, 0),
    };
    match (byte, character) {
        (Some(byte), _) => bytes.push(byte),
        (_, Some(c)) => push(c, bytes),
        (None, None) => {
            bytes.push(b'\\');
            return push(c, bytes);
        }
    }
    *rest = text[length..].chars();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(text: &str) -> Vec<(String, String)> {
        let of = |(_, line)| match line {
            UnitLine::Directive { section, key, value } => {
                Some((format!("{section}.{key}"), value))
            }
            UnitLine::Section { .. } | UnitLine::Neither => None,
        };
        unit_lines(text).into_iter().filter_map(of).collect()
    }

    #[test]
    fn a_line_goes_on_after_a_backslash_that_nothing_escapes() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let text = "[S]\r\nA=1\\\n# between\n 2\nB=x\\\\\nC = 3 \\";
        assert_eq!(directives(text), [pair("S.A", "1  2"), pair("S.B", "x\\\\"), pair("S.C", "3")]);
        assert_eq!(directives("A=1\rB=2"), [pair(".A", "1"), pair(".B", "2")]);
    }

    #[test]
    fn every_line_is_told_by_its_place() {
        let text = "[Unit]\n\n  Description=x  \n[broken\n=y\nz\n";
        let lines = unit_lines(text);
        let places: Vec<&str> = lines.iter().map(|(span, _)| &text[span.clone()]).collect();
        assert_eq!(places, ["[Unit]", "Description=x", "[broken", "=y", "z"]);
        assert!(lines[2..].iter().all(|(_, line)| *line == UnitLine::Neither));
    }

    #[test]
    fn words_lose_their_quotes_and_escapes() {
        let words = unit_words(r#" a 'b c' "d\"e" f"g h"i \x41\u00e9\101 "" \d \"#);
        let wanted = ["a", "b c", "d\"e", "fg hi", "A\u{e9}A", "", "\\d", "\\"];
        assert_eq!(words, Some(wanted.map(str::to_owned).to_vec()));
        assert_eq!(unit_words("a 'b"), None);
    }

    #[test]
    fn a_semicolon_of_its_own_parts_commands() {
        let commands = unit_commands(r#"/a b ; /c ";" \; d;e"#).expect("its quotes are closed");
        assert_eq!(commands, [vec!["/a", "b"], vec!["/c", ";", ";", "d;e"]]);
        assert_eq!(unit_commands("; /a ; ;"), Some(vec![vec!["/a".to_owned()]]));
    }
}
