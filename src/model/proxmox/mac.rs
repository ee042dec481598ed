//! Hardware addresses.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The hardware address of one network interface: unicast, and not all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// Text that is no hardware address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no hardware address of an interface: {rule}")]
pub struct ParseMacError {
    pub text: String,
    pub rule: &'static str,
}

impl MacAddr {
    /// The rule as a regular expression of the whole text; it lets all zeros through.
    pub const FORM: &str = "[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}";
}

impl FromStr for MacAddr {
    type Err = ParseMacError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |rule| ParseMacError { text: text.to_owned(), rule };
        let octet = |word: &str| {
            let digits = word.len() == 2 && word.bytes().all(|b| b.is_ascii_hexdigit());
            u8::from_str_radix(word, 16).ok().filter(|_| digits)
        };
        let octets: Option<Vec<u8>> = text.split(':').map(octet).collect();
        let octets = octets.and_then(|octets| <[u8; 6]>::try_from(octets).ok());
        match octets {
            None => Err(refuse("write six pairs of hex digits, such as BC:24:11:00:00:01")),
            Some([first, ..]) if first & 1 == 1 => {
                Err(refuse("it is for many receivers; the first pair must be even"))
            }
            Some([0, 0, 0, 0, 0, 0]) => Err(refuse("no interface has this one")),
            Some(octets) => Ok(Self(octets)),
        }
    }
}

/// Proxmox stores the digits in upper case.
impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.0.map(|octet| format!("{octet:02X}"));
        f.write_str(&pairs.join(":"))
    }
}

impl TryFrom<String> for MacAddr {
    type Error = ParseMacError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}
