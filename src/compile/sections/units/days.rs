//! Days that there are: neither cron nor systemd says that a schedule is for none.

use crate::compile::{
    report::{Code, Mistake},
    source::At,
};

/// The mistake of a schedule for days that there are not.
pub fn never(schedule: &str, at: At) -> Mistake {
    let title = format!("`{schedule}` never comes: there is no such day");
    let help = "correct the date, or its day of the week: April, June, September and November have 30 days, February has 28 or 29";
    Mistake::new(Code::BadSchedule, at, title).help(help)
}

/// How many days a month has.
pub fn of_month(year: u32, month: u32) -> u32 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day of the week, from Monday as 0. Source: Sakamoto's method.
pub fn weekday(year: u32, month: u32, day: u32) -> u32 {
    const OFFSETS: [u32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let year = if month < 3 { year - 1 } else { year };
    let leaps = year / 4 - year / 100 + year / 400;
    (year + leaps + OFFSETS[month as usize - 1] + day + 6) % 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weeks_go_on_from_day_to_day_over_all_years_that_systemd_knows() {
        // 1970-01-01 was a Thursday.
        let mut next = 3;
        for (year, month) in (1970..=2199).flat_map(|year| (1..=12).map(move |m| (year, m))) {
            for day in 1..=of_month(year, month) {
                assert_eq!(weekday(year, month, day), next, "{year}-{month}-{day}");
                next = (next + 1) % 7;
            }
        }
        assert_eq!([2000, 2024, 2027, 2100].map(|year| of_month(year, 2)), [29, 29, 28, 28]);
    }
}
