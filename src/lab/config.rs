//! A container's configuration: what is, what waits for a restart, and the digest over both.

use super::{
    property,
    schema::{self, Kind, Parameter, optional},
};
use crate::model::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Options that both create and PUT take.
pub(super) const OPTIONS: &[Parameter] = &[
    optional("arch", Kind::OneOf(&["amd64"])),
    optional("cmode", Kind::OneOf(&["shell", "console", "tty"])),
    optional("console", Kind::Boolean),
    optional("cores", Kind::Integer(1, 8_192)),
    optional("cpulimit", Kind::Number),
    optional("cpuunits", Kind::Integer(0, 500_000)),
    optional("description", Kind::Text),
    optional("features", Kind::Properties(property::FEATURES)),
    optional("hookscript", Kind::Text),
    optional("hostname", Kind::Format(schema::dns_name)),
    optional("memory", Kind::Integer(16, i64::MAX)),
    optional("mp0", Kind::Absent("mount points")),
    optional("nameserver", Kind::Format(schema::addresses)),
    optional("net0", Kind::Properties(property::NET)),
    optional("net1", Kind::Absent("second network interface")),
    optional("onboot", Kind::Boolean),
    optional("ostype", Kind::OneOf(&["debian"])),
    optional("protection", Kind::Boolean),
    optional("rootfs", Kind::Text),
    optional("searchdomain", Kind::Text),
    optional("startup", Kind::Text),
    optional("swap", Kind::Integer(0, i64::MAX)),
    optional("tags", Kind::Format(schema::tags)),
    optional("timezone", Kind::Text),
    optional("tty", Kind::Integer(0, 6)),
    optional("unprivileged", Kind::Boolean),
];

/// Options that take effect while the container runs; the others wait. Source: pve-container, `PVE/LXC/Config.pm`.
const HOT: [&str; 14] = [
    "cores",
    "cpulimit",
    "cpuunits",
    "description",
    "hookscript",
    "hostname",
    "memory",
    "net0",
    "onboot",
    "protection",
    "startup",
    "swap",
    "tags",
    "lock",
];

/// Options that a container cannot be without. Source: pve-container, `PVE/LXC/Config.pm`.
const UNDELETABLE: [&str; 5] = ["memory", "rootfs", "ostype", "unprivileged", "arch"];

/// A container's options as text, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    values: BTreeMap<String, String>,
    pending: BTreeMap<String, String>,
    pending_delete: BTreeSet<String>,
}

impl Config {
    /// What a container has while it is being made.
    pub(super) fn locked_for_create() -> Self {
        Self { values: BTreeMap::from([("lock".into(), "create".into())]), ..Self::default() }
    }

    pub(super) fn new(values: BTreeMap<String, String>) -> Self {
        let values =
            values.into_iter().filter_map(|(k, v)| Some((normal(&k, &v)?, k)).map(|(v, k)| (k, v)));
        Self { values: values.collect(), ..Self::default() }
    }

    pub(super) fn get(&self, option: &str) -> Option<&str> {
        self.values.get(option).map(String::as_str)
    }

    pub(super) fn number(&self, option: &str) -> Option<u64> {
        self.get(option).and_then(|value| value.parse().ok())
    }

    pub(super) fn is_on(&self, option: &str) -> bool {
        self.get(option) == Some("1")
    }

    pub(super) fn net(&self) -> BTreeMap<String, String> {
        self.get("net0")
            .map(|net| property::parse(net).expect("it was checked before it was stored"))
            .unwrap_or_default()
    }

    /// 40 hex digits that change with every change. Proxmox takes the SHA-1 of the file; nothing depends on which hash.
    pub(super) fn digest(&self) -> String {
        let text = serde_json::to_vec(self).expect("maps of strings are JSON");
        Digest::of(&text).to_string()[..40].to_owned()
    }

    /// Sets an option that was checked before; `hot` when the container runs, so that others wait.
    pub(super) fn set(&mut self, option: &str, value: &str, running: bool) {
        let Some(value) = normal(option, value) else {
            return self.delete(option, running);
        };
        self.pending.remove(option);
        self.pending_delete.remove(option);
        if self.values.get(option) == Some(&value) {
            return;
        }
        let values =
            if running && !HOT.contains(&option) { &mut self.pending } else { &mut self.values };
        values.insert(option.to_owned(), value);
    }

    pub(super) fn delete(&mut self, option: &str, running: bool) {
        self.pending.remove(option);
        if running && !HOT.contains(&option) && self.values.contains_key(option) {
            self.pending_delete.insert(option.to_owned());
        } else {
            self.values.remove(option);
        }
    }

    /// Drops what waits for this option.
    pub(super) fn revert(&mut self, option: &str) {
        self.pending.remove(option);
        self.pending_delete.remove(option);
    }

    /// What waited takes effect.
    pub(super) fn apply_pending(&mut self) {
        let deleted = std::mem::take(&mut self.pending_delete);
        self.values.retain(|option, _| !deleted.contains(option));
        self.values.append(&mut self.pending);
    }

    /// What the config will be after a restart, or what it is now.
    pub(super) fn as_json(&self, current: bool) -> Value {
        let mut shown = self.clone();
        if !current {
            shown.apply_pending();
        }
        let options = shown.values.iter().map(|(k, v)| (k.clone(), option_json(k, v)));
        let digest = [("digest".to_owned(), json!(self.digest()))];
        Value::Object(options.chain(digest).collect())
    }

    /// Every option with what it is and what it will be.
    pub(super) fn pending_json(&self) -> Value {
        let names: BTreeSet<&String> = self.values.keys().chain(self.pending.keys()).collect();
        let rows = names.into_iter().map(|name| {
            let mut row = json!({ "key": name });
            if let Some(value) = self.values.get(name) {
                row["value"] = option_json(name, value);
            }
            if let Some(value) = self.pending.get(name) {
                row["pending"] = option_json(name, value);
            }
            if self.pending_delete.contains(name) {
                row["delete"] = json!(1);
            }
            row
        });
        rows.chain([json!({ "key": "digest", "value": self.digest() })]).collect()
    }
}

/// Why an option cannot be deleted: a `delete` of it is refused.
pub(super) fn delete_fault(option: &str) -> Option<Refused> {
    if UNDELETABLE.contains(&option) {
        return Some(Refused::Die(format!("unable to delete required option '{option}'")));
    }
    let known = OPTIONS.iter().any(|p| p.name == option);
    (!known).then(|| Refused::Parameter(format!("unknown option '{option}'")))
}

/// How a wrong `delete` is answered.
pub(super) enum Refused {
    Die(String),
    Parameter(String),
}

/// A value as Proxmox stores it; nothing when storing it means removing it.
fn normal(option: &str, value: &str) -> Option<String> {
    let value = match option {
        "net0" => property::canonical_net(value, fresh_mac),
        "features" => property::canonical_features(value),
        "tags" => {
            let tags: BTreeSet<String> = schema::split_list(value).map(str::to_lowercase).collect();
            tags.into_iter().collect::<Vec<_>>().join(";")
        }
        "description" if !value.is_empty() => format!("{}\n", value.trim_end_matches('\n')),
        _ => value.to_owned(),
    };
    (!value.is_empty()).then_some(value)
}

/// An address with Proxmox's own prefix. Source: pve-common, `PVE/Tools.pm`, `random_ether_addr`.
fn fresh_mac() -> String {
    let [a, b, c, ..] = super::node::random_bytes();
    format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
}

/// Whole numbers and booleans are numbers in replies; `cpulimit` is text.
fn option_json(option: &str, value: &str) -> Value {
    let kind = OPTIONS.iter().find(|p| p.name == option).map(|p| p.kind);
    match (kind, value.parse::<u64>()) {
        (Some(Kind::Integer(..) | Kind::Boolean), Ok(number)) => json!(number),
        _ => json!(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(options: &[(&str, &str)]) -> Config {
        Config::new(options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn values_are_stored_as_proxmox_stores_them() {
        let config =
            config(&[("tags", "Zeta,alpha zeta"), ("description", "one\ntwo"), ("onboot", "1")]);
        assert_eq!(config.get("tags"), Some("alpha;zeta"));
        assert_eq!(config.get("description"), Some("one\ntwo\n"));
        assert_eq!(config.as_json(true)["onboot"], json!(1));
    }

    #[test]
    fn what_a_running_container_cannot_take_waits_for_its_restart() {
        let mut config =
            config(&[("features", "nesting=1"), ("memory", "128"), ("nameserver", "10.0.0.1")]);
        config.set("features", "nesting=0", true);
        config.set("memory", "256", true);
        config.delete("nameserver", true);
        assert_eq!(config.get("features"), Some("nesting=1"));
        assert_eq!(config.get("memory"), Some("256"));
        assert_eq!(config.as_json(false)["features"], json!("nesting=0"));
        assert_eq!(config.as_json(true)["nameserver"], json!("10.0.0.1"));
        config.apply_pending();
        assert_eq!(config.get("features"), Some("nesting=0"));
        assert_eq!(config.get("nameserver"), None);
    }

    #[test]
    fn the_digest_changes_with_a_change_and_only_then() {
        let mut config = config(&[("memory", "128")]);
        let before = config.digest();
        config.set("memory", "128", true);
        assert_eq!(config.digest(), before);
        config.set("features", "nesting=1", true);
        assert_ne!(config.digest(), before);
        assert_eq!(before.len(), 40);
    }
}
