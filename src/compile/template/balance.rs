//! What a template opens and does not close. Tera meets the end of the text, or a tag that it does not expect; the author looks for
//! the place where it began.

use super::tokens::{Sort, Spanned, Tag, Token, tags};
use crate::compile::schema;
use std::ops::Range;

/// Something of a template that has no end, or no beginning.
#[derive(Debug)]
pub struct Slip {
    pub title: String,
    pub at: Range<usize>,
    /// What shows it, further on.
    pub also: Option<(Range<usize>, String)>,
    pub help: String,
}

/// The tags of a template.
const STATEMENTS: [&str; 9] =
    ["if", "elif", "else", "endif", "for", "endfor", "set", "raw", "endraw"];
/// What has an end of its own, with `end` before its name.
const BLOCKS: [&str; 3] = ["if", "for", "raw"];

/// What is wrong with the brackets of a text that Tera cannot read; if they are right, with its tags; else with its blocks.
pub fn slips(text: &str) -> Vec<Slip> {
    let tags: Vec<_> = tags(text).collect();
    let open: Vec<_> = tags.iter().filter(|tag| !tag.is_closed).map(open_bracket).collect();
    if !open.is_empty() {
        return open;
    }
    let statements: Vec<_> = tags.iter().filter_map(Tag::statement).collect();
    let unknown: Vec<_> = statements.iter().filter_map(unknown_tag).collect();
    if unknown.is_empty() { blocks(&statements) } else { unknown }
}

fn open_bracket(tag: &Tag<'_>) -> Slip {
    if let Some((Token::OpenText(quote), span)) = tag.tokens.last() {
        let quote = char::from(*quote);
        return Slip {
            title: "a text in the template is not closed".to_owned(),
            at: span.start..span.start + 1,
            also: None,
            help: format!("end the text with {quote}"),
        };
    }
    let (open, close) = match tag.sort {
        Sort::Value => ("{{", "}}"),
        Sort::Statement => ("{%", "%}"),
        Sort::Comment => ("{#", "#}"),
    };
    Slip {
        title: format!("the `{open}` here is not closed"),
        at: tag.open..tag.open + open.len(),
        also: None,
        help: format!(
            "end it with `{close}`; what a file is to have as it stands goes between {{% raw %}} and {{% endraw %}}"
        ),
    }
}

/// The first word of a tag, where it stands, and what follows it.
type Statement<'a> = (&'a str, Range<usize>, &'a [Spanned<'a>]);

fn unknown_tag((word, at, rest): &Statement<'_>) -> Option<Slip> {
    let (title, help) = match rest {
        [(Token::Path("if"), _), ..] if *word == "else" => {
            ("templates have no `else if`".to_owned(), "write `elif`".to_owned())
        }
        _ if STATEMENTS.contains(word) => return None,
        _ => (format!("templates have no tag `{word}`"), nearest_tag(word)),
    };
    Some(Slip { title, at: at.clone(), also: None, help })
}

fn nearest_tag(word: &str) -> String {
    let near = schema::nearest(word, STATEMENTS.into_iter());
    let all = format!("the tags are {}", STATEMENTS.join(", "));
    schema::did_you_mean(near, &all)
}

/// Blocks within one another, as far as their ends are right.
fn blocks(statements: &[Statement<'_>]) -> Vec<Slip> {
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    for (word, at, _) in statements {
        let inner = open.last().map(|(word, _)| *word);
        if BLOCKS.contains(word) {
            open.push((*word, at.clone()));
        } else if let Some(ended) = word.strip_prefix("end") {
            match open.pop() {
                Some((inner, _)) if inner == ended => {}
                Some((inner, begun)) => return vec![without_end(inner, &begun, Some((word, at)))],
                None => return vec![without_begin(word, at, ended)],
            }
        } else if *word == "elif" && inner != Some("if") || *word == "else" && inner.is_none() {
            return vec![without_begin(word, at, "if")];
        }
    }
    open.iter().map(|(word, begun)| without_end(word, begun, None)).collect()
}

fn without_end(word: &str, begun: &Range<usize>, met: Option<(&str, &Range<usize>)>) -> Slip {
    let met = met.map(|(end, at)| (at.clone(), format!("`{end}` comes before its end")));
    Slip {
        title: format!("the `{word}` here has no `end{word}`"),
        at: begun.clone(),
        also: met,
        help: format!("write {{% end{word} %}} where it ends"),
    }
}

fn without_begin(word: &str, at: &Range<usize>, block: &str) -> Slip {
    Slip {
        title: format!("this `{word}` is within no `{block}`"),
        at: at.clone(),
        also: None,
        help: format!("write {{% {block} … %}} before it, or take it out"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, &str)> {
        slips(text).into_iter().map(|slip| (slip.title, &text[slip.at])).collect()
    }

    #[test]
    fn a_bracket_without_its_end_is_told_where_it_opens() {
        for (text, open) in [
            ("a {{ b", "{{"),
            ("{{ a\nb = {{ c }}", "{{"),
            ("{% if a\nb", "{%"),
            ("a {{ b }", "{{"),
            ("{# a", "{#"),
        ] {
            assert_eq!(told(text), [(format!("the `{open}` here is not closed"), open)], "{text}");
        }
        assert_eq!(told("{{ 'a }}")[0].1, "'");
    }

    #[test]
    fn a_block_without_its_end_is_told_where_it_begins() {
        for (text, block) in [
            ("{% if a %}b", "if"),
            ("{% for a in b %}{% if a %}{% endif %}", "for"),
            ("{% if a %}{% for b in c %}{% endif %}", "for"),
            ("{% raw %}{% endif %}", "raw"),
        ] {
            let title = format!("the `{block}` here has no `end{block}`");
            assert_eq!(told(text), [(title, block)], "{text}");
        }
        assert_eq!(told("a{% endif %}")[0].1, "endif");
        assert_eq!(told("{% for a in b %}{% elif c %}{% endfor %}")[0].1, "elif");
    }

    #[test]
    fn what_is_whole_has_no_slips() {
        for text in [
            "{% if a %}{% elif b %}{% else %}{% endif %}",
            "{%- for a in b -%}{{ a }}{% else %}{# none #}{% endfor %}",
            "{% raw %}{{ {% if %} {%- endraw -%}{{ '}}' }}",
            "{{ {\"a\": 1}.a }} } }} %} #}",
        ] {
            assert!(slips(text).is_empty(), "{text}: {:?}", slips(text));
        }
    }
}
