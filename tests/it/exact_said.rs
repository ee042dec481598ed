//! What a plan says, read from the text that a person approves.

use stackc::model::Digest;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Where the details of a switch begin in their lines.
const DETAIL: &str = "             ";

/// A plan's lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// The first letters of the wanted bundle's digest; none where the guest is to be as it was found.
    pub digest: Option<String>,
    /// Steps, each with its cause.
    pub steps: BTreeMap<String, String>,
    /// Paths with their sign: `+`, `~` or `-`.
    pub files: BTreeMap<String, char>,
    /// Paths where somebody else's file is kept and taken the place of.
    pub foreign: BTreeSet<String>,
    /// Rules and settings with their sign.
    pub firewall: BTreeSet<String>,
    /// What happens to a unit, in the plan's word.
    pub units: BTreeMap<String, String>,
}

impl Said {
    /// Reads the plan of one guest.
    pub fn read(text: &str) -> Self {
        let mut lines = text.lines();
        let mut step = String::new();
        let head = lines.next().expect("a plan has a first line");
        let to = head.rsplit(" → ").next().expect("a split text has an end");
        let digest = (to != "as found").then(|| to.to_owned());
        let mut said = Self { digest, ..Self::default() };
        for line in lines {
            match line.strip_prefix(DETAIL) {
                Some(detail) if step == "packages" => said.detail(detail.trim_start(), line),
                Some(detail) => said.detail(detail, line),
                None => step = said.step(line),
            }
        }
        said
    }

    /// Reads a step's line; its name.
    fn step(&mut self, line: &str) -> String {
        let words = line.trim_start();
        if words == "nothing to do" || words.starts_with("Not undone: ") {
            return String::new();
        }
        let (name, cause) = words.split_once(' ').unwrap_or_else(|| panic!("no step: {line}"));
        let known =
            ["send", "packages", "accounts", "secrets", "validate", "hooks", "switch", "confirm"];
        assert!(known.contains(&name), "a step that this reader does not know: {line}");
        self.steps.insert(name.to_owned(), cause.trim_start().to_owned());
        name.to_owned()
    }

    fn detail(&mut self, detail: &str, line: &str) {
        // Differences of somebody else's file, and the lines of a step's own commands.
        if detail.starts_with(' ') {
            return;
        }
        let (word, rest) = detail.split_once(' ').unwrap_or_else(|| panic!("no line: {line}"));
        let rest = rest.trim_start();
        match word {
            "+" | "-" | "~" if rest.starts_with("firewall ") => {
                self.firewall.insert(detail.to_owned());
            }
            // No file is a parameter of the kernel, which `ownership_lab` judges.
            "~" if rest.starts_with("sysctl ") => {}
            // Nothing happens to a service that reads a changed file at its next start only.
            "!" if rest.contains(" runs on without reading ") => {}
            "+" | "-" | "~" => {
                let sign = word.chars().next().expect("it is one letter");
                assert!(self.files.insert(rest.to_owned(), sign).is_none(), "twice: {line}");
            }
            "!" => {
                let path = rest.split(' ').next().expect("a split text has a beginning");
                self.foreign.insert(path.to_owned());
            }
            "reload" | "restart" | "stop+start" | "start" | "stop" | "leave" => {
                let (unit, _) = rest.split_once(": ").expect("a unit's line has its causes");
                self.units.insert(unit.to_owned(), word.to_owned());
            }
            "hook" => {}
            _ => panic!("a line that this reader does not know: {line}"),
        }
    }

    pub fn is_nothing(&self) -> bool {
        self.steps.is_empty()
    }

    /// The wanted bundle, of those that `out/` has.
    pub fn bundle(&self, store: &Path) -> Option<Digest> {
        let short = self.digest.as_ref()?;
        let names = std::fs::read_dir(store).expect("the store is a folder");
        let names = names.map(|entry| entry.expect("it is listed").file_name());
        let mut fits = names.filter_map(|name| {
            let name = name.into_string().expect("a digest is ASCII");
            name.starts_with(short).then_some(name)
        });
        Some(fits.next().expect("`out/` has it").parse().expect("it is a digest"))
    }
}

#[test]
fn every_line_of_a_plan_is_read_as_what_it_says() {
    let said = Said::read(
        "exact/dev  guest 150  generation 3 (aaaaaaaaaaaa) → bbbbbbbbbbbb
  send       the guest does not have this bundle
  accounts   users, folders and owners of the new files
  switch     the bundle differs  [restarts]
             + /etc/a
             ~ /etc/b
             - /etc/c
             ! /etc/a takes the place of what is there, which is kept and comes back when it leaves
               -/etc/old
             - firewall allow in tcp to port 80
             + firewall logging = \"low\"
             stop+start b.service: it belongs to b.socket
             restart    a.service: /etc/b changed, Nice changed
             hook       after: /usr/bin/true as root; a failure undoes the switch
  confirm    over a new connection; without it the guest goes back after 60 s
  Not undone: users stay.
",
    );
    assert_eq!(said.digest.as_deref(), Some("bbbbbbbbbbbb"));
    let steps: Vec<&str> = said.steps.keys().map(String::as_str).collect();
    assert_eq!(steps, ["accounts", "confirm", "send", "switch"]);
    let files: Vec<_> = said.files.iter().map(|(path, sign)| format!("{sign}{path}")).collect();
    assert_eq!(files, ["+/etc/a", "~/etc/b", "-/etc/c"]);
    assert!(said.foreign.iter().eq(["/etc/a"]));
    assert_eq!(said.firewall.len(), 2);
    assert_eq!(said.units["b.service"], "stop+start");
    assert_eq!(said.units["a.service"], "restart");
    let found = Said::read("exact/dev  guest 150  new → as found\n  nothing to do\n");
    assert!(found.is_nothing() && found.digest.is_none());
}
