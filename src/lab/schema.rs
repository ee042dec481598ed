//! Parameters as Proxmox checks them. Texts: pve-common, `PVE/JSONSchema.pm`, as recorded from a real server.

use super::property;
use std::{collections::BTreeMap, net::IpAddr};

/// What a request carries, by name. JSON's `true` is `1`, as a form has it.
pub(super) type Parameters = BTreeMap<String, String>;

/// Texts by parameter: the `errors` of a 400.
pub(super) type Faults = BTreeMap<String, String>;

/// One thing that a call or a property string may carry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Integer(i64, i64),
    Number,
    Boolean,
    Text,
    OneOf(&'static [&'static str]),
    /// Returns what is wrong, without the leading "invalid format - ".
    Format(fn(&str) -> Option<&'static str>),
    /// `key=value,…` with these keys.
    Properties(&'static [Parameter]),
    /// Proxmox has it, the lab does not: says so instead of pretending.
    Absent(&'static str),
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: false }
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Parameter {
    Parameter { name, kind, required: true }
}

/// Everything wrong with these parameters, by name.
pub(super) fn faults(given: &Parameters, schema: &[&[Parameter]]) -> Faults {
    let known = |name: &str| schema.iter().copied().flatten().find(|p| p.name == name);
    let wrong = given.iter().filter_map(|(name, value)| {
        let fault = match known(name) {
            Some(parameter) => fault(parameter.kind, name, value),
            None => Some(NOT_DEFINED.to_owned()),
        };
        fault.map(|text| (name.clone(), text))
    });
    let absent =
        schema.iter().copied().flatten().filter(|p| p.required && !given.contains_key(p.name));
    wrong.chain(absent.map(|p| (p.name.to_owned(), MISSING.to_owned()))).collect()
}

pub(super) const NOT_DEFINED: &str =
    "property is not defined in schema and the schema does not allow additional properties";
pub(super) const MISSING: &str = "property is missing and it is not optional";

/// What is wrong with one value, if anything.
pub(super) fn fault(kind: Kind, name: &str, value: &str) -> Option<String> {
    match kind {
        Kind::Integer(min, max) => integer_fault(value, min, max),
        Kind::Number => {
            let number = value.parse::<f64>().is_ok_and(|n| n.is_finite() && n >= 0.0);
            (!number).then(|| format!("type check ('number') failed - got '{value}'"))
        }
        Kind::Boolean => (!["0", "1"].contains(&value))
            .then(|| format!("type check ('boolean') failed - got '{value}'")),
        Kind::Text => None,
        Kind::OneOf(words) => (!words.contains(&value)).then(|| {
            format!(
                "value '{value}' does not have a value in the enumeration '{}'",
                words.join(", ")
            )
        }),
        Kind::Format(check) => check(value).map(|text| format!("invalid format - {text}\n")),
        Kind::Properties(keys) => property::fault(keys, name, value),
        Kind::Absent(why) => Some(format!("the lab has no {why}")),
    }
}

fn integer_fault(value: &str, min: i64, max: i64) -> Option<String> {
    let Ok(number) = value.parse::<i64>() else {
        return Some(format!("type check ('integer') failed - got '{value}'"));
    };
    if number < min {
        return Some(format!("value must have a minimum value of {min}"));
    }
    (number > max).then(|| format!("value must have a maximum value of {max}"))
}

pub(super) fn vmid(text: &str) -> Option<&'static str> {
    let valid = (3..=9).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit())
        && !text.starts_with('0');
    (!valid).then_some("value does not look like a valid VM ID")
}

pub(super) fn dns_name(text: &str) -> Option<&'static str> {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    (!text.split('.').all(label)).then_some("value does not look like a valid DNS name")
}

pub(super) fn tags(text: &str) -> Option<&'static str> {
    let valid = |tag: &str| {
        tag.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.".contains(c))
    };
    (!split_list(text).all(valid)).then_some("invalid characters in tag")
}

/// A Proxmox list: separated by commas, semicolons, white space or NUL. Source: `PVE::Tools::split_list`.
pub(super) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c == ';' || c == '\0' || c.is_whitespace())
        .filter(|w| !w.is_empty())
}

pub(super) fn addresses(text: &str) -> Option<&'static str> {
    let all = split_list(text).all(|a| a == "host" || a.parse::<IpAddr>().is_ok());
    (!all).then_some("value does not look like a valid IP address")
}

pub(super) fn address(text: &str) -> Option<&'static str> {
    text.parse::<std::net::Ipv4Addr>()
        .is_err()
        .then_some("value does not look like a valid ipv4 address")
}

pub(super) fn ipv4_configuration(text: &str) -> Option<&'static str> {
    let network = || text.contains('/') && text.parse::<ipnet::Ipv4Net>().is_ok();
    (!["dhcp", "manual"].contains(&text) && !network())
        .then_some("value does not look like a valid ipv4 network configuration")
}

pub(super) fn unicast_mac(text: &str) -> Option<&'static str> {
    let octets: Option<Vec<u8>> = text
        .split(':')
        .map(|o| (o.len() == 2).then(|| u8::from_str_radix(o, 16).ok()).flatten())
        .collect();
    let valid = octets.is_some_and(|o| o.len() == 6 && o[0] & 1 == 0);
    (!valid).then_some("value does not look like a valid unicast MAC address")
}

pub(super) fn interface(text: &str) -> Option<&'static str> {
    let valid = (2..=15).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    (!valid).then_some("value does not look like a valid interface name")
}
