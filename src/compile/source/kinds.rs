//! Kinds by name, and what they extend.

use super::{
    At,
    define::{Definitions, Kind},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
    },
    model::KindName,
};
use std::collections::BTreeSet;

/// The most kinds of one guest, each of which extends the next.
const EXTENDS_MAX: usize = 16;

impl Definitions {
    /// The layers of a kind with their folders, weakest first; none when one of them cannot be found.
    pub fn kind_chain<'a>(
        &'a self,
        written: &'a str,
        at: At,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<(&'a str, &'a Kind)> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = Some((written, at));
        while let Some((name, at)) = next {
            let Some((folder, kind)) = self.kind(name) else {
                mistakes.push(self.unknown_kind(name, at));
                return Vec::new();
            };
            if !seen.insert(folder) {
                let title = format!("the kind `{name}` extends itself");
                let help =
                    "write `extends = \"builtin:…\"` to start from the built-in kind of that name";
                mistakes.push(Mistake::new(Code::KindCircle, at, title).help(help));
                return Vec::new();
            }
            if chain.len() == EXTENDS_MAX {
                let title = format!("more than {EXTENDS_MAX} kinds extend one another");
                let help = "make one kind of some of them";
                mistakes.push(Mistake::new(Code::KindTooDeep, at, title).help(help));
                return Vec::new();
            }
            chain.push((folder, kind));
            next = kind.extends.as_ref().map(|(name, at)| (name.as_str(), *at));
        }
        chain.reverse();
        chain
    }

    /// A kind by name: the workspace's own, or the built-in; `builtin:x` is always the built-in.
    fn kind(&self, name: &str) -> Option<(&str, &Kind)> {
        let own = format!("templates/{name}/");
        let builtin = format!("builtin:{}/", name.trim_start_matches("builtin:"));
        let found =
            self.kinds.get_key_value(&own).or_else(|| self.kinds.get_key_value(&builtin))?;
        Some((found.0.as_str(), found.1))
    }

    fn unknown_kind(&self, name: &str, at: At) -> Mistake {
        let plain = name.trim_start_matches("builtin:");
        if let Err(error) = plain.parse::<KindName>() {
            return Mistake::of_value(Code::BadName, at, &error);
        }
        let mut known: Vec<_> = self.kinds.keys().filter_map(|f| kind_name(f)).collect();
        known.sort_unstable();
        known.dedup();
        let prefix = &name[..name.len() - plain.len()];
        let help = match schema::nearest(plain, known.iter().copied()) {
            Some(near) => format!("did you mean `{prefix}{near}`?"),
            None => format!("the kinds known here are {}", known.join(", ")),
        };
        Mistake::new(Code::UnknownKind, at, format!("there is no kind `{name}`")).help(help)
    }
}

fn kind_name(folder: &str) -> Option<&str> {
    folder.trim_end_matches('/').rsplit(['/', ':']).next()
}
