//! What tools say of a file's own text, among all that they say.

use super::UNITS;

/// What systemd says of lines that it reads all the same, in its own words, so that no value of a faulty line is taken for
/// it. Source: `systemd-analyze verify` of systemd 252, tried with the lines of the test below.
const REMARKS: [&str; 4] = [
    " configured, this is not safe!",
    " Unit uses KillMode=none. ",
    " is obsolete, automatically updating to ",
    "=; please use ",
];

/// What `systemd-analyze verify` says of a file's own text. It exits with 0 for unknown keys, and complains of programs and
/// units that only the switch brings.
pub fn complaints<'a>(said: &'a str, path: &str) -> Vec<&'a str> {
    let file = path.strip_prefix(UNITS).unwrap_or(path);
    let words = [
        "Unknown",
        "Failed to parse",
        "Invalid",
        "Missing '='",
        "Assignment outside",
        "has fatal error",
    ];
    let line_of_text = format!("/{file}:");
    let has_number = |line: &str| {
        let rest = line.split_once(&line_of_text).map(|(_, rest)| rest);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    let about_text = |line: &&str| {
        !REMARKS.iter().any(|remark| line.contains(remark))
            && (has_number(line)
                || names(line, file) && words.iter().any(|word| line.contains(word)))
    };
    said.lines().filter(about_text).collect()
}

/// Whether a line names this unit, and not one whose name only ends like it.
fn names(line: &str, file: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
    line.match_indices(file).any(|(at, _)| !line[..at].ends_with(is_of_name))
}

/// What `systemd-analyze verify` says when it does not load a unit for what its lines are together. An instance of a template
/// stands for the template.
pub fn refusals<'a>(said: &'a str, path: &str) -> Vec<&'a str> {
    let file = path.strip_prefix(UNITS).unwrap_or(path);
    let of_file = |line: &str| match (line.split_once(": "), file.split_once('@')) {
        (Some((unit, _)), None) => unit == file,
        (Some((unit, _)), Some((before, after))) => {
            let instance = unit.strip_prefix(before).and_then(|rest| rest.strip_prefix('@'));
            instance.is_some_and(|rest| rest.ends_with(after))
        }
        (None, _) => false,
    };
    let refuses = |line: &str| line.ends_with("Refusing.") || line.ends_with("not loading.");
    said.lines().filter(|line| refuses(line) && of_file(line)).collect()
}

/// What logrotate says of a file's own lines. Of accounts it knows those of the machine that it runs on; and what it cannot
/// make of a log is no matter of the text.
pub fn complaints_of_logrotate<'a>(said: &'a str, path: &str) -> Vec<&'a str> {
    let start = format!("error: {path}:");
    let about_text = |line: &&str| {
        let rest = line.strip_prefix(&start);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            && ![" unknown user ", " unknown group "].iter().any(|words| line.contains(words))
    };
    said.lines().filter(about_text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemd_says_of_a_line_counts_and_what_the_switch_brings_does_not() {
        let of_text = [
            "/tmp/x/d.service:4: WorkingDirectory= path is not absolute: rel",
            "d.service: Unit configuration has fatal error, unit will not be started.",
            "/tmp/x/d.service:7: Unknown key name 'Foo' in section 'Service', ignoring.",
        ];
        let of_others = [
            "d.service: Command /srv/app/run is not executable: No such file or directory",
            "/lib/systemd/system/other.service:3: Unknown key name 'Bar'",
        ];
        let said = of_text.iter().chain(&of_others).copied().collect::<Vec<_>>().join("\n");
        assert_eq!(complaints(&said, "/etc/systemd/system/d.service"), of_text);
    }

    #[test]
    fn what_systemd_says_of_a_unit_whose_name_ends_like_another_counts_for_the_one() {
        let said = "/tmp/x/my-d.service:4: WorkingDirectory= path is not absolute: rel\n\
                    my-d.service: Unit configuration has fatal error, unit will not be started.";
        assert_eq!(complaints(said, "/etc/systemd/system/d.service"), [""; 0]);
        assert_eq!(complaints(said, "/etc/systemd/system/my-d.service").len(), 2);
    }

    #[test]
    fn what_systemd_only_has_a_remark_for_does_not_count() {
        let remarks = [
            "/x/a.service:3: Special user nobody configured, this is not safe!",
            "/x/a.service:4: Unit uses KillMode=none. This is unsafe, as it disables systemd's process lifecycle management",
            "/x/a.service:5: Standard output type syslog is obsolete, automatically updating to journal. Please update",
            "/x/a.service:6: Unit uses MemoryLimit=; please use MemoryMax= instead. Support for MemoryLimit= will be removed soon.",
            "/x/a.service:7: Unit uses CPUShares=; please use CPUWeight= instead. Support for CPUShares= will be removed soon.",
        ];
        let fault =
            "/x/a.service:8: Unknown key name 'unsafe obsolete' in section 'Service', ignoring.";
        let said = [&remarks[..], &[fault]].concat().join("\n");
        assert_eq!(complaints(&said, "/etc/systemd/system/a.service"), [fault]);
    }

    #[test]
    fn what_systemd_says_of_another_units_drop_in_of_the_same_name_does_not_count() {
        let said = "/etc/systemd/system/service.d/10-x.conf:2: Invalid memory limit 'lots'\n\
                    /tmp/x/d.service.d/10-x.conf:3: Missing '=', ignoring line.\n";
        let found = complaints(said, "/etc/systemd/system/d.service.d/10-x.conf");
        assert_eq!(found, ["/tmp/x/d.service.d/10-x.conf:3: Missing '=', ignoring line."]);
    }

    #[test]
    fn a_unit_that_systemd_does_not_load_counts_and_the_refusal_of_another_does_not() {
        let of_unit = "srv-x.mount: Where= setting doesn't match unit name. Refusing.";
        let of_swap = "srv-x.swap: Value of What= and unit name do not match, not loading.";
        let of_instance = "x@i.service: Service has no ExecStart=, ExecStop=. Refusing.";
        let remark = "srv-x.mount: Service has USBFunctionDescriptors= setting. Ignoring.";
        let said = [of_unit, of_swap, of_instance, remark].join("\n");
        let of = |name: &str| refusals(&said, &format!("/etc/systemd/system/{name}"));
        assert_eq!(of("srv-x.mount"), [of_unit]);
        assert_eq!(of("srv-x.swap"), [of_swap]);
        assert_eq!(of("x@.service"), [of_instance]);
        assert_eq!(of("x.mount"), [""; 0]);
        assert_eq!(of("x@.socket"), [""; 0]);
    }

    #[test]
    fn what_logrotate_says_of_a_line_counts_and_what_the_machine_lacks_does_not() {
        let of_text = "error: /etc/logrotate.d/x:3 unknown option 'dayly' -- ignoring line";
        let of_others = "reading config file /etc/logrotate.d/x\n\
                         error: /etc/logrotate.d/x:5 unknown user 'appuser'\n\
                         error: found error in /var/log/x.log , skipping\n\
                         error: stat of /var/log/x.log failed: No such file or directory";
        let said = format!("{of_others}\n{of_text}\n");
        assert_eq!(complaints_of_logrotate(&said, "/etc/logrotate.d/x"), [of_text]);
    }
}
