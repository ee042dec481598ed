//! Two generations of a guest side by side, from what the operator still has of them or the guest does.

use super::{ActivateError, Failed, Found, history, rollback::bundle_of};
use crate::{
    model::{
        Bundle, Digest, Generation, GenerationId, HealthDocument, SecretName, Target,
        protocol::HistoryReply,
    },
    plan::{
        Documents,
        difference::{Difference, difference},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// What was live, and what is another in the second than in the first.
#[derive(Debug)]
pub struct Compared {
    pub generations: [Generation; 2],
    /// Between their bundles.
    pub difference: Difference,
    /// Secrets that both have, with other values.
    pub secrets: BTreeSet<SecretName>,
}

impl Compared {
    pub fn is_empty(&self) -> bool {
        self.difference.is_empty() && self.secrets.is_empty()
    }
}

/// Compares two generations by their numbers, undone ones too.
///
/// # Errors
/// When there was none of a number, and when a bundle is nowhere any more.
pub fn compare(
    target: &Target,
    kept: &dyn Fn(&Digest) -> Option<Bundle>,
    found: &mut Found,
    numbers: [GenerationId; 2],
) -> Result<Compared, Failed> {
    let reply = history(target, found)?;
    let [from, to] = numbers.map(|number| generation(target, &reply, number));
    let generations = [from?, to?];
    let [from, to] = generations.each_ref().map(|generation| {
        let digest = generation.digest?;
        Some(bundle_of(target, kept, found, generation.number, &digest))
    });
    let [from, to] = [from.transpose()?, to.transpose()?];
    let empty = |beside: &Option<Bundle>| beside.as_ref().map(empty_beside).transpose();
    let (of_to, of_from) = (empty(&to)?, empty(&from)?);
    let difference = match (from.or(of_to), to.or(of_from)) {
        (Some(from), Some(to)) => difference(Some(&from), &to),
        // Both are the guest as it was found.
        _ => Difference::none(target),
    };
    let secrets = changed_secrets(&generations);
    Ok(Compared { generations, difference, secrets })
}

fn generation(
    target: &Target,
    history: &HistoryReply,
    number: GenerationId,
) -> Result<Generation, Failed> {
    let found = history.generations.iter().find(|generation| generation.number == number);
    found.cloned().ok_or_else(|| {
        let known = history.generations.iter().map(|generation| generation.number).collect();
        Failed::refused(ActivateError::NoRecord { target: target.clone(), number, known })
    })
}

/// The guest as it was found has no bundle: nothing, in the same place.
fn empty_beside(bundle: &Bundle) -> Result<Bundle, Failed> {
    let documents = Documents::of(bundle).map_err(Failed::refused)?;
    let health = HealthDocument { probes: BTreeMap::new(), ..documents.health };
    Ok(Bundle::found(bundle.manifest.target.clone(), &documents.proxmox, &health))
}

fn changed_secrets([from, to]: &[Generation; 2]) -> BTreeSet<SecretName> {
    let is_other =
        |name: &&SecretName| to.tags.get(*name).is_some_and(|tag| *tag != from.tags[*name]);
    from.tags.keys().filter(is_other).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_that_both_have_with_other_values_are_named() {
        let of = |secrets: &[(&str, &str)]| {
            let mut generation = Generation::found(String::new(), String::new());
            let tag = |(name, value): &(&str, &str)| {
                (name.parse().expect("it is a name"), Digest::of(value.as_bytes()))
            };
            generation.tags = secrets.iter().map(tag).collect();
            generation
        };
        let from = of(&[("shop/a", "1"), ("shop/b", "1"), ("shop/gone", "1")]);
        let to = of(&[("shop/a", "2"), ("shop/b", "1"), ("shop/new", "1")]);
        let names: Vec<_> = changed_secrets(&[from, to]).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["shop/a"]);
    }
}
