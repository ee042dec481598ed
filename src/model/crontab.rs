//! The lines of cron's tables that name their users. Source: crontab(5); `load_env` and `load_entry` of Debian's cron.

/// One line of a table below `/etc/cron.d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CronLine<'a> {
    /// A blank line or a comment.
    Nothing,
    Assignment {
        name: &'a str,
        value: &'a str,
    },
    /// What may be a job: whether its schedule is one is another question.
    Job {
        schedule: String,
        user: &'a str,
        command: &'a str,
    },
    Neither,
}

const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> CronLine<'a> {
    pub fn of(line: &'a str) -> Self {
        let line = line.trim_matches(BLANKS);
        if line.is_empty() || line.starts_with('#') {
            return Self::Nothing;
        }
        if let Some((name, value)) = assignment(line) {
            return Self::Assignment { name, value };
        }
        job(line).unwrap_or(Self::Neither)
    }
}

/// `NAME=value`, `NAME = value`, or with quotes around either.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches(BLANKS);
    let bare = unquoted(name);
    let is_name = !name.is_empty() && (!name.contains(BLANKS) || bare.len() < name.len());
    is_name.then(|| (bare, unquoted(value.trim_start_matches(BLANKS))))
}

fn unquoted(text: &str) -> &str {
    let within = |quote| text.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(text)
}

fn job(line: &str) -> Option<CronLine<'_>> {
    let fields = if line.starts_with('@') { 1 } else { 5 };
    let mut rest = line;
    let mut word = || {
        let (word, after) = rest.split_once(BLANKS)?;
        rest = after.trim_start_matches(BLANKS);
        Some(word)
    };
    let schedule: Vec<&str> = (0..fields).map(|_| word()).collect::<Option<_>>()?;
    let user = word()?;
    let job = CronLine::Job { schedule: schedule.join(" "), user, command: rest };
    (!rest.is_empty()).then_some(job)
}

/// What the shell of a job is given: all before the first bare `%`; after it comes the job's input.
pub fn cron_command(written: &str) -> String {
    let mut command = String::new();
    let mut rest = written.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '%' => break,
            '\\' => command.push(rest.next_if(|next| matches!(next, '%' | '\\')).unwrap_or(c)),
            _ => command.push(c),
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job_of(line: &str) -> Option<(&str, &str)> {
        match CronLine::of(line) {
            CronLine::Job { user, command, .. } => Some((user, command)),
            _ => None,
        }
    }

    #[test]
    fn jobs_name_their_users_and_other_lines_are_none() {
        assert_eq!(job_of("15 3 * * mon\troot  /bin/true x"), Some(("root", "/bin/true x")));
        assert_eq!(job_of("@daily backup run"), Some(("backup", "run")));
        assert_eq!(job_of("* * * * * root A=b x"), Some(("root", "A=b x")));
        for line in ["* * * * * root", "* * * * *", "x"] {
            assert_eq!(CronLine::of(line), CronLine::Neither, "{line}");
        }
        for line in ["", " \t", "# * * * * * root x"] {
            assert_eq!(CronLine::of(line), CronLine::Nothing, "{line}");
        }
    }

    #[test]
    fn variables_lose_the_quotes_that_cron_takes_away() {
        let of = |line: &'static str| match CronLine::of(line) {
            CronLine::Assignment { name, value } => (name, value),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(of("A=b"), ("A", "b"));
        assert_eq!(of("A = b c"), ("A", "b c"));
        assert_eq!(of("\"A B\"='c'"), ("A B", "c"));
        assert_eq!(of("SHELL=\"/bin/bash\""), ("SHELL", "/bin/bash"));
        assert_eq!(of("A=\""), ("A", "\""));
    }

    #[test]
    fn a_command_ends_at_a_bare_percent_sign() {
        assert_eq!(cron_command("date +\\%F; cat%if true"), "date +%F; cat");
        assert_eq!(cron_command("echo a\\\\b \\n"), "echo a\\b \\n");
    }
}
