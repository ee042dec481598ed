//! A bundle as a person names it.

use super::{
    output::{self, Format},
    workspace::{self, Workspace},
};
use crate::{compile::Compiled, model::Bundle};
use std::{process::ExitCode, str::FromStr};

/// A guest's bundle as its definitions are now, or one of the store.
#[derive(Debug, Clone)]
pub enum Which {
    Guest(String),
    /// At least `PREFIX_MIN` hex digits.
    Stored(String),
}

/// Fewer digits than this are a slip of the finger.
const PREFIX_MIN: usize = 4;

/// Hex digits alone are a digest: a project that is called so has an env, which is named with it.
impl FromStr for Which {
    type Err = std::convert::Infallible;
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let is_hex = word.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let stored = is_hex && (PREFIX_MIN..=64).contains(&word.len());
        Ok(if stored { Self::Stored(word.to_owned()) } else { Self::Guest(word.to_owned()) })
    }
}

/// The named bundles. Definitions are read when one of them is a guest's, so that two of the store need none that compile.
pub(super) fn bundles<const N: usize>(
    named: [&Which; N],
    workspace: &Workspace,
    format: Format,
) -> Result<[Bundle; N], ExitCode> {
    let has_guest = named.iter().any(|which| matches!(which, Which::Guest(_)));
    let compiled = has_guest.then(|| workspace.compile(format)).transpose()?;
    let mut found = Vec::new();
    for which in named {
        found.push(match which {
            Which::Guest(word) => {
                defined(word, compiled.as_ref().expect("compiled, as a guest is named"))?
            }
            Which::Stored(prefix) => stored(prefix, workspace)?,
        });
    }
    Ok(found.try_into().expect("as many were found as were named"))
}

fn defined(word: &str, compiled: &Compiled) -> Result<Bundle, ExitCode> {
    let target = workspace::select_one(word, &workspace::tags(&compiled.guests))?;
    Ok(compiled.guests[&target].clone())
}

fn stored(prefix: &str, workspace: &Workspace) -> Result<Bundle, ExitCode> {
    let store = workspace.store()?;
    let found = store.find(prefix).and_then(|digest| store.get(&digest));
    found.map_err(|error| output::fail(&error, output::Exit::Refused.code()))
}

#[cfg(test)]
mod tests {
    use super::Which;

    #[test]
    fn hex_digits_alone_are_a_digest_and_all_else_a_guest() {
        let stored = |word: &str| matches!(word.parse(), Ok(Which::Stored(_)));
        assert!(stored("88d4") && stored(&"0".repeat(64)));
        for word in ["88d", "88d4/dev", "88D4", "shop", "@cafe", "", &"0".repeat(65)] {
            assert!(!stored(word), "{word}");
        }
    }
}
