//! Questions to the service manager over its own socket, as `systemctl` asks them for root.
//!
//! `systemctl show` has every property of a unit sent, which costs the service manager a millisecond for each unit. Here
//! it is asked for what every report needs of all units at once, and for the rest only of those that do not run.
//! Source: the D-Bus specification (0.41, its message format and authentication), org.freedesktop.systemd1(5).

use super::job_limit;
use super::system::{UnitJob, UnitReport};
use super::unit_report::{self, Said};
use crate::model::UnitName;
use std::io::{Error, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Only root may connect.
const SOCKET: &str = "/run/systemd/private";
/// A service manager that loads units anew answers when it is done.
const LIMIT: Duration = Duration::from_secs(20);
/// Longer than any answer, so that a damaged length is not believed.
const ANSWER_BYTES_MAX: usize = 16 << 20;

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Types of a message and of its header's fields.
const ANSWER: u8 = 2;
const REFUSAL: u8 = 3;
const PATH: (u8, &[u8]) = (1, b"o");
const INTERFACE: (u8, &[u8]) = (2, b"s");
const MEMBER: (u8, &[u8]) = (3, b"s");
const SIGNATURE: u8 = 8;

/// What the service manager says of these units, in their order.
pub fn reports(names: &[&UnitName]) -> Result<Vec<UnitReport>> {
    let mut systemd = Systemd::open()?;
    let mut reports = Vec::new();
    for (name, mut said) in names.iter().zip(systemd.states(names)?) {
        while let Some((interface, property)) = unit_report::more(name, &said).first() {
            let value = systemd.property(name, interface, property)?;
            said.insert(property, value);
        }
        reports.push(unit_report::of(name, &said));
    }
    Ok(reports)
}

/// Instances of these templates that run.
pub fn instances(templates: &[&UnitName]) -> Result<Vec<UnitName>> {
    if templates.is_empty() {
        return Ok(Vec::new());
    }
    Systemd::open()?.instances(templates)
}

/// How long a job of this unit may take.
pub fn job_limit(job: UnitJob, unit: &UnitName) -> Result<Duration> {
    let sort = unit_report::sort(unit);
    let mut timeouts = [0; 2];
    if let Some(properties) = job_limit::properties(sort) {
        let (mut systemd, interface) = (Systemd::open()?, unit_report::interface(sort));
        for (timeout, property) in timeouts.iter_mut().zip(properties) {
            let value = systemd.property(unit, &interface, property)?;
            *timeout = value.parse().map_err(|_| unreadable())?;
        }
    }
    Ok(job_limit::of(job, timeouts))
}

struct Systemd {
    stream: UnixStream,
    serial: u32,
}

impl Systemd {
    fn open() -> Result<Self> {
        let mut stream = UnixStream::connect(SOCKET)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        // Who we are the kernel tells it.
        stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
        let (mut said, mut byte) = (Vec::new(), [0]);
        // Whom it does not take for root it leaves.
        while !said.ends_with(b"\r\n") || !said.windows(3).any(|word| word == b"OK ") {
            stream.read_exact(&mut byte)?;
            said.extend(byte);
        }
        Ok(Self { stream, serial: 0 })
    }

    /// Whether each unit is loaded and runs. It answers in the order of the names.
    fn states(&mut self, names: &[&UnitName]) -> Result<Vec<Said>> {
        let mut body = Vec::new();
        put_list(&mut body, names.iter().map(|name| name.as_str()));
        let answer = self.call(MANAGER_PATH, MANAGER, "ListUnitsByNames", (b"as", &body))?;
        let states: Vec<Said> = listed(&answer)?.into_iter().map(|(_, said)| said).collect();
        if states.len() == names.len() { Ok(states) } else { Err(unreadable()) }
    }

    fn instances(&mut self, templates: &[&UnitName]) -> Result<Vec<UnitName>> {
        let patterns: Vec<String> =
            templates.iter().map(|name| name.as_str().replacen("@.", "@*.", 1)).collect();
        let mut body = Vec::new();
        put_list(&mut body, ["active", "activating", "reloading"].into_iter());
        put_list(&mut body, patterns.iter().map(String::as_str));
        let answer = self.call(MANAGER_PATH, MANAGER, "ListUnitsByPatterns", (b"asas", &body))?;
        listed(&answer)?.into_iter().map(|(id, _)| id.parse().map_err(|_| unreadable())).collect()
    }

    fn property(&mut self, unit: &UnitName, interface: &str, name: &str) -> Result<String> {
        let mut body = Vec::new();
        put_text(&mut body, interface);
        put_text(&mut body, name);
        let answer = self.call(&object(unit), PROPERTIES, "Get", (b"ss", &body))?;
        Reader { bytes: &answer, at: 0 }.variant()
    }

    /// One question, and the body of its answer. Signals that come between are not for us.
    fn call(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        (signature, body): (&[u8], &[u8]),
    ) -> Result<Vec<u8>> {
        self.serial += 1;
        let mut fields = Vec::new();
        for ((code, sort), text) in [(PATH, path), (INTERFACE, interface), (MEMBER, member)] {
            pad(&mut fields, 8);
            fields.extend([code, 1, sort[0], 0]);
            put_text(&mut fields, text);
        }
        pad(&mut fields, 8);
        fields.extend([SIGNATURE, 1, b'g', 0]);
        put_signature(&mut fields, signature);
        let mut message = vec![b'l', 1, 0, 1];
        for number in [length(body.len()), self.serial.to_le_bytes(), length(fields.len())] {
            message.extend(number);
        }
        message.extend(fields);
        pad(&mut message, 8);
        message.extend(body);
        self.stream.write_all(&message)?;
        loop {
            let (sort, body) = self.message()?;
            match sort {
                ANSWER => return Ok(body),
                REFUSAL => {
                    let text = Reader { bytes: &body, at: 0 }.text()?;
                    return Err(Error::other(text));
                }
                _ => {}
            }
        }
    }

    /// The sort and the body of the next message.
    fn message(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let mut reader = Reader { bytes: &head, at: 4 };
        let (body, _serial, fields) = (reader.number()?, reader.number()?, reader.number()?);
        let fields = fields.next_multiple_of(8);
        if head[0] != b'l' || fields + body > ANSWER_BYTES_MAX {
            return Err(unreadable());
        }
        let mut rest = vec![0; fields + body];
        self.stream.read_exact(&mut rest)?;
        Ok((head[1], rest.split_off(fields)))
    }
}

/// The units of an answer, by name, with what it says of each.
fn listed(answer: &[u8]) -> Result<Vec<(String, Said)>> {
    let mut units = Vec::new();
    let mut reader = Reader { bytes: answer, at: 0 };
    let length = reader.number()?;
    // An empty list ends with the padding before what would be its first unit.
    reader.at = reader.aligned(8);
    let end = reader.at + length;
    while reader.at < end {
        reader.at = reader.aligned(8);
        let [id, _description, load, active, sub, _following, _path] = reader.texts()?;
        reader.number()?;
        let [_job_type, _job_path] = reader.texts()?;
        let said = [("LoadState", load), ("ActiveState", active), ("SubState", sub)];
        units.push((id, Said::from(said)));
    }
    Ok(units)
}

/// The path of a unit's object: what is no letter and no digit is written in hex, and so is a digit that comes first.
fn object(unit: &UnitName) -> String {
    let mut path = format!("{MANAGER_PATH}/unit/");
    for (at, byte) in unit.as_str().bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            path.extend(['_', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    path
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).expect("four bits are a digit")
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("questions are short").to_le_bytes()
}

fn pad(bytes: &mut Vec<u8>, to: usize) {
    bytes.resize(bytes.len().next_multiple_of(to), 0);
}

fn put_list<'t>(bytes: &mut Vec<u8>, texts: impl Iterator<Item = &'t str>) {
    let mut list = Vec::new();
    for text in texts {
        put_text(&mut list, text);
    }
    pad(bytes, 4);
    bytes.extend(length(list.len()));
    bytes.extend(list);
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    pad(bytes, 4);
    bytes.extend(length(text.len()));
    bytes.extend(text.bytes());
    bytes.push(0);
}

fn put_signature(bytes: &mut Vec<u8>, signature: &[u8]) {
    bytes.push(u8::try_from(signature.len()).expect("signatures are short"));
    bytes.extend(signature);
    bytes.push(0);
}

fn unreadable() -> Error {
    Error::other("its answer is not understood")
}

/// Reads what D-Bus aligns.
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn aligned(&self, to: usize) -> usize {
        self.at.next_multiple_of(to)
    }

    fn take(&mut self, count: usize) -> Result<&'b [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..count));
        self.at += count;
        taken.ok_or_else(unreadable)
    }

    fn number(&mut self) -> Result<usize> {
        self.at = self.aligned(4);
        let bytes = self.take(4)?.try_into().expect("four were taken");
        Ok(u32::from_le_bytes(bytes) as usize)
    }

    fn text(&mut self) -> Result<String> {
        let length = self.number()?;
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.take(1)?;
        Ok(text)
    }

    fn texts<const COUNT: usize>(&mut self) -> Result<[String; COUNT]> {
        let mut texts = [const { String::new() }; COUNT];
        for text in &mut texts {
            *text = self.text()?;
        }
        Ok(texts)
    }

    /// A value of any of the types that are asked for, in the words of `systemctl show`.
    fn variant(&mut self) -> Result<String> {
        let length = usize::from(self.take(1)?[0]);
        let signature = self.take(length)?;
        self.take(1)?;
        match signature {
            b"s" => self.text(),
            b"b" => Ok(if self.number()? == 0 { "no" } else { "yes" }.to_owned()),
            b"u" => Ok(self.number()?.to_string()),
            b"t" => {
                self.at = self.aligned(8);
                let bytes = self.take(8)?.try_into().expect("eight were taken");
                Ok(u64::from_le_bytes(bytes).to_string())
            }
            b"as" => {
                let end = self.number()? + self.at;
                let mut words = Vec::new();
                while self.at < end {
                    words.push(self.text()?);
                }
                Ok(words.join(" "))
            }
            _ => Err(unreadable()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_object_is_named_as_systemd_names_it() {
        let path = |name: &str| object(&name.parse().expect("it is a unit's name"));
        assert_eq!(path("web.service"), "/org/freedesktop/systemd1/unit/web_2eservice");
        assert_eq!(path("9p-a@b.mount"), "/org/freedesktop/systemd1/unit/_39p_2da_40b_2emount");
    }

    #[test]
    fn values_are_read_as_systemctl_prints_them() {
        let read = |bytes: &[u8]| Reader { bytes, at: 0 }.variant().ok();
        let said = |bytes: &[u8], words: &str| assert_eq!(read(bytes).as_deref(), Some(words));
        said(b"\x01b\0\0\x01\0\0\0", "yes");
        said(b"\x01u\0\0\x03\0\0\0", "3");
        said(b"\x01t\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0", "258");
        said(b"\x01s\0\0\x02\0\0\0ab\0", "ab");
        said(b"\x02as\0\x0e\0\0\0\x01\0\0\0a\0\0\0\x01\0\0\0b\0", "a b");
        said(b"\x02as\0\0\0\0\0", "");
        assert_eq!(read(b"\x01s\0\0\xff\0\0\0ab\0"), None, "it is cut off");
        assert_eq!(read(b"\x01d\0\0\0\0\0\0"), None, "nobody asked for that");
    }
}
