//! Files' bytes in JSON, which has none: hex digits, two for each. As numbers, which is what lists of bytes are otherwise,
//! they would take nearly four characters each, and thirty times their size in memory on the way.

use super::EntryPath;
use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
use std::collections::BTreeMap;

type Files = BTreeMap<EntryPath, Vec<u8>>;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// For `#[serde(with = "content")]`.
pub(super) fn serialize<S: Serializer>(files: &Files, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(files.iter().map(|(path, bytes)| (path, to_hex(bytes))))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Files, D::Error> {
    let texts = BTreeMap::<EntryPath, String>::deserialize(deserializer)?;
    let files = texts.into_iter().map(|(path, text)| {
        let bytes = from_hex(&text);
        let bytes = bytes.ok_or_else(|| D::Error::custom(format!("`{path}` is not in hex")))?;
        Ok((path, bytes))
    });
    files.collect()
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// None unless it is pairs of lower-case digits.
pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(nibble(pair[0])? << 4 | nibble(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::{from_hex, to_hex};

    #[test]
    fn every_byte_comes_back_and_what_is_no_hex_does_not_pass() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(from_hex(&to_hex(&all)), Some(all));
        assert_eq!(to_hex(&[0, 9, 255]), "0009ff");
        assert_eq!(from_hex(""), Some(Vec::new()));
        for wrong in ["0", "0g", "0F", "000", "0 "] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
