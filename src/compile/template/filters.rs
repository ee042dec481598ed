//! Filters and functions of templates that make big values from small ones: Tera's own, within limits (`bounds`).
#![expect(clippy::needless_pass_by_value, reason = "Tera passes arguments by value")]

use super::bounds::TEXT_BYTES_MAX;
use std::fmt::{self, Write as _};
use tera::{Error, Kwargs, State, Tera, TeraResult, Value};

/// The most numbers of a `range`, and the widest `indent`.
const RANGE_MAX: usize = 1000;
const TOO_LONG: &str = "the value would be longer than 1 MiB";
const TOO_MANY: &str = "`range` makes at most 1000 numbers";
const TOO_WIDE: &str = "`indent` has a width of at most 1000";
/// The filter that each value of a `set` goes through.
pub const BOUNDED: &str = "stackc_bounded";

/// Puts them in the place of Tera's.
pub fn register(tera: &mut Tera) {
    tera.register_filter(BOUNDED, |value: Value, _: Kwargs, _: &State| {
        write!(Text::default(), "{value}").map_err(|_| too_long()).map(|()| value)
    });
    tera.register_filter("replace", replace);
    tera.register_filter("join", join);
    tera.register_filter("indent", indent);
    tera.register_function("range", range);
}

fn too_long() -> Error {
    Error::message(TOO_LONG)
}

/// Whether a message is about a limit.
pub fn is_of_limit(message: &str) -> bool {
    [TOO_LONG, TOO_MANY, TOO_WIDE].contains(&message)
}

/// A text that grows no longer than a value may be.
#[derive(Default)]
struct Text(String);

impl fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > TEXT_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn replace(text: &str, arguments: Kwargs, _: &State) -> TeraResult<String> {
    let from = arguments.must_get::<&str>("from")?;
    let to = arguments.must_get::<&str>("to")?;
    let longer = to.len().saturating_sub(from.len());
    if text.matches(from).count().saturating_mul(longer) > TEXT_BYTES_MAX {
        return Err(too_long());
    }
    Ok(text.replace(from, to))
}

fn join(values: &[Value], arguments: Kwargs, _: &State) -> TeraResult<String> {
    let separator = arguments.get::<&str>("sep")?.unwrap_or("");
    let mut text = Text::default();
    for (n, value) in values.iter().enumerate() {
        let separator = if n == 0 { "" } else { separator };
        write!(text, "{separator}{value}").map_err(|_| too_long())?;
    }
    Ok(text.0)
}

/// Indents each line but the first and blank ones, by four spaces if nothing else is said.
fn indent(text: &str, arguments: Kwargs, _: &State) -> TeraResult<String> {
    let width = arguments.get::<usize>("width")?.unwrap_or(4);
    let first = arguments.get::<bool>("first")?.unwrap_or(false);
    let blank = arguments.get::<bool>("blank")?.unwrap_or(false);
    if width > RANGE_MAX {
        return Err(Error::message(TOO_WIDE));
    }
    let mut indented = Text::default();
    for (n, line) in text.split_inclusive('\n').enumerate() {
        let has_text = !line.trim_end_matches(['\r', '\n']).is_empty();
        let width = if (n > 0 || first) && (has_text || n > 0 && blank) { width } else { 0 };
        write!(indented, "{:width$}{line}", "").map_err(|_| too_long())?;
    }
    Ok(indented.0)
}

fn range(arguments: Kwargs, _: &State) -> TeraResult<Vec<i64>> {
    let start = arguments.get::<i64>("start")?.unwrap_or(0);
    let end = arguments.must_get::<i64>("end")?;
    let step = arguments.get::<i64>("step_by")?.unwrap_or(1);
    let step = usize::try_from(step).ok().filter(|step| *step > 0);
    let step = step.ok_or_else(|| Error::message("`range` has a `step_by` of 1 or more"))?;
    let numbers: Vec<_> = (start..end).step_by(step).take(RANGE_MAX + 1).collect();
    if numbers.len() > RANGE_MAX {
        return Err(Error::message(TOO_MANY));
    }
    Ok(numbers)
}
