//! What a unit consists of: its text, and where each of its lines was written.

use super::{lines::Line, places, writer};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema::OF_TEXT,
        sections::files,
        source::{At, Node, Value},
        view::View,
    },
    model::{UnitLine, unit_lines},
};

/// The text of a unit.
pub struct Content {
    pub text: String,
    pub is_partial: bool,
}

/// The text of a unit and its lines with their places, from `template` or `text`, or from its keys.
pub fn content(
    view: &View<'_>,
    beside: &[&str],
    by_keys: impl FnOnce() -> Vec<Line>,
) -> Option<(Content, Vec<(At, UnitLine)>)> {
    let is_beside = |key: &str| OF_TEXT.contains(&key) || beside.contains(&key);
    let by_text = ["template", "text"].iter().find(|key| view.table.contains_key(**key));
    let key = view.table.keys().find(|key| !is_beside(key));
    match (by_text, key) {
        (None, Some(_)) => {
            let told = || view.lowering.mistakes.borrow().len();
            let before = told();
            let (text, lines) = of_lines(view, &by_keys());
            let wrong = view.table.values().any(|member| is_wrong(&member.node));
            Some((Content { text, is_partial: wrong || told() > before }, lines))
        }
        (Some(text), Some(key)) => {
            refuse_both(view, view.table[*text].node.at, key);
            None
        }
        (None, None) => {
            let title = "the unit says nothing";
            let help = "add what it consists of, such as `exec`, `listen` or `on_calendar`; or `template`, or `text`";
            view.report(Mistake::new(Code::NoContent, view.at, title).help(help));
            None
        }
        (Some(_), None) => {
            let text = files::content(view, &view.lowering.rendering)?;
            let lines = unit_lines(&text).into_iter().map(|(_, line)| line);
            let written = ["template", "text"].iter().find_map(|key| view.node(key));
            let whole = written.map_or(view.at, |node| node.at);
            let lines = places::of_text(view.lowering.files, (files::source(view), whole), &text)
                .into_iter()
                .zip(lines)
                .collect();
            Some((Content { text, is_partial: false }, lines))
        }
    }
}

/// Whether something of a value was told to be wrong when it was read.
fn is_wrong(node: &Node) -> bool {
    match &node.value {
        Value::Wrong => true,
        Value::List(items) => items.iter().any(is_wrong),
        Value::Table(table) => table.values().any(|member| is_wrong(&member.node)),
        Value::Text(_) | Value::Integer(_) | Value::Boolean(_) => false,
    }
}

fn of_lines(view: &View<'_>, lines: &[Line]) -> (String, Vec<(At, UnitLine)>) {
    let said = lines.iter().map(|l| (l.section.as_str(), l.key.as_str(), l.value.as_str()));
    let text = writer::text(said);
    let mut written = lines.iter().map(|line| line.at);
    let read = unit_lines(&text).into_iter().map(|(_, line)| match line {
        UnitLine::Section { .. } => (view.at, line),
        _ => (written.next().unwrap_or(view.at), line),
    });
    let read = read.collect();
    (text, read)
}

fn refuse_both(view: &View<'_>, text: At, key: &str) {
    let at = view.table[key].key;
    let title = format!("`{key}` beside the unit's text would say nothing");
    let help = "say it in the text, or say the whole unit by its keys";
    let mistake = Mistake::new(Code::TwoContents, at, title).also(text, "the text").help(help);
    view.lowering.report_as_written(mistake);
}
