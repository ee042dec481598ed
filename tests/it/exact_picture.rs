//! A picture of a whole guest: every path, every unit, every rule. What two pictures differ in is what a transition did.

use crate::exact_units::Unit;
use stackc::model::Digest;
use std::{collections::BTreeMap, fmt};

/// What stackc keeps for itself, whose shape is judged apart.
pub const KEPT: &str = "/var/lib/stackc";

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    File { sha256: Digest },
    Directory,
    Link { target: String },
    Special,
}

/// A path as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub what: What,
    /// Permission bits, set-id bits and the sticky bit; a link has none.
    pub mode: u32,
    /// As the guest has them.
    pub uid: u32,
    pub gid: u32,
    /// Extended attributes and access lists, by name.
    pub attributes: BTreeMap<String, Digest>,
}

/// The kernel's rules without their counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// As `iptables-save` and `ip6tables-save` print them.
    pub kernel: Vec<String>,
    /// The same of a kernel that has just loaded what ufw's files say: what the next boot would have.
    pub files: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Picture {
    pub paths: BTreeMap<String, Seen>,
    /// Contents that are read line by line, of the files that `exact_eye` names.
    pub texts: BTreeMap<String, String>,
    pub units: BTreeMap<String, Unit>,
    pub rules: Rules,
}

/// What is seen at each path, as one text.
pub type Lines = BTreeMap<String, String>;

impl Seen {
    pub fn is_folder(&self) -> bool {
        self.what == What::Directory
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, mode, uid, gid, attributes } = self;
        match what {
            What::File { sha256 } => write!(f, "{mode:04o} {uid}:{gid} file {sha256}")?,
            What::Directory => write!(f, "{mode:04o} {uid}:{gid} folder")?,
            What::Link { target } => return write!(f, "link to {target}"),
            What::Special => write!(f, "{mode:04o} {uid}:{gid} device, socket or pipe")?,
        }
        attributes.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

impl Picture {
    pub fn link(&self, path: &str) -> Option<&str> {
        match &self.paths.get(path)?.what {
            What::Link { target } => Some(target),
            _ => None,
        }
    }

    pub fn text(&self, path: &str) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    /// Every path outside of what stackc keeps. A link through `current` counts with what stands behind it, which changes
    /// while the link stays.
    pub fn lines(&self) -> Lines {
        let others = self.paths.iter().filter(|(path, _)| !is_kept(path));
        others.map(|(path, seen)| (path.clone(), self.line(seen))).collect()
    }

    fn line(&self, seen: &Seen) -> String {
        let behind = match &seen.what {
            What::Link { target } => self.behind(target),
            _ => None,
        };
        behind.map_or_else(|| seen.to_string(), |behind| format!("{seen}: {behind}"))
    }

    /// What a link's target through `current` leads to.
    fn behind(&self, target: &str) -> Option<&Seen> {
        let (part, rest) = target.strip_prefix(KEPT)?.strip_prefix("/current/")?.split_once('/')?;
        let generation = self.link(&format!("{KEPT}/current"))?;
        let part = self.link(&format!("{KEPT}/{generation}/{part}"))?.strip_prefix("../../")?;
        self.paths.get(&format!("{KEPT}/{part}/{rest}"))
    }

    /// Whether nothing of stackc's is live.
    pub fn is_as_found(&self) -> bool {
        self.link(&format!("{KEPT}/generations/{}/tree", self.generation())).is_none()
    }

    /// The number of the live generation; 0 before the first.
    pub fn generation(&self) -> u64 {
        let current = self.link(&format!("{KEPT}/current")).unwrap_or("generations/0");
        current.rsplit('/').next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

pub fn is_kept(path: &str) -> bool {
    path.strip_prefix(KEPT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What differs between two sets of lines, a line for each path: what was wanted there, and what is.
pub fn differences(wanted: &Lines, found: &Lines) -> Vec<(String, String)> {
    let mut paths: Vec<&String> = wanted.keys().chain(found.keys()).collect();
    paths.sort();
    paths.dedup();
    let differs = |path: &&String| wanted.get(*path) != found.get(*path);
    let none = "nothing".to_owned();
    let told = |path: &String| {
        let [wanted, found] = [wanted, found].map(|lines| lines.get(path).unwrap_or(&none));
        (path.clone(), format!("{path}: {wanted} was to be there, and {found} is"))
    };
    paths.into_iter().filter(differs).map(told).collect()
}
