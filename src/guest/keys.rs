//! `KEY=value` lines in a file of somebody else.

use std::collections::{BTreeMap, BTreeSet};

/// The text with each key set where it stands already, or at the end.
pub fn set(text: &str, keys: &BTreeMap<String, String>) -> String {
    let mut rest = keys.clone();
    let mut lines = Vec::new();
    for line in text.lines() {
        match key_of(line).filter(|key| keys.contains_key(*key)) {
            // A second line for a key would win over the first, or lose to it: there must be one only.
            Some(key) => lines.extend(rest.remove(key).map(|value| format!("{key}={value}"))),
            None => lines.push(line.to_owned()),
        }
    }
    lines.extend(rest.into_iter().map(|(key, value)| format!("{key}={value}")));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

/// The text with these keys as they are in `found`: those that it does not have leave.
pub fn put_back<'k>(text: &str, keys: impl Iterator<Item = &'k String>, found: &str) -> String {
    let keys: BTreeSet<&String> = keys.collect();
    let values = get(found, keys.iter().copied());
    let leaves = |key: &str| keys.iter().any(|k| *k == key) && !values.contains_key(key);
    let stays = |line: &&str| !key_of(line).is_some_and(leaves);
    let kept = text.lines().filter(stays).flat_map(|line| [line, "\n"]).collect::<String>();
    set(&kept, &values)
}

/// The values that these keys have in the text.
pub fn get<'k>(text: &str, keys: impl Iterator<Item = &'k String>) -> BTreeMap<String, String> {
    let value = |wanted: &str| {
        let line = text.lines().rfind(|line| key_of(line) == Some(wanted))?;
        line.split_once('=').map(|(_, value)| value.to_owned())
    };
    keys.filter_map(|key| Some((key.clone(), value(key)?))).collect()
}

fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    (!key.starts_with('#')).then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_set_in_place_and_the_rest_stays() {
        let text = "# IPV6=maybe\nIPV6=no\nMANAGE_BUILTINS=no\nIPV6=yes\n";
        let keys = BTreeMap::from([
            ("IPV6".to_owned(), "yes".to_owned()),
            ("DEFAULT_INPUT_POLICY".to_owned(), "\"DROP\"".to_owned()),
        ]);
        let set = set(text, &keys);
        assert_eq!(
            set,
            "# IPV6=maybe\nIPV6=yes\nMANAGE_BUILTINS=no\nDEFAULT_INPUT_POLICY=\"DROP\"\n"
        );
        assert_eq!(get(&set, keys.keys()), keys);
    }

    #[test]
    fn a_key_that_the_found_file_did_not_have_leaves_it() {
        let found = "# IPT_SYSCTL\nIPV6=no\n";
        let text = "# IPT_SYSCTL\nIPV6=yes\nOTHER=1\nDEFAULT_INPUT_POLICY=\"DROP\"\n";
        let keys = ["IPV6".to_owned(), "DEFAULT_INPUT_POLICY".to_owned()];
        assert_eq!(put_back(text, keys.iter(), found), "# IPT_SYSCTL\nIPV6=no\nOTHER=1\n");
    }
}
