//! Calendar events: systemd.time(7), CALENDAR EVENTS. Source: systemd 252, src/shared/calendarspec.c.

use super::days;

/// Events that have a name.
const NAMED: [&str; 12] = [
    "minutely",
    "hourly",
    "daily",
    "monthly",
    "annually",
    "yearly",
    "anually",
    "weekly",
    "quarterly",
    "biannually",
    "semiannually",
    "semi-annually",
];
const DAYS: [(&str, usize); 14] = [
    ("monday", 0),
    ("mon", 0),
    ("tuesday", 1),
    ("tue", 1),
    ("wednesday", 2),
    ("wed", 2),
    ("thursday", 3),
    ("thu", 3),
    ("friday", 4),
    ("fri", 4),
    ("saturday", 5),
    ("sat", 5),
    ("sunday", 6),
    ("sun", 6),
];
/// Seconds are counted in millionths, as systemd counts them.
const SECOND: i64 = 1_000_000;
/// The most values of one part. Source: `CALENDARSPEC_COMPONENTS_MAX`.
const COMPONENTS_MAX: usize = 240;

/// Whether a calendar event is on a day that there is, in any of the years that systemd knows; none of a text that is no event.
pub fn comes(text: &str) -> Option<bool> {
    let text = without_zone(text)?;
    let lower = text.to_ascii_lowercase();
    if NAMED.contains(&lower.as_str()) || lower == "bi-annually" {
        return Some(true);
    }
    if let Some(stamp) = text.strip_prefix('@') {
        let is_number = !stamp.is_empty() && stamp.bytes().all(|b| b.is_ascii_digit());
        return (is_number && stamp.parse::<u32>().is_ok()).then_some(true);
    }
    if text.is_empty() { None } else { event(&text) }
}

/// The text without the zone at its end: `UTC`, or the name of a zone of tzdata, of which only the form is judged.
fn without_zone(text: &str) -> Option<String> {
    let Some((event, zone)) = text.rsplit_once(' ') else { return Some(text.to_owned()) };
    let is_word = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    let is_zone = zone.starts_with(|c: char| c.is_ascii_uppercase())
        && zone.chars().all(is_word)
        && !DAYS.iter().any(|(day, _)| zone.eq_ignore_ascii_case(day));
    if zone.eq_ignore_ascii_case("utc") || is_zone {
        return (!event.is_empty()).then(|| event.to_owned());
    }
    Some(text.to_owned())
}

/// One value of a part, with its end and step.
#[derive(Clone, Copy)]
struct Component {
    start: i64,
    stop: Option<i64>,
    step: i64,
}

impl Component {
    /// Days that were counted from a month's end, counted from its beginning. Source: `find_matching_component`.
    fn before_the_end(&self, last: i64) -> Self {
        let day = |from_end: i64| last + 1 - from_end;
        let (start, stop) = match self.stop {
            Some(stop) => (day(stop), Some(day(self.start))),
            None => (day(self.start), None),
        };
        Self { start, stop, step: self.step }
    }
}

/// The values of a part; none is every value.
type Chain = Option<Vec<Component>>;

/// The days of an event.
#[derive(Default)]
struct Date {
    year: Chain,
    month: Chain,
    day: Chain,
    /// Whether days are counted from the end of the month.
    from_end: bool,
}

impl Date {
    fn is_ever_on(&self, is_weekday: [bool; 7]) -> bool {
        let years = YEARS.filter(|year| has(self.year.as_deref(), (*year).into()));
        let months: Vec<u32> =
            (1..=12).filter(|month| has(self.month.as_deref(), (*month).into())).collect();
        let mut all = years.flat_map(|year| months.iter().map(move |month| (year, *month)));
        all.any(|(year, month)| {
            let last = days::of_month(year, month);
            let day = |day: &Component| {
                if self.from_end { day.before_the_end(last.into()) } else { *day }
            };
            let days: Chain = self.day.as_ref().map(|days| days.iter().map(day).collect());
            (1..=last).any(|day| {
                has(days.as_deref(), day.into())
                    && is_weekday[days::weekday(year, month, day) as usize]
            })
        })
    }
}

/// Whether a chain has a number. Source: `find_matching_component`.
fn has(chain: Option<&[Component]>, number: i64) -> bool {
    chain.is_none_or(|all| {
        all.iter().any(|&Component { start, stop, step }| {
            number == start
                || step > 0
                    && number > start
                    && (number - start) % step == 0
                    && stop.is_none_or(|stop| number <= stop)
        })
    })
}

/// The years that systemd knows. Source: `MIN_YEAR` and `MAX_YEAR`.
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2199;

/// Whether an event that is one ever comes.
fn event(text: &str) -> Option<bool> {
    let (is_weekday, rest) = weekdays(text)?;
    let (date, rest) = date(rest)?;
    time(rest)?;
    Some(date.is_ever_on(is_weekday))
}

const EVERY_DAY: [bool; 7] = [true; 7];

/// The days of the week, if there are any, and what comes after them.
fn weekdays(text: &str) -> Option<([bool; 7], &str)> {
    let (mut rest, mut from, mut first) = (text, None, true);
    let mut found = [false; 7];
    loop {
        if !first && rest.starts_with(' ') {
            return Some((found, rest));
        }
        let lower = rest.to_ascii_lowercase();
        let Some((name, day)) = DAYS.iter().find(|(name, _)| lower.starts_with(name)) else {
            return first.then_some((EVERY_DAY, rest));
        };
        rest = &rest[name.len()..];
        if !rest.is_empty() && !rest.starts_with(['-', '.', ',', ' ']) {
            return None;
        }
        if from.is_some_and(|from| from > *day) {
            return None;
        }
        found[from.unwrap_or(*day)..=*day].fill(true);
        if let Some(after) = rest.strip_prefix("..").or_else(|| rest.strip_prefix('-')) {
            if from.is_some() {
                return None;
            }
            (from, rest) = (Some(*day), after);
        } else if let Some(after) = rest.strip_prefix(',') {
            (from, rest) = (None, after);
        } else if rest.starts_with('.') {
            return None;
        } else {
            return Some((found, rest.trim_start_matches(' ')));
        }
        if rest.is_empty() || rest.starts_with(' ') {
            return from.is_none().then(|| (found, rest.trim_start_matches(' ')));
        }
        first = false;
    }
}

/// The date, if there is one, and what comes after it.
fn date(text: &str) -> Option<(Date, &str)> {
    if text.is_empty() {
        return Some((Date::default(), text));
    }
    let (first, rest) = chain(text, false)?;
    if rest.is_empty() || rest.starts_with(':') {
        // It was the hour.
        return Some((Date::default(), text));
    }
    let (mut from_end, rest) = after_dash(rest)?;
    let (second, rest) = chain(rest, false)?;
    let (year, month, day, rest) = if rest.is_empty() || rest.starts_with(' ') {
        (None, first, second, rest)
    } else if from_end {
        return None;
    } else {
        let (tilde, rest) = after_dash(rest)?;
        from_end = tilde;
        let (third, rest) = chain(rest, false)?;
        if !(rest.is_empty() || rest.starts_with(' ')) {
            return None;
        }
        (first, second, third, rest)
    };
    let year: Chain = year.map(|years| years.into_iter().map(with_century).collect());
    let from_end = from_end && day.is_some();
    let valid = is_within(year.as_ref(), 1970, 2199, false)
        && is_within(month.as_ref(), 1, 12, false)
        && is_within(day.as_ref(), 1, if from_end { 28 } else { 31 }, from_end);
    valid.then(|| (Date { year, month, day, from_end }, rest.trim_start_matches(' ')))
}

/// After a `-`, or a `~` that counts days from the end of the month.
fn after_dash(text: &str) -> Option<(bool, &str)> {
    match text.strip_prefix('~') {
        Some(rest) => Some((true, rest)),
        None => Some((false, text.strip_prefix('-')?)),
    }
}

/// Years of two digits are of this century up to 69, and of the last one from 70.
fn with_century(years: Component) -> Component {
    let whole = |year: i64| match year {
        0..70 => year + 2000,
        70..100 => year + 1900,
        _ => year,
    };
    Component { start: whole(years.start), stop: years.stop.map(whole), ..years }
}

fn time(text: &str) -> Option<()> {
    if text.is_empty() {
        return Some(());
    }
    let (hour, rest) = chain(text, false)?;
    let (minute, rest) = chain(rest.strip_prefix(':')?, false)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(rest) => chain(rest, true)?,
        None => (None, rest),
    };
    let valid = rest.is_empty()
        && is_within(hour.as_ref(), 0, 23, false)
        && is_within(minute.as_ref(), 0, 59, false)
        && is_within(second.as_ref(), 0, 60 * SECOND - 1, false);
    valid.then_some(())
}

/// Values with commas between them, and what comes after.
fn chain(text: &str, seconds: bool) -> Option<(Chain, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((None, rest));
    }
    let (mut components, mut rest) = (Vec::new(), text);
    loop {
        let (component, after) = component(rest, seconds)?;
        components.push(component);
        match after.strip_prefix(',') {
            Some(_) if components.len() > COMPONENTS_MAX => return None,
            Some(next) => rest = next,
            None => return Some((Some(components), after)),
        }
    }
}

fn component(text: &str, seconds: bool) -> Option<(Component, &str)> {
    let unit = if seconds { SECOND } else { 1 };
    let (start, mut rest) = decimal(text, seconds)?;
    let mut found = Component { start, stop: None, step: 0 };
    if let Some(after) = rest.strip_prefix("..") {
        let (stop, after) = decimal(after, seconds)?;
        found = Component { start, stop: Some(stop), step: unit };
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('/') {
        (found.step, rest) = decimal(after, seconds)?;
        if found.step == 0 {
            return None;
        }
    } else if seconds && found.stop.is_some() && start % SECOND != 0 {
        return None;
    }
    let ends = rest.is_empty() || rest.starts_with([' ', ',', '-', '~', ':']);
    ends.then_some((found, rest))
}

/// A number, with up to six decimal places where it counts seconds.
fn decimal(text: &str, seconds: bool) -> Option<(i64, &str)> {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits(text));
    let number = i64::from(number.parse::<i32>().ok()?);
    if !seconds {
        return Some((number, rest));
    }
    let whole = number * SECOND;
    match rest.strip_prefix('.').filter(|fraction| !fraction.starts_with('.')) {
        Some(fraction) => {
            let (places, rest) = fraction.split_at(digits(fraction));
            let millionths = format!("{places:0<6}").get(..6)?.parse::<i64>().ok()?;
            (!places.is_empty()).then_some((whole + millionths, rest))
        }
        None => Some((whole, rest)),
    }
}

/// Source: `chain_valid`, after `normalize_chain`.
fn is_within(chain: Option<&Vec<Component>>, low: i64, high: i64, from_end: bool) -> bool {
    let fits = |component: &Component| {
        let Component { start, mut stop, mut step } = *component;
        if let Some(end) = stop {
            let end = if end > start && step > 0 { end - (end - start) % step } else { end };
            let once = end == start || (end > start && start + step > end);
            (stop, step) = if once { (None, 0) } else { (Some(end), step) };
        }
        let next_fits = match stop {
            Some(end) => (low..=high).contains(&end) && start + step <= end,
            None if from_end => start - step >= low,
            None => start + step <= high,
        };
        (low..=high).contains(&start) && step <= high - low && next_fits
    };
    chain.is_none_or(|components| components.iter().all(fits))
}
