//! The kernel's rules as iptables-save(8) writes them, by table and chain.

use std::collections::BTreeMap;

/// The tables of one address family.
pub type Tables = BTreeMap<String, Table>;
pub type Table = BTreeMap<String, Chain>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chain {
    /// Of one of the kernel's own chains; a chain of somebody's has none.
    pub policy: Option<String>,
    /// What follows `-A CHAIN `.
    pub rules: Vec<String>,
}

/// What was counted is no part of it.
pub fn parse(text: &str) -> Tables {
    let mut tables = Tables::new();
    let mut name = String::new();
    for line in text.lines() {
        if let Some(table) = line.strip_prefix('*') {
            table.clone_into(&mut name);
            tables.entry(name.clone()).or_default();
            continue;
        }
        let table = tables.entry(name.clone()).or_default();
        if let Some((chain, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) {
            let policy = rest.split(' ').next().filter(|policy| *policy != "-");
            table.entry(chain.to_owned()).or_default().policy = policy.map(str::to_owned);
        } else if let Some((chain, rule)) =
            line.strip_prefix("-A ").and_then(|line| line.split_once(' '))
        {
            table.entry(chain.to_owned()).or_default().rules.push(rule.to_owned());
        }
    }
    tables
}

/// In the form that iptables-restore(8) reads.
pub fn text(tables: &Tables) -> String {
    let mut text = String::new();
    for (name, chains) in tables {
        text.extend(["*", name, "\n"]);
        for (name, chain) in chains {
            let policy = chain.policy.as_deref().unwrap_or("-");
            text.extend([":", name, " ", policy, " [0:0]\n"]);
        }
        for (name, chain) in chains {
            text.extend(chain.rules.iter().flat_map(|rule| ["-A ", name, " ", rule, "\n"]));
        }
        text.push_str("COMMIT\n");
    }
    text
}

/// The kernel's own chains as they are when nobody has set a rule.
pub fn opened(table: &Table) -> Table {
    let own = table.iter().filter(|(_, chain)| chain.policy.is_some());
    let open = || Chain { policy: Some("ACCEPT".to_owned()), rules: Vec::new() };
    own.map(|(name, _)| (name.clone(), open())).collect()
}

/// The words of a rule; a comment in quotes is one.
pub fn words(rule: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut is_quoted, mut chars) = (false, rule.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => word.extend(chars.next()),
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

/// What follows an option; none when there is no such option, or the rule is about all others.
pub fn after<'w>(words: &'w [String], options: &[&str]) -> Option<&'w str> {
    let at = words.iter().position(|word| options.contains(&word.as_str()))?;
    let is_negated = at > 0 && words[at - 1] == "!";
    words.get(at + 1).filter(|_| !is_negated).map(String::as_str)
}

/// Where a rule leads: a chain, or a verdict; none of one that only counts.
pub fn target(words: &[String]) -> Option<&str> {
    after(words, &["-j", "-g"])
}
