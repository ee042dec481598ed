//! The writers of units and of cron's tables against a real systemd and cron: what was written is what programs are given.

use crate::{
    compile_laws::holds, compile_units::hostile, fixture_lab::RealLab, guest_fixture::feed,
};
use proptest::prelude::*;
use stackc::{
    compile::units::{cron, writer},
    lab,
    model::{UnitLine, unit_lines},
};
use std::{
    process::Command,
    time::{Duration, Instant},
};

/// Commands of the one unit, and as many variables.
const MANY: usize = 400;
const GUEST: &str = "law";

/// Notes what it is given: how many arguments, and each of them.
const NOTE: &str = "#!/bin/sh\n{ printf '%s\\0' \"$#\"; [ $# = 0 ] || printf '%s\\0' \"$@\"; } >>/run/law.arguments\n";
/// Notes its variables as the kernel has them.
const NOTE_VARIABLES: [&str; 3] = ["/usr/bin/cp", "/proc/self/environ", "/run/law.variables"];

fn write(lab: &RealLab, path: &str, text: &str) {
    let arguments = lab::ssh_arguments(&lab.place, GUEST).expect("the guest exists");
    let mut command = Command::new("ssh");
    command.args(arguments).arg(format!("cat >{path} && chmod 755 {path} && echo done"));
    assert_eq!(feed(command, text.as_bytes()), b"done\n", "{path}");
}

/// What NULs end on the guest.
fn ended(lab: &RealLab, path: &str) -> Vec<String> {
    let output = lab.ssh(GUEST, &format!("cat {path}")).stdout;
    let text = String::from_utf8(output).expect("only text was written");
    text.split_terminator('\0').map(str::to_owned).collect()
}

fn name(n: usize) -> String {
    format!("LAW_{n}")
}

/// One service that says all of it.
fn unit(arguments: &[Vec<String>], values: &[String], description: &str) -> String {
    let mut lines = vec![("Unit", "Description", description.to_owned())];
    let mut service = |key, value| lines.push(("Service", key, value));
    service("Type", "oneshot".to_owned());
    for (n, value) in values.iter().enumerate() {
        service("Environment", writer::assignment(&name(n), value).expect("it has a form"));
    }
    for arguments in arguments {
        let argv = [&["/run/note".to_owned()][..], arguments].concat();
        service("ExecStart", writer::command(&argv).expect("it has a form"));
    }
    service("ExecStart", writer::command(&NOTE_VARIABLES).expect("it has a form"));
    writer::text(lines.iter().map(|(section, key, value)| (*section, *key, value.as_str())))
}

#[test]
fn a_real_systemd_gives_programs_exactly_the_arguments_and_variables_that_were_written() {
    let Some(lab) = RealLab::start("law") else { return };
    lab.boot(101, GUEST);
    write(&lab, "/run/note", NOTE);
    let arguments = prop::collection::vec(prop::collection::vec(hostile(), 0..5), MANY);
    let values = prop::collection::vec(hostile(), MANY);
    let plain = hostile().prop_filter_map("it has no form", |text| {
        let line = writer::literal(&text).ok()?;
        Some((text, line))
    });
    holds(1, &(arguments, values, plain), |(arguments, values, (description, line))| {
        let text = unit(&arguments, &values, &line);
        let is_read = |line: &(_, UnitLine)| line.1 != UnitLine::Neither;
        prop_assert!(unit_lines(&text).iter().all(is_read), "{}", text);
        write(&lab, "/etc/systemd/system/law.service", &text);
        let run = "rm -f /run/law.*; systemctl daemon-reload && systemctl start law && echo well";
        let said = lab.ssh(GUEST, run);
        prop_assert_eq!(said.stdout, b"well\n".to_vec(), "{:?}", said.stderr);
        let shown = lab.ssh(GUEST, "systemctl show --property=Description --value law").stdout;
        prop_assert_eq!(String::from_utf8_lossy(&shown), format!("{description}\n"));
        let counted = |list: &Vec<String>| [vec![list.len().to_string()], list.clone()].concat();
        let wanted: Vec<String> = arguments.iter().flat_map(counted).collect();
        prop_assert_eq!(ended(&lab, "/run/law.arguments"), wanted);
        let found = ended(&lab, "/run/law.variables");
        for (n, value) in values.iter().enumerate() {
            let wanted = format!("{}={value}", name(n));
            let start = format!("{}=", name(n));
            let given = found.iter().find(|variable| variable.starts_with(&start));
            prop_assert_eq!(given, Some(&wanted));
        }
        Ok(())
    });
}

/// A shell for cron that runs nothing: it notes the line and, for the line `variables`, its variables.
const SHELL: &str = "#!/bin/sh\nif [ \"$2\" = variables ]; then cp /proc/self/environ /run/law.variables; fi\nprintf '%s\\0' \"$2\" >>/run/law.jobs\n";

/// Lines and variables that have a form.
fn with_form<T, E>(
    texts: Vec<String>,
    form: impl Fn(usize, &str) -> Result<T, E>,
) -> Vec<(String, T)> {
    let pair = |(n, text): (usize, String)| form(n, &text).ok().map(|form| (text, form));
    texts.into_iter().enumerate().filter_map(pair).collect()
}

#[test]
fn a_real_cron_runs_exactly_the_lines_and_variables_that_were_written() {
    let Some(lab) = RealLab::start("cron") else { return };
    lab.boot(101, GUEST);
    write(&lab, "/run/shell", SHELL);
    let texts = || prop::collection::vec(hostile(), MANY / 2);
    holds(1, &(texts(), texts()), |(jobs, values)| {
        let jobs = with_form(jobs, |_, job| cron::command(job));
        let values = with_form(values, |n, value| cron::assignment(&name(n), value));
        prop_assert!(jobs.len() > 20 && values.len() > 20, "{} {}", jobs.len(), values.len());
        let mut table = String::from("SHELL=/run/shell\nMAILTO=\"\"\n");
        table.extend(values.iter().map(|(_, line)| format!("{line}\n")));
        table.push_str("@reboot root variables\n");
        table.extend(jobs.iter().map(|(_, line)| format!("@reboot root {line}\n")));
        write(&lab, "/run/law.table", &table);
        let run = "rm -f /run/law.jobs /run/law.variables /run/crond.reboot; install -m 644 /run/law.table /etc/cron.d/law && systemctl reset-failed cron; systemctl restart cron && echo well";
        let said = lab.ssh(GUEST, run);
        prop_assert_eq!(said.stdout, b"well\n".to_vec(), "{:?}", said.stderr);
        let mut wanted: Vec<String> = jobs.into_iter().map(|(job, _)| job).collect();
        wanted.push("variables".to_owned());
        wanted.sort();
        prop_assert_eq!(noted(&lab, wanted.len()), wanted);
        let found = ended(&lab, "/run/law.variables");
        let is_given = |(value, line): &(String, String)| {
            let name = line.split_once('=').expect("an assignment").0;
            found.contains(&format!("{name}={value}"))
        };
        let lost: Vec<String> =
            values.into_iter().filter(|pair| !is_given(pair)).map(|(_, line)| line).collect();
        prop_assert!(lost.is_empty(), "cron reads otherwise: {:?} {:?}", lost, found);
        Ok(())
    });
}

/// What cron ran, in order, once it is this many lines, or no more come.
fn noted(lab: &RealLab, wanted: usize) -> Vec<String> {
    let started = Instant::now();
    loop {
        let mut found = ended(lab, "/run/law.jobs");
        if found.len() >= wanted || started.elapsed() > Duration::from_secs(20) {
            found.sort();
            return found;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
