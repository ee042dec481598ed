//! Where the lines of a unit were written, so that a mistake is told in the template or the text itself.

use crate::{
    compile::{
        source::{At, Files},
        view::View,
    },
    model::{UnitLine, unit_lines},
};
use std::{collections::BTreeMap, ops::Range};

/// The place of every line of a text: the very line of its source, or the one with the same key, or the entry.
pub fn of_text(files: &Files, (source, whole): (Option<At>, At), text: &str) -> Vec<At> {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let lines = unit_lines(text);
    let place = |(span, line): &(Range<usize>, UnitLine)| {
        let written = source.map(|at| (at, files.visible_range(at)));
        let Some((at, range)) = written else { return whole };
        let (said, slice) = (&text[span.clone()], files.slice(at));
        let mut nth = |start| *seen.entry(start).and_modify(|n| *n += 1).or_insert(0);
        let by_key = key_of(said, line).map(|key| (key, nth(key)));
        let found = find(slice, said, nth(said)).or_else(|| {
            let (key, nth) = by_key?;
            to_end(slice, find(slice, key, nth)?.start)
        });
        found.map_or(whole, |found| {
            At::new(at.file, range.start + found.start..range.start + found.end)
        })
    };
    lines.iter().map(place).collect()
}

/// The place of a line that an entry's text has, in what it was written as.
pub fn place_of(stack: &View<'_>, source: Option<At>, said: &str) -> Option<At> {
    let (at, files) = (source?, stack.lowering.files);
    let (range, slice) = (files.visible_range(at), files.slice(at));
    let found = find_whole(slice, said).or_else(|| find(slice, said, 0))?;
    Some(At::new(at.file, range.start + found.start..range.start + found.end))
}

/// `Key=` of a directive.
fn key_of<'t>(said: &'t str, line: &UnitLine) -> Option<&'t str> {
    match line {
        UnitLine::Directive { .. } => said.split_inclusive('=').next(),
        UnitLine::Section { .. } | UnitLine::Neither => None,
    }
}

/// The `nth` place where a line begins so, or the last one when there are fewer.
fn find(source: &str, start: &str, nth: usize) -> Option<Range<usize>> {
    let places = source.match_indices(start).map(|(at, _)| at);
    let places: Vec<usize> = places.filter(|at| begins_line(&source[..*at])).collect();
    let at = *places.get(nth).or(places.last())?;
    Some(at..at + start.len())
}

/// The first place where a line is this, and no more.
fn find_whole(source: &str, line: &str) -> Option<Range<usize>> {
    let places = source.match_indices(line).map(|(at, _)| at..at + line.len());
    let ends = |place: &Range<usize>| {
        let rest = &source[place.end..];
        let next = rest.trim_start_matches([' ', '\t', '\r']);
        let ends = |marks: &[&str]| marks.iter().any(|mark| next.starts_with(mark));
        next.is_empty() || ends(&["\n", "\\n", "{%"]) || rest.starts_with(['"', '\''])
    };
    places.into_iter().find(|place| begins_line(&source[..place.start]) && ends(place))
}

/// Whether a line begins after this: of the file, of a text with `\n` in it, or after a tag of a template.
fn begins_line(before: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    before.is_empty() || before.ends_with(['\n', '"', '\'', '}']) || before.ends_with("\\n")
}

fn to_end(source: &str, start: usize) -> Option<Range<usize>> {
    let rest = &source[start..];
    let end = [rest.find('\n'), rest.find("\\n")].into_iter().flatten().min().unwrap_or(rest.len());
    let line = rest.get(..end)?.trim_end_matches(['"', '\'', ' ', '\t', '\r']);
    Some(start..start + line.len())
}
