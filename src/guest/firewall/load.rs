//! Tables on their way into a kernel that may not take all of their rules any more.

use super::super::system::SystemError;

/// So many rules are left out at most when the kernel refuses them: each costs another try.
const REFUSED_MAX: usize = 100;

/// Loads tables without the rules that the kernel does not take any more, such as that of a set which is gone: they must not
/// keep the others from coming back. Those rules, and how it went.
pub fn load_most(
    text: &str,
    mut load: impl FnMut(&str) -> Result<(), SystemError>,
) -> (Vec<String>, Result<(), SystemError>) {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut refused = Vec::new();
    loop {
        let loaded = load(&lines.concat());
        let at = match &loaded {
            Err(SystemError::Failed { tail, .. }) if refused.len() < REFUSED_MAX => {
                refused_line(tail).filter(|at| lines.get(*at).is_some_and(|l| l.starts_with("-A ")))
            }
            _ => None,
        };
        let Some(at) = at else { return (refused, loaded) };
        let table = lines[..at].iter().rfind(|line| line.starts_with('*'));
        let table = table.map_or("", |line| line[1..].trim());
        refused.push(format!("{table}: {}", lines[at].trim()));
        lines.remove(at);
    }
}

/// The line that iptables-restore(8) stumbled over, from 0: `Error occurred at line: 4`, or `line 4: RULE_APPEND failed`.
fn refused_line(tail: &[String]) -> Option<usize> {
    tail.iter().find_map(|told| {
        let (_, rest) = told.split_once("line")?;
        let number = rest.trim_start_matches([':', ' ']);
        let number = number.split(|c: char| !c.is_ascii_digit()).next()?;
        number.parse::<usize>().ok()?.checked_sub(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAS: &str = "*filter
:INPUT DROP [1:2]
-A INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-A INPUT -j ufw-user-input
COMMIT
";

    #[test]
    fn a_rule_that_the_kernel_no_longer_takes_keeps_no_other_from_coming_back() {
        let of_sets = [
            "-A INPUT -m set --match-set gone src -j REJECT",
            "-A INPUT -m cgroup --path gone -j DROP",
        ];
        let text =
            WAS.replace("-A INPUT -j ufw", &format!("{}\n-A INPUT -j ufw", of_sets.join("\n")));
        // As iptables 1.8.9 says it of a set, and of what the kernel itself refuses.
        let says = [
            |line| format!("Error occurred at line: {line}"),
            |line| {
                format!("line {line}: RULE_APPEND failed (Invalid argument): rule in chain INPUT")
            },
        ];
        let mut loaded = String::new();
        let load = |text: &str| {
            let refused = text.lines().position(|line| line.contains("gone"));
            let Some(at) = refused else {
                text.clone_into(&mut loaded);
                return Ok(());
            };
            let tail =
                vec!["iptables-restore v1.8.9 (nf_tables): ".to_owned(), says[at % 2](at + 1)];
            let (command, ending) = ("iptables-restore".to_owned(), "exit code 2".to_owned());
            Err(SystemError::Failed { command, ending, tail })
        };
        let (refused, done) = load_most(&text, load);
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(loaded, WAS);
        assert_eq!(refused, of_sets.map(|rule| format!("filter: {rule}")));
        let fails = |_: &str| {
            let (command, ending) = ("iptables-restore".to_owned(), "exit code 1".to_owned());
            let tail = vec!["Error occurred at line: 1".to_owned()];
            Err(SystemError::Failed { command, ending, tail })
        };
        let (refused, done) = load_most(&text, fails);
        assert!(refused.is_empty() && done.is_err(), "what is no rule is not left out");
    }
}
