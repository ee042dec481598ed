//! How systemd reads env files.

#[derive(Clone, Copy, PartialEq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    Single,
    Double,
    DoubleEscape,
    Comment,
    CommentEscape,
}

/// systemd's reader of env files, state by state. Source: systemd 252, `src/basic/env-file.c`, `parse_env_file_internal`.
pub fn systemd(text: &str) -> Vec<(String, String)> {
    let (newline, blank) = (['\n', '\r'], [' ', '\t', '\n', '\r']);
    let (mut all, mut key, mut value) = (Vec::new(), String::new(), String::new());
    // Where the blanks at the end of a bare value begin.
    let mut end: Option<usize> = None;
    let mut state = State::PreKey;
    for c in text.chars().chain(['\n']) {
        state = match state {
            State::PreKey if ['#', ';'].contains(&c) => State::Comment,
            State::PreKey if blank.contains(&c) => State::PreKey,
            State::Key if newline.contains(&c) => {
                key.clear();
                State::PreKey
            }
            State::Key if c == '=' => {
                end = None;
                State::PreValue
            }
            State::PreKey | State::Key => {
                key.push(c);
                State::Key
            }
            State::PreValue | State::Value if newline.contains(&c) => {
                if let (State::Value, Some(end)) = (state, end) {
                    value.truncate(end);
                }
                all.push((key.trim_end_matches(blank).to_owned(), std::mem::take(&mut value)));
                key.clear();
                State::PreKey
            }
            State::PreValue if c == '\'' => State::Single,
            State::PreValue if c == '"' => State::Double,
            State::PreValue | State::Value if c == '\\' => {
                end = None;
                State::ValueEscape
            }
            State::PreValue if blank.contains(&c) => State::PreValue,
            State::PreValue | State::Value => {
                end = if blank.contains(&c) { end.or(Some(value.len())) } else { None };
                value.push(c);
                State::Value
            }
            State::ValueEscape => {
                value.extend(Some(c).filter(|c| !newline.contains(c)));
                State::Value
            }
            State::Single if c == '\'' => State::PreValue,
            State::Double if c == '"' => State::PreValue,
            State::Double if c == '\\' => State::DoubleEscape,
            State::Single | State::Double => {
                value.push(c);
                state
            }
            State::DoubleEscape => {
                match c {
                    '"' | '\\' | '`' | '$' => value.push(c),
                    '\n' => {}
                    c => value.extend(['\\', c]),
                }
                State::Double
            }
            State::Comment if c == '\\' => State::CommentEscape,
            State::Comment if newline.contains(&c) => State::PreKey,
            State::Comment | State::CommentEscape => State::Comment,
        };
    }
    all
}
