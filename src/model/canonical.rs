//! Canonical JSON: one value, one sequence of bytes (design.md §6).

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Serializer, ser::Formatter};
use std::{
    borrow::Cow,
    cell::RefCell,
    io::{self, Write},
    ops::Range,
};

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
    let out = RefCell::new(Vec::new());
    let sorted = Sorted { out: &out, objects: Vec::new() };
    let mut serializer = Serializer::with_formatter(Out(&out), sorted);
    value.serialize(&mut serializer).expect("the model serialises to JSON");
    let mut bytes = out.into_inner();
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

/// What was written so far; shared, for a formatter sees only that there is a writer.
struct Out<'a>(&'a RefCell<Vec<u8>>);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Puts the members of every object into the order of their keys once all of them are written. `serde_json` writes just the
/// escapes that design.md §6 names, in lower case.
struct Sorted<'a> {
    out: &'a RefCell<Vec<u8>>,
    objects: Vec<Vec<Member>>,
}

/// Where a member of an object stands, without the comma before it.
struct Member {
    key: Range<usize>,
    end: usize,
}

impl Sorted<'_> {
    fn here(&self) -> usize {
        self.out.borrow().len()
    }

    fn member(&mut self) -> &mut Member {
        let object = self.objects.last_mut().expect("a key is written inside an object");
        object.last_mut().expect("its member began before")
    }

    fn sort(&self, mut members: Vec<Member>) {
        let mut out = self.out.borrow_mut();
        if members.is_sorted_by(|a, b| key(&out, a) <= key(&out, b)) {
            return;
        }
        let start = members[0].key.start;
        members.sort_by(|a, b| key(&out, a).cmp(&key(&out, b)));
        let text: Vec<&[u8]> = members.iter().map(|m| &out[m.key.start..m.end]).collect();
        let text = text.join(&b',');
        out.truncate(start);
        out.extend_from_slice(&text);
    }
}

/// A key as it was before it was escaped.
fn key<'a>(out: &'a [u8], member: &Member) -> Cow<'a, [u8]> {
    let written = &out[member.key.clone()];
    if written.contains(&b'\\') {
        let key: String = serde_json::from_slice(written).expect("it was written as a string");
        return Cow::Owned(key.into_bytes());
    }
    Cow::Borrowed(&written[1..written.len() - 1])
}

fn integer<W: ?Sized + Write>(out: &mut W, number: impl TryInto<u64>) -> io::Result<()> {
    let number = number.try_into().ok().filter(|n| *n < 1 << 53);
    let number = number.expect("canonical JSON has integers from 0 to 2^53-1 only");
    write!(out, "{number}")
}

impl Formatter for Sorted<'_> {
    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.objects.push(Vec::new());
        out.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if !first {
            out.write_all(b",")?;
        }
        let here = self.here();
        let object = self.objects.last_mut().expect("a key is written inside an object");
        object.push(Member { key: here..here, end: here });
        Ok(())
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.member().key.end = self.here();
        Ok(())
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.member().end = self.here();
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        let members = self.objects.pop().expect("what ends has begun");
        self.sort(members);
        out.write_all(b"}")
    }

    fn write_u64<W: ?Sized + Write>(&mut self, out: &mut W, number: u64) -> io::Result<()> {
        integer(out, number)
    }

    fn write_i8<W: ?Sized + Write>(&mut self, out: &mut W, number: i8) -> io::Result<()> {
        integer(out, number)
    }

    fn write_i16<W: ?Sized + Write>(&mut self, out: &mut W, number: i16) -> io::Result<()> {
        integer(out, number)
    }

    fn write_i32<W: ?Sized + Write>(&mut self, out: &mut W, number: i32) -> io::Result<()> {
        integer(out, number)
    }

    fn write_i64<W: ?Sized + Write>(&mut self, out: &mut W, number: i64) -> io::Result<()> {
        integer(out, number)
    }

    fn write_f32<W: ?Sized + Write>(&mut self, _: &mut W, number: f32) -> io::Result<()> {
        panic!("canonical JSON has no floats, such as {number}")
    }

    fn write_f64<W: ?Sized + Write>(&mut self, _: &mut W, number: f64) -> io::Result<()> {
        panic!("canonical JSON has no floats, such as {number}")
    }
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
    fn members_are_in_the_order_of_their_keys_before_escapes_at_every_depth() {
        // `"` is 0x22, but written as `\"` it would sort behind `Z`.
        let inner = serde_json::json!({"\"": 1, "Z": {}, "\n": [], "ä": {"y": 1, "x": {"b": 1, "a": 0}}, "": 0});
        let bytes = to_bytes(&[inner]);
        assert_eq!(
            String::from_utf8(bytes).expect("JSON is UTF-8"),
            "[{\"\":0,\"\\n\":[],\"\\\"\":1,\"Z\":{},\"ä\":{\"x\":{\"a\":0,\"b\":1},\"y\":1}}]\n"
        );
    }

    #[test]
    fn a_number_that_another_reader_could_round_is_not_written() {
        assert_eq!(to_bytes(&((1_u64 << 53) - 1)), b"9007199254740991\n");
        for write in [|| to_bytes(&(1_u64 << 53)), || to_bytes(&-1), || to_bytes(&0.5)] {
            assert!(std::panic::catch_unwind(write).is_err());
        }
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
