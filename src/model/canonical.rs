//! Canonical JSON: one value, one sequence of bytes (design.md §6).

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Bytes that are not canonical JSON of the wanted type.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    #[error("line {line}, column {column}: {message}")]
    Json { line: usize, column: usize, message: String },
    #[error(
        "not in canonical form: sorted keys, no white space, integers only, one final line feed"
    )]
    Form,
}

/// The canonical bytes of a value: keys in byte order, no white space, one final LF.
///
/// # Panics
/// When the value holds what canonical JSON cannot: a float, or a map whose keys are not strings. The model has none.
pub fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let value = serde_json::to_value(value).expect("the model serialises to JSON");
    let mut bytes = Vec::new();
    write(&value, &mut bytes);
    bytes.push(b'\n');
    bytes
}

/// Reads a value and refuses any bytes but the canonical ones.
pub fn from_slice<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value: T = serde_json::from_slice(bytes).map_err(|error| CanonicalError::Json {
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
    })?;
    if to_bytes(&value) == bytes { Ok(value) } else { Err(CanonicalError::Form) }
}

/// Writes keys sorted by itself: `serde_json`'s map order depends on a feature that any crate in the tree may switch on.
fn write(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            out.push(b'{');
            for (n, key) in keys.into_iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write_leaf(&Value::String(key.clone()), out);
                out.push(b':');
                write(&map[key], out);
            }
            out.push(b'}');
        }
        Value::Array(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Value::Number(number) => {
            let integer = number.as_u64().filter(|n| *n < 1 << 53);
            let integer = integer.expect("canonical JSON has integers from 0 to 2^53-1 only");
            out.extend_from_slice(integer.to_string().as_bytes());
        }
        leaf => write_leaf(leaf, out),
    }
}

/// `serde_json` writes just the escapes that design.md §6 names, in lower case.
fn write_leaf(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("writing to memory cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn keys_are_sorted_and_escapes_are_the_short_ones() {
        let value = serde_json::json!({"b": [1, true, null], "a": "\u{8}\u{c}\n\r\t\"\\\u{1f}ä/"});
        let bytes = to_bytes(&value);
        assert_eq!(
            String::from_utf8(bytes).expect("JSON is UTF-8"),
            "{\"a\":\"\\b\\f\\n\\r\\t\\\"\\\\\\u001fä/\",\"b\":[1,true,null]}\n"
        );
    }

    #[test]
    fn other_spellings_of_the_same_value_are_refused() {
        type Map = BTreeMap<String, u64>;
        assert!(from_slice::<Map>(b"{\"a\":1,\"b\":2}\n").is_ok());
        for other in [
            "{\"a\":1,\"b\":2}",
            "{\"b\":2,\"a\":1}\n",
            "{\"a\": 1,\"b\":2}\n",
            "{\"a\":1,\"a\":1,\"b\":2}\n",
            "{\"a\":1,\"b\":2}\n\n",
            "{\"\\u0061\":1,\"b\":2}\n",
        ] {
            assert!(from_slice::<Map>(other.as_bytes()).is_err(), "{other:?}");
        }
    }
}
