//! The names that a template uses, in any position.
//!
//! Tera itself refuses an undefined `{{ x }}`, but lets `{% if x %}` and `{{ x ~ 'a' }}` pass in silence. So the names are read
//! here, with the loops around them, and each is looked up before anything is rendered.

use super::template::Scope;
use serde_json::Value;
use std::ops::Range;

/// What happens to names along a template.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Name(Name),
    /// A loop begins: its variables, and the path that it walks when it is no more than a path.
    Loop {
        variables: Vec<String>,
        over: Option<Vec<String>>,
    },
    LoopEnd,
    Set(String),
}

/// A name such as `ports.backend`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    pub path: String,
    pub span: Range<usize>,
}

/// Something that templates of stackc do not have.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub message: String,
    pub span: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Path(&'a str),
    Literal,
    Sign(u8),
}

const WORDS: [&str; 22] = [
    "and", "or", "not", "in", "is", "if", "elif", "else", "endif", "for", "endfor", "set", "true",
    "false", "True", "False", "none", "None", "null", "raw", "endraw", "loop",
];
const REFUSED: [&str; 10] = [
    "include",
    "extends",
    "block",
    "import",
    "component",
    "macro",
    "set_global",
    "filter",
    "break",
    "continue",
];

/// Reads the names of a template.
pub fn read(text: &str) -> Result<Vec<Event>, Refused> {
    let mut events = Vec::new();
    let mut position = 0;
    while let Some(open) = find_open(text, position) {
        let inside = open + 2;
        let is_comment = text[open..].starts_with("{#");
        let tokens = if is_comment { Vec::new() } else { tokens(text, inside) };
        position = if is_comment {
            text[inside..].find("#}").map_or(text.len(), |n| inside + n + 2)
        } else {
            tokens.last().map_or(inside, |(_, span)| span.end)
        };
        if text[open..].starts_with("{%") {
            if statement(&tokens, &mut events)? == Some("raw") {
                position = end_of_raw(text, position);
            }
        } else {
            expression(&tokens, &mut events);
        }
    }
    Ok(events)
}

fn find_open(text: &str, from: usize) -> Option<usize> {
    let opens = ["{{", "{%", "{#"];
    opens.iter().filter_map(|open| text[from..].find(open)).min().map(|n| from + n)
}

fn end_of_raw(text: &str, from: usize) -> usize {
    let end = text[from..].find("endraw").map_or(text.len(), |n| from + n);
    text[end..].find("%}").map_or(text.len(), |n| end + n + 2)
}

/// The tokens up to the closing `}}` or `%}`; the closing bracket is the last of them.
fn tokens(text: &str, from: usize) -> Vec<(Token<'_>, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = from;
    while at < bytes.len() {
        let start = at;
        let token = match bytes[at] {
            b'}' | b'%' if bytes.get(at + 1) == Some(&b'}') => {
                found.push((Token::Sign(b'}'), at..at + 2));
                return found;
            }
            quote @ (b'"' | b'\'' | b'`') => {
                at += 1;
                while at < bytes.len() && bytes[at] != quote {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
                Token::Literal
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
        found.push((token, start..at.min(bytes.len())));
    }
    found
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

/// A `{% … %}`: its first word, when it is `raw`.
fn statement(
    tokens: &[(Token<'_>, Range<usize>)],
    events: &mut Vec<Event>,
) -> Result<Option<&'static str>, Refused> {
    let tokens = match tokens {
        [(Token::Sign(b'-'), _), rest @ ..] => rest,
        all => all,
    };
    let [(Token::Path(word), span), rest @ ..] = tokens else { return Ok(None) };
    match *word {
        "for" => begin_loop(rest, events),
        "endfor" => events.push(Event::LoopEnd),
        "set" => {
            let skip = usize::from(rest.len() > 2) * 2;
            expression(&rest[skip..], events);
            if let Some((Token::Path(name), _)) = rest.first() {
                events.push(Event::Set((*name).to_owned()));
            }
        }
        "raw" => return Ok(Some("raw")),
        word if REFUSED.contains(&word) => {
            let message = format!("templates of stackc have no `{word}`");
            return Err(Refused { message, span: span.clone() });
        }
        _ => expression(rest, events),
    }
    Ok(None)
}

fn begin_loop(tokens: &[(Token<'_>, Range<usize>)], events: &mut Vec<Event>) {
    let is_in = |(token, _): &(Token<'_>, _)| *token == Token::Path("in");
    let split = tokens.iter().position(is_in).unwrap_or(tokens.len());
    let (before, after) = tokens.split_at(split);
    let variables = before.iter().filter_map(|(token, _)| match token {
        Token::Path(name) => Some((*name).to_owned()),
        _ => None,
    });
    let over = match after.iter().map(|(token, _)| *token).collect::<Vec<_>>().as_slice() {
        [_, Token::Path(path), Token::Sign(b'}')]
        | [_, Token::Path(path), Token::Sign(b'-'), Token::Sign(b'}')] => {
            Some(path.split('.').map(str::to_owned).collect())
        }
        _ => None,
    };
    expression(after, events);
    events.push(Event::Loop { variables: variables.collect(), over });
}

/// Collects the names of an expression; filters, tests, functions and names of arguments are none.
fn expression(tokens: &[(Token<'_>, Range<usize>)], events: &mut Vec<Event>) {
    for (n, (token, span)) in tokens.iter().enumerate() {
        let Token::Path(path) = token else { continue };
        let before = n.checked_sub(1).map(|n| tokens[n].0);
        let after = tokens.get(n + 1).map(|(token, _)| *token);
        let later = tokens.get(n + 2).map(|(token, _)| *token);
        let is_test = before == Some(Token::Path("is"))
            || before == Some(Token::Path("not")) && n >= 2 && tokens[n - 2].0 == Token::Path("is");
        let is_argument = after == Some(Token::Sign(b'='))
            && later != Some(Token::Sign(b'='))
            && matches!(before, Some(Token::Sign(b'(' | b',')));
        let is_called = before == Some(Token::Sign(b'|')) || after == Some(Token::Sign(b'('));
        let root = path.split('.').next().unwrap_or(path);
        // `a[0].b`: what follows the bracket is checked by rendering.
        let is_continued = before == Some(Token::Sign(b'.'));
        if !(WORDS.contains(&root) || is_test || is_argument || is_called || is_continued) {
            events.push(Event::Name(Name { path: (*path).to_owned(), span: span.clone() }));
        }
    }
}

/// A variable of a loop or of `set`: the values that it may have, when they are known.
struct Local<'a> {
    name: &'a str,
    values: Option<Vec<&'a Value>>,
}

/// The names that do not exist.
pub fn unknown(events: &[Event], scope: &Scope) -> Vec<Name> {
    let mut locals: Vec<Vec<Local<'_>>> = vec![Vec::new()];
    let mut unknown = Vec::new();
    for event in events {
        match event {
            Event::Name(name) => {
                let path: Vec<_> = name.path.split('.').collect();
                if look_up(&path, &locals, scope).is_err() {
                    unknown.push(name.clone());
                }
            }
            Event::Loop { variables, over } => {
                let values = over.as_ref().and_then(|path| {
                    let path: Vec<_> = path.iter().map(String::as_str).collect();
                    look_up(&path, &locals, scope).ok().flatten()
                });
                locals.push(bind(variables, values));
            }
            Event::LoopEnd => {
                locals.pop();
            }
            Event::Set(name) => {
                if let Some(inner) = locals.last_mut() {
                    inner.push(Local { name, values: None });
                }
            }
        }
    }
    unknown
}

fn bind<'a>(variables: &'a [String], over: Option<Vec<&'a Value>>) -> Vec<Local<'a>> {
    let elements = over.map(|values| {
        values
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect::<Vec<_>>(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            })
            .collect()
    });
    let mut locals: Vec<_> = variables.iter().map(|name| Local { name, values: None }).collect();
    if let Some(last) = locals.last_mut() {
        last.values = elements;
    }
    locals
}

/// The values of a path, when they are known; an error when it does not exist.
fn look_up<'a>(
    path: &[&str],
    locals: &[Vec<Local<'a>>],
    scope: &'a Scope,
) -> Result<Option<Vec<&'a Value>>, ()> {
    let (root, rest) = path.split_first().ok_or(())?;
    let local = locals.iter().rev().flatten().find(|local| local.name == *root);
    let roots = match local {
        Some(Local { values: None, .. }) => return Ok(None),
        Some(Local { values: Some(values), .. }) => values.clone(),
        None => vec![scope.get(*root).ok_or(())?],
    };
    let below = |value: &'a Value| rest.iter().try_fold(value, |value, key| value.get(key));
    roots.into_iter().map(|value| below(value).ok_or(())).collect::<Result<_, _>>().map(Some)
}

/// Every path of a scope, for suggestions.
pub fn paths(scope: &Scope) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in scope {
        found.push(name.clone());
        if let Value::Object(map) = value {
            found.extend(map.keys().map(|key| format!("{name}.{key}")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown_in(text: &str) -> Vec<String> {
        let scope = serde_json::json!({
            "project": "shop",
            "ports": {"backend": 3001},
            "users": [{"name": "app"}, {"name": "ops"}],
        });
        let scope: Scope = serde_json::from_value(scope).expect("a map");
        let events = read(text).expect("no refused word");
        unknown(&events, &scope).into_iter().map(|name| name.path).collect()
    }

    #[test]
    fn a_name_that_does_not_exist_is_found_in_any_position() {
        for text in [
            "{{ nme }}",
            "{{ nme ~ 'a' }}",
            "{% if nme %}x{% endif %}",
            "{% if project == nme %}x{% endif %}",
            "{% if not nme %}x{% endif %}",
            "{{ project | default(value=nme) }}",
            "{% set x = nme %}{{ x }}",
            "{% for a in nme %}{{ a }}{% endfor %}",
            "{{- nme -}}",
            "{{ [nme] }}",
            "{% for u in users %}{% if nme %}{{ u.name }}{% endif %}{% endfor %}",
            "{# nothing #}{{ nme }}",
            "{% raw %}{{ other }}{% endraw %}{{ nme }}",
            "{{ \"}}\" ~ nme }}",
        ] {
            assert_eq!(unknown_in(text), ["nme"], "{text}");
        }
    }

    #[test]
    fn fields_are_looked_up_too_also_those_of_loop_variables() {
        assert_eq!(unknown_in("{% if ports.frontend %}{% endif %}"), ["ports.frontend"]);
        assert_eq!(
            unknown_in("{% for u in users %}{% if u.nme %}{% endif %}{% endfor %}"),
            ["u.nme"]
        );
        assert_eq!(unknown_in("{% for u in users %}{{ u.name }}{% endfor %}{{ u }}"), ["u"]);
    }

    #[test]
    fn words_of_the_language_are_no_names() {
        for text in [
            "{{ ports.backend }} {{ project | upper | replace(from='a', to='b') }}",
            "{% for k, v in ports %}{{ loop.index }}{{ k }}{{ v }}{% endfor %}",
            "{% if project is string and not ports is not mapping %}{% endif %}",
            "{# {{ nme }} #}{% raw %}{{ nme }}{% endraw %}",
            "{% set a = 'nme' %}{{ a }}",
            "a { b } %} {",
        ] {
            assert_eq!(unknown_in(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn a_template_that_takes_in_another_is_refused() {
        let refused = read("a {% include 'x' %}").expect_err("include is refused");
        assert_eq!(refused.span, 5..12);
    }
}
