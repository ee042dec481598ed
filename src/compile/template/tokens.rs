//! The brackets of a template and the tokens within them.

use std::{iter, ops::Range};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    Path(&'a str),
    Literal,
    /// A text whose closing quote is missing: the rest of the template.
    OpenText(u8),
    Sign(u8),
}

/// A token and where it stands.
pub type Spanned<'a> = (Token<'a>, Range<usize>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// `{{ … }}`
    Value,
    /// `{% … %}`
    Statement,
    /// `{# … #}`
    Comment,
}

/// What stands in brackets.
#[derive(Debug)]
pub struct Tag<'a> {
    pub sort: Sort,
    pub open: usize,
    pub is_closed: bool,
    /// None of a comment; else the closing bracket is the last of them.
    pub tokens: Vec<Spanned<'a>>,
}

impl<'a> Tag<'a> {
    /// The first word of a statement, and what follows it.
    pub fn statement(&self) -> Option<(&'a str, Range<usize>, &[Spanned<'a>])> {
        let tokens = match &self.tokens[..] {
            [(Token::Sign(b'-'), _), rest @ ..] => rest,
            all => all,
        };
        match tokens {
            [(Token::Path(word), span), rest @ ..] if self.sort == Sort::Statement => {
                Some((word, span.clone(), rest))
            }
            _ => None,
        }
    }
}

/// The brackets of a template, in order; none of what stands between `raw` and `endraw`.
pub fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    let mut position = 0;
    iter::from_fn(move || {
        let open = find_open(text, position)?;
        let (tag, end) = match text.as_bytes()[open + 1] {
            b'#' => comment(text, open),
            b'%' => bracket(text, open, Sort::Statement),
            _ => bracket(text, open, Sort::Value),
        };
        let is_raw = tag.statement().is_some_and(|(word, ..)| word == "raw");
        position = if is_raw { start_of_endraw(text, end) } else { end };
        Some(tag)
    })
}

fn find_open(text: &str, from: usize) -> Option<usize> {
    let is_open = |at: &usize| opens(&text.as_bytes()[*at..]);
    (from..text.len()).find(is_open)
}

fn opens(bytes: &[u8]) -> bool {
    matches!(bytes, [b'{', b'{' | b'%' | b'#', ..])
}

fn comment(text: &str, open: usize) -> (Tag<'_>, usize) {
    let end = text[open + 2..].find("#}").map(|n| open + 2 + n + 2);
    let tokens = Vec::new();
    let tag = Tag { sort: Sort::Comment, open, is_closed: end.is_some(), tokens };
    (tag, end.unwrap_or(text.len()))
}

fn bracket(text: &str, open: usize, sort: Sort) -> (Tag<'_>, usize) {
    let (tokens, is_closed) = tokens(text, open + 2);
    let end = tokens.last().map_or(open + 2, |(_, span)| span.end);
    (Tag { sort, open, is_closed, tokens }, end)
}

/// Where the `{% endraw %}` begins.
fn start_of_endraw(text: &str, from: usize) -> usize {
    let is_end = |(_, after): &(usize, &str)| {
        after[2..].trim_start_matches('-').trim_start().starts_with("endraw")
    };
    let statements = text[from..].match_indices("{%").map(|(n, _)| (from + n, &text[from + n..]));
    statements.into_iter().find(is_end).map_or(text.len(), |(at, _)| at)
}

/// The tokens up to and with the closing `}}` or `%}`, and whether there is one. No bracket opens within another.
fn tokens(text: &str, from: usize) -> (Vec<Spanned<'_>>, bool) {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = from;
    while at < bytes.len() && !opens(&bytes[at..]) {
        let start = at;
        let token = match bytes[at] {
            b'}' | b'%' if bytes.get(at + 1) == Some(&b'}') => {
                found.push((Token::Sign(b'}'), at..at + 2));
                return (found, true);
            }
            quote @ (b'"' | b'\'' | b'`') => {
                let end = end_of_text(bytes, at + 1, quote);
                at = end.unwrap_or(bytes.len());
                end.map_or(Token::OpenText(quote), |_| Token::Literal)
            }
            b'0'..=b'9' => {
                while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'.') {
                    at += 1;
                }
                Token::Literal
            }
            b if is_letter(b) => {
                at = end_of_path(bytes, at);
                Token::Path(&text[start..at])
            }
            sign => {
                at += 1;
                if sign.is_ascii_whitespace() {
                    continue;
                }
                Token::Sign(sign)
            }
        };
        found.push((token, start..at));
    }
    (found, false)
}

fn end_of_text(bytes: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    while *bytes.get(at)? != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn end_of_path(bytes: &[u8], mut at: usize) -> usize {
    loop {
        while bytes.get(at).is_some_and(|b| is_letter(*b) || b.is_ascii_digit()) {
            at += 1;
        }
        if bytes.get(at) != Some(&b'.') || !bytes.get(at + 1).is_some_and(|b| is_letter(*b)) {
            return at;
        }
        at += 1;
    }
}
