//! `KEY=value` lines in a file of somebody else.

use std::collections::BTreeMap;

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
}
