//! The names that a template uses, in any position.
//!
//! Tera itself refuses an undefined `{{ x }}`, but lets `{% if x %}` and `{{ x ~ 'a' }}` pass in silence. So the names are read
//! here, with the loops around them, and each is looked up before anything is rendered.

use super::tokens::{Sort, Spanned, Tag, Token, tags};
use std::ops::Range;

/// What happens to names along a template.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Name(Name),
    /// A loop begins: its variables, and the path that it walks when it is no more than a path.
    Loop {
        variables: Vec<String>,
        over: Option<Vec<String>>,
        /// The whole `{% for … %}`.
        tag: Range<usize>,
        /// Whether it ends in `-%}`, which takes away the white space that follows.
        trims: bool,
    },
    /// Where the `{% endfor %}` begins.
    LoopEnd {
        at: usize,
    },
    /// A variable, and where its value stands.
    Set {
        name: String,
        value: Range<usize>,
    },
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
    for tag in tags(text) {
        match tag.sort {
            Sort::Statement => statement(&tag, &mut events)?,
            Sort::Value => expression(&tag.tokens, &mut events)?,
            Sort::Comment => {}
        }
    }
    Ok(events)
}

fn statement(tag: &Tag<'_>, events: &mut Vec<Event>) -> Result<(), Refused> {
    let Some((word, span, rest)) = tag.statement() else { return Ok(()) };
    match word {
        "for" => begin_loop(tag.open, rest, events),
        "endfor" => {
            events.push(Event::LoopEnd { at: tag.open });
            Ok(())
        }
        "set" => set(&span, rest, events),
        word if REFUSED.contains(&word) => {
            let message = format!("templates of stackc have no `{word}`");
            Err(Refused { message, span })
        }
        _ => expression(rest, events),
    }
}

/// `name = value`. A `set` around text would hide what loops in it write.
fn set(
    word: &Range<usize>,
    tokens: &[Spanned<'_>],
    events: &mut Vec<Event>,
) -> Result<(), Refused> {
    let [(Token::Path(name), _), (Token::Sign(b'='), _), value @ ..] = tokens else {
        let message = "`set` takes a value here: `{% set name = … %}`".to_owned();
        return Err(Refused { message, span: word.clone() });
    };
    expression(value, events)?;
    let (value, _) = without_end(value);
    let start = value.first().map_or(word.end, |(_, span)| span.start);
    let value = start..value.last().map_or(start, |(_, span)| span.end);
    events.push(Event::Set { name: (*name).to_owned(), value });
    Ok(())
}

/// The tokens before `%}`, and whether that is `-%}`.
fn without_end<'a, 'b>(tokens: &'a [Spanned<'b>]) -> (&'a [Spanned<'b>], bool) {
    match tokens {
        [inside @ .., (Token::Sign(b'-'), _), (Token::Sign(b'}'), _)] => (inside, true),
        [inside @ .., (Token::Sign(b'}'), _)] => (inside, false),
        all => (all, false),
    }
}

fn begin_loop(open: usize, tokens: &[Spanned<'_>], events: &mut Vec<Event>) -> Result<(), Refused> {
    let is_in = |(token, _): &Spanned<'_>| *token == Token::Path("in");
    let split = tokens.iter().position(is_in).unwrap_or(tokens.len());
    let (before, after) = tokens.split_at(split);
    let variables = before.iter().filter_map(|(token, _)| match token {
        Token::Path(name) => Some((*name).to_owned()),
        _ => None,
    });
    let (inside, trims) = without_end(after);
    let over = match inside {
        [_, (Token::Path(path), _)] => Some(path.split('.').map(str::to_owned).collect()),
        _ => None,
    };
    let end = tokens.last().map_or(open, |(_, span)| span.end);
    expression(after, events)?;
    events.push(Event::Loop { variables: variables.collect(), over, tag: open..end, trims });
    Ok(())
}

/// Collects the names of an expression; filters, tests, functions and names of arguments are none.
/// A list made by `for` would be a loop that nothing counts.
fn expression(tokens: &[Spanned<'_>], events: &mut Vec<Event>) -> Result<(), Refused> {
    for (n, (token, span)) in tokens.iter().enumerate() {
        let Token::Path(path) = token else { continue };
        if *path == "for" {
            let message = "templates of stackc have no `for` within brackets".to_owned();
            return Err(Refused { message, span: span.clone() });
        }
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
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Scope, lookup::unknown},
        *,
    };

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

    #[test]
    fn what_would_loop_without_being_counted_is_refused() {
        for text in [
            "{% set x %}{% for a in users %}{% endfor %}{% endset %}",
            "{% set x | upper %}a{% endset %}",
            "{{ [a for a in users] }}",
            "{% set x = [a for a in users] %}",
            "{% for b in [a for a in users] %}{% endfor %}",
        ] {
            read(text).expect_err(text);
        }
    }
}
