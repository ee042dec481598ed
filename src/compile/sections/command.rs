//! Commands that run without a shell: a program and its arguments.

use crate::compile::{
    report::{Code, Mistake},
    source::Value,
    view::View,
};

/// The words of a command under a key; none when it is wrong, which has been told. `whose` begins the sentence.
pub fn argv(view: &View<'_>, key: &str, whose: &str) -> Option<Vec<String>> {
    let node = view.need_node(key)?;
    let written = match &node.value {
        Value::List(items) => items.len(),
        _ => 1,
    };
    let words: Vec<_> = view.texts(key).into_iter().map(|word| word.value).collect();
    if words.len() < written {
        return None;
    }
    if words.first().is_some_and(|program| program.starts_with('/')) {
        return Some(words);
    }
    let title = format!("{whose} begins with the absolute path of a program");
    let help = "write `[\"/usr/bin/…\", …]`; for a shell, `[\"/bin/sh\", \"-c\", \"…\"]`";
    view.report(Mistake::new(Code::RelativeProgram, node.at, title).help(help));
    None
}
