//! Property strings: `key=value,…`. Source: `PVE::JSONSchema::parse_property_string`.

use super::schema::{self, Kind, Parameter, optional, required};
use std::collections::BTreeMap;

/// Keys of `net0`. What the lab cannot do to a guest's network is refused.
pub(super) const NET: &[Parameter] = &[
    required("name", Kind::Format(schema::interface)),
    optional("bridge", Kind::Format(schema::interface)),
    optional("firewall", Kind::Boolean),
    optional("gw", Kind::Format(schema::address)),
    optional("host-managed", Kind::Boolean),
    optional("hwaddr", Kind::Format(schema::unicast_mac)),
    optional("ip", Kind::Format(schema::ipv4_configuration)),
    optional("ip6", Kind::OneOf(&["manual"])),
    optional("link_down", Kind::Boolean),
    optional("mtu", Kind::Integer(64, 65_535)),
    optional("rate", Kind::Absent("rate limits")),
    optional("tag", Kind::Absent("VLANs")),
    optional("trunks", Kind::Absent("VLANs")),
    optional("type", Kind::OneOf(&["veth"])),
];

/// Keys of `features`.
pub(super) const FEATURES: &[Parameter] = &[
    optional("force_rw_sys", Kind::Boolean),
    optional("fuse", Kind::Boolean),
    optional("keyctl", Kind::Boolean),
    optional("mknod", Kind::Boolean),
    optional("mount", Kind::Text),
    optional("nesting", Kind::Boolean),
];

/// The pairs of a property string; the first key that comes twice, or an item without `=`, is an error.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut pairs = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let Some((key, value)) = item.split_once('=') else {
            return Err(format!(
                "value without key, but schema does not define a default key ({item})"
            ));
        };
        if pairs.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(format!("duplicate key in comma-separated list property: {key}"));
        }
    }
    Ok(pairs)
}

/// What is wrong with the property string `name`, as Proxmox words it.
pub(super) fn fault(keys: &[Parameter], name: &str, text: &str) -> Option<String> {
    let pairs = match parse(text) {
        Ok(pairs) => tolerant(keys, pairs),
        Err(fault) => return Some(format!("invalid format - {fault}\n")),
    };
    let faults = schema::faults(&pairs, &[keys]);
    let lines = faults.iter().map(|(key, fault)| format!("{name}.{key}: {fault}\n"));
    (!faults.is_empty())
        .then(|| format!("invalid format - format error\n{}", lines.collect::<String>()))
}

/// Inside property strings, and only there, booleans may be words.
fn tolerant(keys: &[Parameter], pairs: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let boolean = |key: &str| keys.iter().any(|p| p.name == key && matches!(p.kind, Kind::Boolean));
    let word = |value: String| match value.to_ascii_lowercase().as_str() {
        "on" | "yes" | "true" => "1".to_owned(),
        "off" | "no" | "false" => "0".to_owned(),
        _ => value,
    };
    pairs.into_iter().map(|(k, v)| if boolean(&k) { (k, word(v)) } else { (k, v) }).collect()
}

/// A valid `net0` as Proxmox stores it: `name` first, then by key, with a MAC and a type.
pub(super) fn canonical_net(text: &str, fresh_mac: impl FnOnce() -> String) -> String {
    let mut pairs = tolerant(NET, parse(text).unwrap_or_default());
    pairs.entry("hwaddr".to_owned()).or_insert_with(fresh_mac).make_ascii_uppercase();
    pairs.entry("type".to_owned()).or_insert_with(|| "veth".to_owned());
    let name = pairs.remove("name").unwrap_or_default();
    let rest = pairs.iter().map(|(key, value)| format!(",{key}={value}"));
    format!("name={name}{}", rest.collect::<String>())
}

/// Valid `features` as Proxmox stores them: by key.
pub(super) fn canonical_features(text: &str) -> String {
    let pairs = tolerant(FEATURES, parse(text).unwrap_or_default());
    pairs.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_net_is_stored_as_proxmox_stores_it() {
        let stored = canonical_net("name=eth0,ip=10.99.0.103/24,gw=10.99.0.1,bridge=vmbr0", || {
            "bc:24:11:24:ff:7d".into()
        });
        assert_eq!(
            stored,
            "name=eth0,bridge=vmbr0,gw=10.99.0.1,hwaddr=BC:24:11:24:FF:7D,ip=10.99.0.103/24,type=veth"
        );
    }

    #[test]
    fn faults_of_a_net_read_as_recorded() {
        let of = |text| fault(NET, "net0", text).unwrap_or_default();
        assert_eq!(
            of("bridge=vmbr0"),
            "invalid format - format error\nnet0.name: property is missing and it is not optional\n"
        );
        assert_eq!(
            of("name=eth0,name=eth1"),
            "invalid format - duplicate key in comma-separated list property: name\n"
        );
        assert_eq!(
            of("name=eth0,ip=10.0.0.5"),
            "invalid format - format error\nnet0.ip: invalid format - value does not look like a valid ipv4 network configuration\n\n"
        );
        assert_eq!(
            of("name=eth0,hwaddr=01:02:03:04:05:06"),
            "invalid format - format error\nnet0.hwaddr: invalid format - value does not look like a valid unicast MAC address\n\n"
        );
    }

    #[test]
    fn words_are_booleans_inside_property_strings() {
        assert_eq!(fault(FEATURES, "features", "nesting=on"), None);
        assert_eq!(canonical_features("nesting=on,keyctl=0"), "keyctl=0,nesting=1");
    }
}
