//! `site.toml`: Proxmox, and how operators get in.

use super::{firewall, ssh_keys};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::define::Definitions,
        source::{Node, Value},
        view::{Located, Lowering, View, missing},
    },
    model::{Digest, DomainName, GuestAccess, NodeName, SecretName, Site, Trust},
};
use ipnet::IpNet;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use std::net::Ipv6Addr;

/// What every guest takes from its site.
pub struct SiteFacts {
    pub site: Option<Site>,
    pub node: Option<NodeName>,
    pub management: Vec<IpNet>,
    pub admin_keys: Vec<String>,
}

/// Reads the site; what is wrong in it is reported once, not by each guest.
pub fn read(definitions: &Definitions, root: &Node, lowering: &Lowering<'_>) -> SiteFacts {
    let root = lowering.table(schema::SITE, root.at, &definitions.site);
    let (proxmox, access) = sections(&root);
    let node = proxmox.and_then(|proxmox| proxmox.need::<NodeName>("node"));
    let management = access.as_ref().map(management).unwrap_or_default();
    let admin_keys = access.map(|access| admin_keys(&access, definitions)).unwrap_or_default();
    SiteFacts {
        site: site(definitions, proxmox, access, management.clone()),
        node: node.map(|node| node.value),
        management,
        admin_keys,
    }
}

/// Reads only what leads to the guests.
pub fn reach(definitions: &Definitions, root: &Node, lowering: &Lowering<'_>) -> Option<Site> {
    let root = lowering.table(schema::SITE, root.at, &definitions.site);
    let (proxmox, access) = sections(&root);
    let management = access.as_ref().map(management).unwrap_or_default();
    site(definitions, proxmox, access, management)
}

/// `proxmox` and `access`. What is in one that is not there is not missed one by one.
fn sections<'a>(root: &View<'a>) -> (Option<View<'a>>, Option<View<'a>>) {
    let proxmox = section(
        root,
        "proxmox",
        "add `[proxmox]` with `url`, `node`, `token`, and `ca` or `fingerprint`",
    );
    (proxmox, section(root, "access", "add `[access]` with `admin_keys` and `management`"))
}

fn section<'a>(root: &View<'a>, key: &'a str, help: &str) -> Option<View<'a>> {
    if !root.table.contains_key(key) {
        root.report(missing(root.at, key).help(help));
    }
    root.node(key).map(|_| root.table(key))
}

fn site(
    definitions: &Definitions,
    proxmox: Option<View<'_>>,
    access: Option<View<'_>>,
    management: Vec<IpNet>,
) -> Option<Site> {
    let access = access.map(|access| guest_access(&access, management));
    let proxmox = proxmox?;
    let url = proxmox.need_text("url").and_then(|text| url(&proxmox, &text));
    let (token, trust) = (token(&proxmox), trust(&proxmox, definitions));
    Some(Site { url: url?, token: token?, trust: trust?, access: access? })
}

fn guest_access(access: &View<'_>, management: Vec<IpNet>) -> GuestAccess {
    let user = super::overlay::optional(access, "user", super::overlay::root);
    GuestAccess {
        user: user.unwrap_or_else(super::overlay::root),
        identity: access.text("identity").map(|text| text.value),
        management,
    }
}

/// An address of the API: a host and a port, and nothing else, for all else would be lost or sent along.
fn url(proxmox: &View<'_>, text: &Located<String>) -> Option<String> {
    let refuse = |title: String| {
        let help = "write https://HOST:8006";
        proxmox.report(Mistake::new(Code::BadUrl, text.at, title).help(help));
        None
    };
    let written = text.value.as_str();
    let after_scheme = written.split_once("://").map_or(written, |(_, rest)| rest);
    let rest = after_scheme.strip_suffix('/').unwrap_or(after_scheme);
    let what = [('@', "a user"), ('?', "a query"), ('#', "a fragment"), ('/', "a path")];
    if let Some((_, what)) = what.into_iter().find(|(sign, _)| rest.contains(*sign)) {
        // The title goes further than the file; a password in it must not.
        return refuse(format!("the address of Proxmox's API has {what} in it"));
    }
    if !written.starts_with("https://") {
        return refuse(format!("`{written}` is no address of Proxmox's API"));
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    if port.is_some_and(|port| !is_port(port)) {
        return refuse(format!("`{written}` has no port from 1 to 65535"));
    }
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = in_brackets.map_or_else(
        || host.parse::<DomainName>().is_ok(),
        |address| address.parse::<Ipv6Addr>().is_ok(),
    );
    if !is_host {
        return refuse(format!("`{written}` names no host"));
    }
    Some(format!("https://{rest}"))
}

fn token(proxmox: &View<'_>) -> Option<SecretName> {
    proxmox.need_node("token")?;
    Some(proxmox.table("token").need::<SecretName>("secret")?.value)
}

fn trust(proxmox: &View<'_>, definitions: &Definitions) -> Option<Trust> {
    match (proxmox.text("ca"), proxmox.text("fingerprint")) {
        (Some(ca), None) => {
            let Some(pem) = definitions.keys.get(&ca.value) else {
                let title = format!("there is no file `{}`", ca.value);
                let help =
                    "copy /etc/pve/pve-root-ca.pem of a node into the workspace's folder `keys`";
                proxmox.report(Mistake::new(Code::MissingFile, ca.at, title).help(help));
                return None;
            };
            if !is_certificate(pem) {
                let title = format!("`{}` is no PEM certificate of a CA", ca.value);
                let help =
                    "copy /etc/pve/pve-root-ca.pem of a node there, its BEGIN and END lines too";
                proxmox.report(Mistake::new(Code::BadCertificate, ca.at, title).help(help));
                return None;
            }
            Some(Trust::Ca(pem.clone()))
        }
        (None, Some(fingerprint)) => {
            let hex = fingerprint.value.replace(':', "").to_lowercase();
            let Ok(digest) = hex.parse::<Digest>() else {
                let title = format!("`{}` is no SHA-256 of a certificate", fingerprint.value);
                let help = "write 32 pairs of hex digits, as Proxmox shows them: \"AB:CD:…\"";
                proxmox
                    .report(Mistake::new(Code::BadFingerprint, fingerprint.at, title).help(help));
                return None;
            };
            Some(Trust::Fingerprint(digest))
        }
        (Some(ca), Some(fingerprint)) => {
            let title = "the API is trusted by `ca` or by `fingerprint`, not by both";
            proxmox.report(
                Mistake::new(Code::TwoTrusts, fingerprint.at, title)
                    .also(ca.at, "the other one")
                    .help("take one of the two out"),
            );
            None
        }
        (None, None) => {
            if !proxmox.table.contains_key("ca") && !proxmox.table.contains_key("fingerprint") {
                let title = "nothing proves that the API is the right one";
                let help = "add `ca = \"keys/pve-root-ca.pem\"`, or `fingerprint = \"AB:CD:…\"`";
                proxmox.report(Mistake::new(Code::NoTrust, proxmox.at, title).help(help));
            }
            None
        }
    }
}

/// Whether a text is certificates alone, each of which can be trusted: what the client will ask of it.
fn is_certificate(pem: &str) -> bool {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let Ok(certificates) = read else { return false };
    let mut store = RootCertStore::empty();
    !certificates.is_empty()
        && !pem.contains("PRIVATE KEY")
        && certificates.into_iter().all(|certificate| store.add(certificate).is_ok())
}

fn management(access: &View<'_>) -> Vec<IpNet> {
    let networks: Vec<_> = access
        .texts("management")
        .iter()
        .filter_map(|text| {
            firewall::parse_network(access, &text.value, text.at, firewall::ADDRESSES)
        })
        .map(|network| network.trunc())
        .collect();
    if networks.is_empty()
        && !access
            .table
            .get("management")
            .is_some_and(|m| matches!(&m.node.value, Value::List(items) if !items.is_empty()))
    {
        let title = "nobody says where operators come from";
        access.report(
            Mistake::new(Code::NoManagement, access.at, title)
                .help("add `management = [\"10.0.10.0/24\"]`"),
        );
    }
    networks
}

fn admin_keys(access: &View<'_>, definitions: &Definitions) -> Vec<String> {
    let files = access.texts("admin_keys");
    if let Some(Node { at, value: Value::List(items) }) = access.need_node("admin_keys")
        && items.is_empty()
    {
        let help = "name a file of the workspace's folder `keys`, such as \"keys/ops.pub\"";
        access.report(Mistake::new(Code::NoAdminKey, *at, "no key lets an operator in").help(help));
    }
    let keys = files
        .iter()
        .filter_map(|file| ssh_keys::read(access, &file.value, file.at, &definitions.keys));
    keys.flatten().collect()
}
