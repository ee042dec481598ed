//! Rules in ufw's words beside the kernel's: whether they are the same, told from the words alone.
//!
//! What is known to be one rule in two spellings is told without asking the kernel; a difference proves nothing, and the
//! kernel is asked then. Source: `iptables-save` of iptables 1.8.9 and 1.8.11, `save` functions of its extensions.

use super::kernel::declared;
use std::collections::BTreeMap;

/// Options that the kernel writes out, and ufw leaves out.
const DEFAULTS: [&str; 6] = [
    "--name DEFAULT",
    "--rsource",
    "--mask 255.255.255.255",
    "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "--reject-with icmp-port-unreachable",
    "--reject-with icmp6-port-unreachable",
];

/// Parts of a rule, before its matches.
const HEAD: usize = 0;
const TARGET: usize = 1;

/// Whether the kernel has just the wanted rules in every chain that these declare. `false` proves nothing.
pub fn are_same(wanted: &str, kernel: &str) -> bool {
    let (wants, has) = (by_chain(wanted), by_chain(kernel));
    let is_same = |chain: &str| match (wants.get(chain), has.get(chain)) {
        (Some(wants), Some(has)) => wants == has && wants.iter().all(Option::is_some),
        (wants, has) => wants.is_none() && has.is_none(),
    };
    declared(wanted).into_iter().all(is_same)
}

/// The rules of each chain; none in the place of one that is not understood.
fn by_chain(rules: &str) -> BTreeMap<&str, Vec<Option<String>>> {
    let mut chains: BTreeMap<&str, Vec<Option<String>>> = BTreeMap::new();
    for line in rules.lines() {
        let Some((sort @ ("-A" | "-I"), rest)) = line.trim().split_once(' ') else { continue };
        let Some((chain, rest)) = rest.split_once(' ') else { continue };
        let chain = chains.entry(chain).or_default();
        chain.insert(if sort == "-I" { 0 } else { chain.len() }, in_order(rest));
    }
    chains
}

/// A rule with its parts in one order: what the head asks in any, then the target, then the matches as they follow each
/// other, each with its options in any. None when something may have another meaning than is known here: a negation, an
/// escape, a long name.
fn in_order(rule: &str) -> Option<String> {
    let mut parts = vec![Vec::new(), Vec::new()];
    let (mut owner, mut protocol) = (HEAD, String::new());
    for (name, value) in options(rule) {
        if [&name, &value].iter().any(|word| word.contains(['!', '\\'])) {
            return None;
        }
        let option = in_kernels_words(&name, &value);
        match name.as_str() {
            "-m" => {
                owner = parts.len();
                parts.push(vec![value]);
            }
            "-j" => {
                owner = TARGET;
                parts[TARGET].push(value);
            }
            "-p" | "-s" | "-d" | "-i" | "-o" => {
                if name == "-p" {
                    protocol = value;
                }
                parts[HEAD].push(option);
            }
            _ if !name.starts_with("--") => return None,
            _ if DEFAULTS.contains(&option.as_str()) => {}
            _ => {
                // The options of the protocol need not say whose they are.
                if owner == HEAD {
                    owner = parts.len();
                    parts.push(vec![protocol.clone()]);
                }
                parts[owner].push(option);
            }
        }
    }
    for part in &mut parts {
        part.sort_unstable();
    }
    Some(parts.iter().map(|part| part.join("\n")).collect::<Vec<_>>().join("\n\n"))
}

/// The options of a rule, each with its value. What is between quotes is one word.
fn options(rule: &str) -> Vec<(String, String)> {
    let mut options: Vec<(String, String)> = Vec::new();
    for (at, part) in rule.split('"').enumerate() {
        let quoted = at % 2 == 1;
        let words: Vec<&str> = if quoted { vec![part] } else { part.split_whitespace().collect() };
        for word in words {
            match options.last_mut() {
                Some((_, value)) if quoted || !word.starts_with('-') => {
                    value.push_str(word);
                    value.push('\t');
                }
                _ => options.push((word.to_owned(), String::new())),
            }
        }
    }
    for (_, value) in &mut options {
        value.pop();
    }
    options
}

/// An option with its value as the kernel writes it, or both of them in a third way.
fn in_kernels_words(name: &str, value: &str) -> String {
    let ends: &[(&str, &str)] = match name {
        "-s" | "-d" => &[("/32", ""), ("/128", "")],
        "--limit" => &[("/minute", "/min"), ("/second", "/sec")],
        _ => &[],
    };
    let mut value = value.to_owned();
    for (long, short) in ends {
        if let Some(rest) = value.strip_suffix(long) {
            value = [rest, short].concat();
        }
    }
    if value.is_empty() { name.to_owned() } else { [name, " ", &value].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UFW: &str = r#"*filter
:ufw-user-input - [0:0]
:ufw-user-limit - [0:0]
:ufw-logging-deny - [0:0]
-A ufw-user-input -p tcp --dport 22 -s 10.0.0.1 -j ACCEPT
-A ufw-user-input -p tcp -m multiport --dports 80,443 -i eth0 -j ACCEPT
-A ufw-user-input -p tcp --dport 23 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 -j ufw-user-limit
-A ufw-user-limit -m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "
-A ufw-user-limit -j REJECT
-A ufw-logging-deny -j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10
-I ufw-logging-deny -m conntrack --ctstate INVALID -j RETURN -m limit --limit 3/min --limit-burst 10
COMMIT
"#;
    const KERNEL: &str = r#"*filter
:INPUT DROP [0:0]
:f2b-sshd - [0:0]
:ufw-logging-deny - [0:0]
-A f2b-sshd -s 192.0.2.1/32 -j REJECT --reject-with icmp-port-unreachable
-A ufw-logging-deny -m conntrack --ctstate INVALID -m limit --limit 3/min --limit-burst 10 -j RETURN
-A ufw-logging-deny -m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "
-A ufw-user-input -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-user-input -i eth0 -p tcp -m multiport --dports 80,443 -j ACCEPT
-A ufw-user-input -p tcp -m tcp --dport 23 -m conntrack --ctstate NEW -m recent --update --seconds 30 --hitcount 6 --name DEFAULT --mask 255.255.255.255 --rsource -j ufw-user-limit
-A ufw-user-limit -m limit --limit 3/min -j LOG --log-prefix "[UFW LIMIT BLOCK] "
-A ufw-user-limit -j REJECT --reject-with icmp-port-unreachable
COMMIT
"#;

    #[test]
    fn the_kernels_spelling_of_ufws_rules_is_no_difference() {
        assert!(are_same(UFW, KERNEL));
    }

    /// A change of any word of any rule of the bundle's chains, a rule more or less, another order.
    #[test]
    fn no_other_rule_passes_for_a_bundles_own() {
        let lines: Vec<&str> = KERNEL.lines().collect();
        let own = (0..lines.len()).filter(|at| lines[*at].starts_with("-A ufw-"));
        let mut tried = 0;
        for at in own {
            let words: Vec<&str> = lines[at].split(' ').collect();
            let mut others: Vec<Vec<String>> = vec![vec![], vec![lines[at].to_owned(); 2]];
            for word in 2..words.len() {
                let mut other = words.clone();
                other.remove(word);
                if !DEFAULTS.contains(&words[word]) {
                    others.push(vec![other.join(" ")]);
                }
                let changed = format!("{}1", words[word]);
                other.insert(word, &changed);
                others.push(vec![other.join(" ")]);
                others.push(vec![lines[at].replacen(
                    words[word],
                    &format!("! {}", words[word]),
                    1,
                )]);
            }
            for other in others {
                let mut kernel: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
                kernel.splice(at..=at, other.clone());
                assert!(!are_same(UFW, &kernel.join("\n")), "{:?} is not {other:?}", lines[at]);
                tried += 1;
            }
        }
        assert!(tried > 100, "{tried}");
        let mut swapped = lines.clone();
        swapped.swap(7, 8);
        assert!(!are_same(UFW, &swapped.join("\n")), "the order of rules counts");
        assert!(!are_same(UFW, "*filter\nCOMMIT\n"));
    }
}
