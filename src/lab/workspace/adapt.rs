//! The worked examples' definitions, with the lab's addresses and access in place of the example's.
//! Text is edited, not written anew, so that comments and order stay what the reader of `stacks/` knows.

use super::{Lab, WorkspaceError};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// Where the workspace keeps the API's CA.
pub(super) const CA: &str = "keys/lab-ca.pem";
/// The operators' private key; `.pub` beside it.
pub(super) const ADMIN_KEY: &str = "keys/ops";

/// The network that the worked examples use.
const EXAMPLE_NETWORK: &str = "10.0.10.";

/// A definition for the lab.
pub(super) fn definition(
    path: &'static str,
    text: &str,
    lab: &Lab,
) -> Result<String, WorkspaceError> {
    let text = text.replace(EXAMPLE_NETWORK, &prefix(lab.subnet));
    if path != "stacks/site.toml" {
        return Ok(text);
    }
    let quoted = |value: &str| format!("\"{value}\"");
    let list = |value: &str| format!("[\"{value}\"]");
    let settings = [
        ("proxmox", "url", quoted(&lab.url)),
        ("proxmox", "node", quoted(&lab.node)),
        ("proxmox", "ca", quoted(CA)),
        ("guest", "template", quoted(&lab.template)),
        ("guest", "storage", quoted(&lab.storage)),
        ("guest", "bridge", quoted(&lab.bridge)),
        ("guest", "gateway", quoted(&lab.gateway.to_string())),
        ("access", "admin_keys", list(&format!("{ADMIN_KEY}.pub"))),
        ("access", "identity", quoted(ADMIN_KEY)),
        ("access", "management", list(&lab.subnet.trunc().to_string())),
    ];
    settings.iter().try_fold(text, |text, (table, key, value)| {
        set(&text, table, key, value).ok_or_else(|| WorkspaceError::Example {
            path,
            reason: format!("it has no table [{table}]"),
        })
    })
}

/// The first three bytes of a /24, as text up to the last dot.
fn prefix(subnet: Ipv4Net) -> String {
    let [a, b, c, _] = Ipv4Addr::octets(&subnet.network());
    format!("{a}.{b}.{c}.")
}

/// Sets a one-line key of a table of a TOML text, keeping a comment behind it; a key that is not there becomes the
/// table's first. None when there is no such table.
fn set(text: &str, table: &str, key: &str, value: &str) -> Option<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let head = lines.iter().position(|line| uncommented(line) == format!("[{table}]"))?;
    let length = lines[head + 1..].iter().position(|line| line.starts_with('['));
    let end = length.map_or(lines.len(), |length| head + 1 + length);
    let found = lines[head + 1..end].iter().position(|line| assigns(line, key));
    match found.map(|offset| head + 1 + offset) {
        Some(index) => {
            let line = &lines[index];
            let comment = line.find('#').map_or("", |hash| &line[line[..hash].trim_end().len()..]);
            lines[index] = format!("{key} = {value}{comment}");
        }
        None => lines.insert(head + 1, format!("{key} = {value}")),
    }
    Some(lines.join("\n") + "\n")
}

fn assigns(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| name.trim() == key)
}

fn uncommented(line: &str) -> &str {
    line.split('#').next().unwrap_or("").trim()
}

#[cfg(test)]
mod tests {
    use super::set;

    const TEXT: &str = "[proxmox] # where\nurl = \"https://a:8006\"   # b\n\n[guest]\nurl = 1\n";

    #[test]
    fn a_key_is_replaced_in_its_table_only_and_keeps_its_comment() {
        assert_eq!(
            set(TEXT, "proxmox", "url", "\"x\"").as_deref(),
            Some("[proxmox] # where\nurl = \"x\"   # b\n\n[guest]\nurl = 1\n")
        );
    }

    #[test]
    fn a_key_that_is_missing_is_added_to_its_table() {
        assert_eq!(
            set(TEXT, "guest", "node", "2").as_deref(),
            Some(
                "[proxmox] # where\nurl = \"https://a:8006\"   # b\n\n[guest]\nnode = 2\nurl = 1\n"
            )
        );
        assert_eq!(set(TEXT, "access", "node", "2"), None);
    }
}
