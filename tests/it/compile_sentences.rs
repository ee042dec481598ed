//! Every sentence that the compiler can say is shown by a case: a new one without a case fails, under an old code as well.

use crate::tree::{self, TreeFile};
use regex::Regex;

use std::sync::LazyLock;

/// Where texts are parsed into types whose errors a report passes on.
const TYPES: [&str; 5] = [
    "src/model/mode.rs",
    "src/model/name.rs",
    "src/model/path.rs",
    "src/model/pattern.rs",
    "src/model/unit_text.rs",
];

/// Files of the compiler that say nothing of definitions.
const WRITERS: [&str; 3] =
    ["src/compile/lock.rs", "src/compile/schema/reference.rs", "src/compile/text.rs"];

/// Sentences that no definition can bring about, and why they are there.
const NEVER_SAID: [(&str, &str); 1] = [(
    "write another one",
    "the error of each type says how to write a value; this is for the next type",
)];

/// Literals of Rust, and what can look like one; `unseen` are those that only programmers read.
static LITERAL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r##"(?s)//[^\n]*|'(?:\\.[^']*|[^\\'])'|(?<unseen>(?:expect\(|reason =|panic!\(|unreachable!\()\s*"(?:[^"\\]|\\.)*")|r#"(?<hash>.*?)"#|\br"(?<raw>[^"]*)"|"(?<plain>(?:[^"\\]|\\.)*)""##,
    )
    .expect("it is an expression")
});

/// What a sentence says whatever it is about: its text between places for values, titles and helps apart.
static GAP: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\{+[^{}]*\}+|[{}]+|\n|: ").expect("it is an expression"));

/// The end of a line within a literal that goes on.
static JOINT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\\\n\s*").expect("it is an expression"));

/// The texts of the string literals of some code.
fn literals(code: &str) -> Vec<String> {
    let found = LITERAL.captures_iter(code).filter_map(|found| {
        let raw = found.name("hash").or(found.name("raw")).map(|text| text.as_str().to_owned());
        raw.or_else(|| Some(unescaped(found.name("plain")?.as_str())))
    });
    found.collect()
}

fn unescaped(text: &str) -> String {
    JOINT.replace_all(text, "").replace("\\n", "\n").replace("\\\"", "\"").replace("\\\\", "\\")
}

/// The parts of a literal that are sentences or most of one: three words, or more.
fn sentences(literal: &str) -> Vec<String> {
    let parts = GAP.split(literal).filter(|part| part.split_whitespace().count() >= 3);
    parts.map(ToOwned::to_owned).collect()
}

/// A file's code, and its own tests.
fn halves(file: &TreeFile) -> (&str, &str) {
    file.text.split_once("#[cfg(test)]").unwrap_or((&file.text, ""))
}

fn speaks(file: &TreeFile) -> bool {
    let path = file.path.as_str();
    let is_compiler = path.starts_with("src/compile/") && file.is_rust();
    let is_other = path.starts_with("src/compile/schema/language/") || WRITERS.contains(&path);
    is_compiler && !is_other || TYPES.contains(&path)
}

/// What the cases show and the tests name.
fn shown(files: &[TreeFile]) -> String {
    let mut shown = String::new();
    for file in files {
        if file.path.starts_with("tests/") && file.path.contains(".snap") {
            shown.push_str(&file.text);
        } else if file.path.starts_with("tests/it/") && !file.path.ends_with("sentences.rs") {
            shown.push_str(&literals(&file.text).join("\n"));
        } else if speaks(file) {
            shown.push_str(&literals(halves(file).1).join("\n"));
        }
        shown.push('\n');
    }
    shown
}

#[test]
fn every_sentence_of_the_compiler_is_shown_by_a_case() {
    let files = tree::files();
    let shown = shown(&files);
    let (mut missing, mut said) = (Vec::new(), 0);
    for file in files.iter().filter(|file| speaks(file)) {
        for sentence in literals(halves(file).0).iter().flat_map(|text| sentences(text)) {
            said += 1;
            let is_never = NEVER_SAID.iter().any(|(never, _)| *never == sentence);
            if shown.contains(&sentence) == is_never {
                missing.push(format!("{}: {sentence}", file.path));
            }
        }
    }
    assert!(said > 700, "the compiler's sentences are found: {said}");
    assert_eq!(missing, Vec::<String>::new(), "add a case to tests/cases/reject");
}

#[test]
fn sentences_are_found_whatever_their_literals_look_like() {
    let code = r##"// "not a comment of code"
        let quote = ('"', '\'', "a \"b\" c \
          d e f", r"a \b c", r#"one "two" three"#);
        value.expect("seen by no user at all");"##;
    assert_eq!(literals(code), ["a \"b\" c d e f", "a \\b c", "one \"two\" three"]);
    assert_eq!(
        sentences("`{name:?}` is of no {kind} that one knows: write a, b or c"),
        ["` is of no ", " that one knows", "write a, b or c"]
    );
}
