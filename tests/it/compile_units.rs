//! Units and cron tables: what is written is read back exactly, and times are those that systemd takes.

use crate::compile_laws::holds;
use proptest::prelude::*;
use stackc::{
    compile::units::{comes, cron, is_span, writer},
    model::{UnitLine, unit_commands, unit_lines, unit_words},
};
use std::process::Command;

/// Texts made of what the formats have rules for.
pub fn hostile() -> impl Strategy<Value = String> {
    let pieces = [
        "%", "%%", "%i", "$", "$$", "$HOME", "${X}", "\"", "'", "\\", "\\n", "\\x41", " ", "\t",
        "\n", "\r", ";", "\\;", "#", "=", "[", "]", "-", "@", "a", "b c", "ö", "\u{7f}", "\u{1}",
        "\u{85}", "\u{a0}", "", "/", "*",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..8)
        .prop_map(|pieces| pieces.concat())
}

/// The value of the one directive of a unit's text; that it is one is a part of every law.
fn value_of(line: &str) -> Result<String, TestCaseError> {
    let text = format!("[Service]\n{line}\nNice=1\n");
    let mut lines = unit_lines(&text).into_iter().map(|(_, line)| line);
    let found = (lines.next(), lines.next(), lines.next(), lines.next());
    let (
        Some(UnitLine::Section { .. }),
        Some(UnitLine::Directive { value, .. }),
        Some(after),
        None,
    ) = found
    else {
        return Err(TestCaseError::fail(format!("{line:?} is not one line")));
    };
    let (section, key, one) = ("Service".to_owned(), "Nice".to_owned(), "1".to_owned());
    prop_assert_eq!(after, UnitLine::Directive { section, key, value: one });
    Ok(value)
}

/// What systemd makes of specifiers: `%%` is one of them; another would be a fault of the writer.
fn without_specifiers(text: &str) -> Result<String, TestCaseError> {
    let mut made = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '%' {
            prop_assert_eq!(rest.next(), Some('%'), "a specifier in {:?}", text);
        }
        made.push(c);
    }
    Ok(made)
}

/// What systemd makes of variables in a word, none of them being set. Source: `replace_env_argv` in src/basic/env-util.c.
fn without_variables(word: &str) -> Vec<String> {
    let mut chars = word.chars();
    if chars.next() == Some('$') && !matches!(chars.next(), Some('{' | '$')) {
        return Vec::new();
    }
    let (mut made, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        rest = if let Some(after) = after.strip_prefix('$') {
            made.push('$');
            after
        } else if let Some((_, after)) =
            after.strip_prefix('{').and_then(|name| name.split_once('}'))
        {
            after
        } else {
            made.push('$');
            after
        };
    }
    made.push_str(rest);
    vec![made]
}

#[test]
fn laws_a_program_is_given_exactly_the_arguments_that_were_written() {
    holds(2_000, &prop::collection::vec(hostile(), 0..5), |arguments| {
        let argv: Vec<String> = ["/usr/bin/true".to_owned()].into_iter().chain(arguments).collect();
        let line = writer::command(&argv).expect("every argument has a form");
        let value = value_of(&format!("ExecStart={line}"))?;
        let commands = unit_commands(&value).expect("quotes are closed");
        prop_assert_eq!(commands.len(), 1, "{}", line);
        let words = commands[0].iter().map(|word| without_specifiers(word));
        let words: Vec<String> = words.collect::<Result<_, _>>()?;
        let given: Vec<String> = words.iter().flat_map(|word| without_variables(word)).collect();
        prop_assert_eq!(given, argv);
        Ok(())
    });
}

#[test]
fn laws_a_variable_of_a_unit_has_exactly_the_value_that_was_written() {
    holds(2_000, &hostile(), |text| {
        let line = writer::assignment("NAME", &text).expect("every value has a form");
        let words =
            unit_words(&value_of(&format!("Environment={line}"))?).expect("quotes are closed");
        let words =
            words.iter().map(|word| without_specifiers(word)).collect::<Result<Vec<_>, _>>()?;
        prop_assert_eq!(words, [format!("NAME={text}")]);
        Ok(())
    });
}

#[test]
fn laws_a_plain_line_of_a_unit_is_read_as_it_was_written_or_refused() {
    holds(2_000, &hostile(), |text| {
        let Ok(line) = writer::literal(&text) else { return Ok(()) };
        prop_assert_eq!(without_specifiers(&value_of(&format!("Description={line}"))?)?, text);
        Ok(())
    });
}

/// What Debian's cron passes to the shell: a bare `%` ends the command. Measured with cron 3.0pl1-162.
fn command_of_cron(line: &str) -> String {
    let (mut made, mut rest) = (String::new(), line.chars().peekable());
    while let Some(c) = rest.next() {
        match (c, rest.peek()) {
            ('\\', Some('%' | '\\')) => made.extend(rest.next()),
            ('%', _) => break,
            (c, _) => made.push(c),
        }
    }
    made
}

#[test]
fn laws_a_cron_job_runs_exactly_the_line_that_was_written() {
    holds(2_000, &hostile(), |text| {
        let Ok(line) = cron::command(&text) else { return Ok(()) };
        prop_assert!(!line.contains(['\n', '\r']), "{:?}", line);
        prop_assert_eq!(command_of_cron(&line), text);
        Ok(())
    });
}

/// The value of a line `NAME=…`. Source: `load_env` in cron's env.c, and what cron 3.0pl1-162 was seen to do.
fn variable_of_cron(line: &str) -> Option<String> {
    let value = line.split_once('=')?.1.trim_matches([' ', '\t']);
    match value.chars().next()? {
        quote @ ('"' | '\'') => {
            let (value, after) = value[1..].split_once(quote)?;
            let value = value.trim_end_matches([' ', '\t']);
            after.trim_matches([' ', '\t']).is_empty().then(|| value.to_owned())
        }
        _ => Some(value.to_owned()),
    }
}

#[test]
fn laws_a_variable_of_cron_has_exactly_the_value_that_was_written_or_is_refused() {
    holds(2_000, &hostile(), |text| {
        let Ok(line) = cron::assignment("NAME", &text) else { return Ok(()) };
        prop_assert!(!line.contains(['\n', '\r']), "{:?}", line);
        prop_assert_eq!(variable_of_cron(&line), Some(text));
        Ok(())
    });
}

#[test]
fn what_has_no_form_is_refused_and_not_passed_on() {
    for text in ["a\nb", "a\\", " a", "a ", "", "\u{7}"] {
        assert!(writer::literal(text).is_err(), "{text:?}");
    }
    for program in ["", "true", "./x", "/opt/it's", "/opt/$x", "/a\\b"] {
        assert!(writer::command(&[program]).is_err(), "{program:?}");
    }
    for run in ["", " ", "a\nb", "a\rb", &"x".repeat(1000)] {
        assert!(cron::command(run).is_err(), "{run:?}");
    }
    for value in ["'a' \"b\"", "a ", "a\t", " 'a' \"b\"", "a\nb"] {
        assert!(cron::assignment("A", value).is_err(), "{value:?}");
    }
    let line = writer::control_command(&["/bin/kill", "$MAINPID", "$MAINPID2"]);
    assert_eq!(line.as_deref(), Ok("/bin/kill $MAINPID $$MAINPID2"));
}

/// `systemd-analyze` with each of these texts; none where it is not installed.
fn judged(verb: &str, texts: &[String]) -> Option<Vec<bool>> {
    let judge = |text: &String| {
        Some(
            Command::new("systemd-analyze")
                .args([verb, "--", text])
                .output()
                .ok()?
                .status
                .success(),
        )
    };
    let judged: Option<Vec<bool>> = texts.iter().map(judge).collect();
    if judged.is_none() {
        eprintln!("systemd-analyze is not installed: nothing to compare with");
    }
    judged
}

/// Every pair that is told apart.
fn differing(texts: &[String], ours: impl Fn(&str) -> bool, theirs: &[bool]) -> Vec<String> {
    let pairs = texts.iter().zip(theirs).filter(|(text, valid)| ours(text) != **valid);
    pairs.map(|(text, valid)| format!("{text:?}: systemd says {valid}")).collect()
}

#[test]
fn calendar_events_are_those_that_systemd_takes() {
    let days = [
        "",
        "Mon",
        "monday,Fri",
        "Mon..Fri",
        "Fri..Mon",
        "Sat-Sun",
        "Mon,",
        "Mon..",
        "Frday",
        "Mon.Tue",
    ];
    let dates = [
        "",
        "*-*-01",
        "2024-02-30",
        "24-1-1",
        "*-13-1",
        "*-*~3",
        "*~1",
        "*~29",
        "*-5~1..7/3",
        "5-5",
        "1..3-1/2",
        "*-*-1,15",
        "*-*-32",
        "a-b",
    ];
    let times = [
        "", "10:30", "*:0/15", "*:*:0/5", "0..5:0", "25:00", "12:60", "*/5:00", "10", "1:2:3.5",
        "5..1:00", "1:2:3:4", "0,12:00",
    ];
    let zones = ["", " UTC", " Europe/Berlin", " utc"];
    let mut texts: Vec<String> = [
        "daily",
        "Weekly",
        "semiannually",
        "anually",
        "bi-annually",
        "never",
        "@1700000000",
        "@x",
        "*/5",
        "  ",
        "daily UTC",
        "-1:00",
    ]
    .map(str::to_owned)
    .to_vec();
    for (n, day) in days.iter().enumerate() {
        for (m, date) in dates.iter().enumerate() {
            for (k, time) in times.iter().enumerate() {
                let zone = zones[(n + m + k) % zones.len()];
                // Each pair of a day, a date and a time is there, and every seventh triple.
                if (n * 3 + m * 5 + k) % 7 == 0 || n == 0 || m == 0 || k == 0 {
                    let words = [*day, *date, *time].into_iter().filter(|word| !word.is_empty());
                    texts.push(words.collect::<Vec<_>>().join(" ") + zone);
                }
            }
        }
    }
    let Some(theirs) = judged("calendar", &texts) else { return };
    assert!(theirs.iter().filter(|valid| **valid).count() > 50, "both sorts are among them");
    assert_eq!(differing(&texts, |text| comes(text).is_some(), &theirs), Vec::<String>::new());
}

/// The years before today's are asked as well: what has been came once.
#[test]
fn days_that_never_come_are_those_that_systemd_finds_none_of() {
    let weekdays = ["", "Mon ", "Tue..Fri ", "Sat,Sun "];
    let years = ["", "*-", "2027-", "2028-", "2025..2027-", "2026/2-", "1999,2100-"];
    let dates = [
        "02-28",
        "02-29",
        "2-30",
        "04-31",
        "4,6-31",
        "2/2-31",
        "2-30/1",
        "2-27..30",
        "2-30..31",
        "02-28..30/2",
        "12-31",
        "02~28",
        "2~01",
        "5~7/1",
        "11~01..03",
        "2-29,30",
        "6,9..11-31",
        "1-05",
        "5-30/1",
    ];
    let texts: Vec<String> = weekdays
        .iter()
        .flat_map(|weekday| years.iter().map(move |year| format!("{weekday}{year}")))
        .flat_map(|start| dates.iter().map(move |date| format!("{start}{date}")))
        .collect();
    let never = |text: &String| {
        let asked = ["calendar", "--base-time=1970-01-01", "--", text];
        let output = Command::new("systemd-analyze").args(asked).output().ok()?;
        assert!(output.status.success(), "{text}: {output:?}");
        Some(!String::from_utf8_lossy(&output.stdout).contains("Next elapse: never"))
    };
    let Some(theirs) = texts.iter().map(never).collect::<Option<Vec<bool>>>() else {
        eprintln!("systemd-analyze is not installed: nothing to compare with");
        return;
    };
    assert!(theirs.iter().filter(|comes| !**comes).count() > 50, "both sorts are among them");
    assert_eq!(differing(&texts, |text| comes(text) == Some(true), &theirs), Vec::<String>::new());
}

#[test]
fn schedules_of_cron_that_never_come_are_told_apart_from_those_of_days_that_there_are() {
    for schedule in
        ["0 0 30 2 *", "0 0 30,31 feb *", "0 0 31 4,6,9,11 *", "0 0 31 2-4/2 *", "0 0 30-31 2 */3"]
    {
        assert_eq!(cron::comes(schedule), Some(false), "{schedule}");
    }
    for schedule in [
        "0 0 29 2 *",
        "0 0 31 4,5 *",
        "0 0 31 */3 *",
        "0 0 30 2 mon",
        "0 0 30 2 1-5",
        "0 0 */31 2 *",
        "0 0 1,31 2 *",
        "@monthly",
        "0 0 31 */2 *",
    ] {
        assert_eq!(cron::comes(schedule), Some(true), "{schedule}");
    }
    for none in ["0 0 32 2 *", "0 0 30 13 *", "0 0 30 2", "0 0 30 2 mon-sun/0"] {
        assert_eq!(cron::comes(none), None, "{none}");
    }
}

#[test]
fn spans_of_time_are_those_that_systemd_takes() {
    let numbers = ["", "5", "2.5", ".5", "5.", "1.2.3", "12 34", "infinity", "-3", "99999999999"];
    let units = [
        "", "s", "sec", "min", " min", "M", "month", "y", "ms", "us", "\u{b5}s", "w3d", "h 5min",
        "x", "minx", "sm",
    ];
    let texts =
        numbers.iter().flat_map(|number| units.iter().map(move |unit| format!("{number}{unit}")));
    let texts: Vec<String> = texts.collect();
    let Some(theirs) = judged("timespan", &texts) else { return };
    assert!(theirs.iter().any(|valid| *valid));
    assert_eq!(differing(&texts, is_span, &theirs), Vec::<String>::new());
}
