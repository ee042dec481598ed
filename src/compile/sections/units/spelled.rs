//! Values as systemd spells them: booleans, spans of time, modes, numbers.

/// Source: `parse_boolean` in src/basic/parse-util.c.
pub fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 6]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is(["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// Units of time, each before those that it begins with. Source: `extract_multiplier` in src/basic/time-util.c.
const UNITS: [(&str, u64); 29] = [
    ("seconds", SECOND),
    ("second", SECOND),
    ("sec", SECOND),
    ("s", SECOND),
    ("minutes", 60 * SECOND),
    ("minute", 60 * SECOND),
    ("min", 60 * SECOND),
    ("months", 2_629_800 * SECOND),
    ("month", 2_629_800 * SECOND),
    ("M", 2_629_800 * SECOND),
    ("msec", 1_000),
    ("ms", 1_000),
    ("m", 60 * SECOND),
    ("hours", 3_600 * SECOND),
    ("hour", 3_600 * SECOND),
    ("hr", 3_600 * SECOND),
    ("h", 3_600 * SECOND),
    ("days", 86_400 * SECOND),
    ("day", 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("weeks", 604_800 * SECOND),
    ("week", 604_800 * SECOND),
    ("w", 604_800 * SECOND),
    ("years", 31_557_600 * SECOND),
    ("year", 31_557_600 * SECOND),
    ("y", 31_557_600 * SECOND),
    ("usec", 1),
    ("us", 1),
    ("\u{b5}s", 1),
];
/// In microseconds.
const SECOND: u64 = 1_000_000;

/// Whether a text is a span of time, such as `1min 30s`: systemd.time(7). Source: `parse_time`, as above.
pub fn is_span(text: &str) -> bool {
    let blank = |c: char| " \t\n\r".contains(c);
    let mut rest = text.trim_start_matches(blank);
    if let Some(after) = rest.strip_prefix("infinity") {
        return after.trim_start_matches(blank).is_empty();
    }
    let (mut total, mut something) = (0_u64, false);
    while !rest.is_empty() {
        let Some((amount, after)) = span_part(rest) else { return false };
        let Some(sum) = total.checked_add(amount) else { return false };
        (total, rest, something) = (sum, after.trim_start_matches(blank), true);
    }
    something
}

/// A number with its unit, in microseconds, and what comes after.
fn span_part(text: &str) -> Option<(u64, &str)> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let whole = digits(text);
    let (number, mut after) = text.split_at(whole);
    if let Some(fraction) = after.strip_prefix('.') {
        let places = digits(fraction);
        after = &fraction[places..];
        (places > 0).then_some(())?;
    } else if whole == 0 {
        return None;
    }
    let number = if number.is_empty() { 0 } else { number.parse::<u64>().ok()? };
    let unit = after.trim_start_matches([' ', '\t', '\n', '\r']);
    let known = UNITS.iter().find_map(|(name, size)| Some((unit.strip_prefix(name)?, *size)));
    let (rest, size) = known.unwrap_or((unit, SECOND));
    // `12.34.56` is none, and `12.34 .56` is.
    let ends = rest.len() < after.len() || rest.is_empty();
    ends.then_some(())?;
    Some((number.checked_mul(size)?, rest))
}

/// Octal digits, as systemd takes them for modes.
pub fn is_mode(text: &str) -> bool {
    text.len() <= 5 && u32::from_str_radix(text, 8).is_ok_and(|mode| mode <= 0o7777)
}

/// A whole number that is not negative, decimal or with `0x`.
pub fn is_unsigned(text: &str) -> bool {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).is_ok(),
        None => text.parse::<u32>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_those_of_systemd() {
        for text in [
            "5",
            "1min 30s",
            "1h30m",
            "0",
            "infinity ",
            "2.5s",
            ".5",
            "5 min",
            "1y 2M 3w 4d",
            "10ms",
            "3 \u{b5}s",
        ] {
            assert!(is_span(text), "{text}");
        }
        for text in [
            "",
            " ",
            "5x",
            "min",
            "-1",
            "1 fortnight",
            "12.34.56",
            "5.",
            "infinity5",
            "five",
            "99999999999y",
        ] {
            assert!(!is_span(text), "{text}");
        }
    }
}
