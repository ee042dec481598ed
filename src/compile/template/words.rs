//! The filters, tests and functions that templates have: Tera's own, which it does not list.

use crate::compile::schema;

const FILTERS: [&str; 37] = [
    "abs",
    "capitalize",
    "default",
    "escape",
    "escape_html",
    "escape_xml",
    "first",
    "float",
    "get",
    "group_by",
    "indent",
    "int",
    "join",
    "keys",
    "last",
    "length",
    "lower",
    "newlines_to_br",
    "nth",
    "pairs",
    "pluralize",
    "replace",
    "reverse",
    "round",
    "safe",
    "sort",
    "split",
    "str",
    "title",
    "trim",
    "trim_end",
    "trim_start",
    "truncate",
    "unique",
    "upper",
    "values",
    "wordcount",
];
const TESTS: [&str; 17] = [
    "array",
    "bool",
    "containing",
    "defined",
    "divisible_by",
    "ending_with",
    "even",
    "float",
    "integer",
    "iterable",
    "map",
    "none",
    "number",
    "odd",
    "starting_with",
    "string",
    "undefined",
];
const FUNCTIONS: [&str; 2] = ["range", "throw"];

/// What to write in the place of a word that Tera does not know: "unknown filter `uper`".
pub fn instead(message: &str) -> Option<String> {
    let (sort, word) = message.strip_prefix("unknown ")?.split_once(' ')?;
    let word = word.trim_matches('`');
    let known: &[&str] = match sort {
        "filter" => &FILTERS,
        "test" => &TESTS,
        "function" => &FUNCTIONS,
        _ => return None,
    };
    let near = schema::nearest(word, known.iter().copied());
    Some(schema::did_you_mean(near, &format!("the {sort}s are {}", known.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_that_is_suggested_exists() {
        let known = |text: &str| {
            let read = super::super::empty().add_raw_template("t", text);
            assert!(read.is_ok(), "{text}: {read:?}");
        };
        let filters = FILTERS.map(|word| format!("{{{{ a | {word} }}}}"));
        let tests = TESTS.map(|word| format!("{{{{ a is {word} }}}}"));
        let functions = FUNCTIONS.map(|word| format!("{{{{ {word}() }}}}"));
        for text in filters.iter().chain(&tests).chain(&functions) {
            known(text);
        }
    }
}
