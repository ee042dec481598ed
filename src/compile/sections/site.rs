//! `site.toml`: Proxmox, and how operators get in.

use super::{firewall, ssh_keys};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::define::Definitions,
        source::{Node, Value},
        view::{Lowering, View},
    },
    model::{Digest, GuestAccess, NodeName, SecretName, Site, Trust},
};
use ipnet::IpNet;

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
    let (proxmox, access) = (section(&root, "proxmox"), section(&root, "access"));
    let management = management(&access);
    SiteFacts {
        site: site(definitions, &proxmox, &access, management.clone()),
        node: proxmox.need::<NodeName>("node").map(|node| node.value),
        management,
        admin_keys: admin_keys(&access, definitions),
    }
}

/// Reads only what leads to the guests.
pub fn reach(definitions: &Definitions, root: &Node, lowering: &Lowering<'_>) -> Option<Site> {
    let root = lowering.table(schema::SITE, root.at, &definitions.site);
    let (proxmox, access) = (section(&root, "proxmox"), section(&root, "access"));
    site(definitions, &proxmox, &access, management(&access))
}

fn site(
    definitions: &Definitions,
    proxmox: &View<'_>,
    access: &View<'_>,
    management: Vec<IpNet>,
) -> Option<Site> {
    let url = proxmox.need_text("url").filter(|url| {
        let valid = url.value.starts_with("https://");
        if !valid {
            let title = format!("`{}` is no address of Proxmox's API", url.value);
            proxmox
                .report(Mistake::new(Code::BadUrl, url.at, title).help("write https://HOST:8006"));
        }
        valid
    });
    let (token, trust) = (token(proxmox), trust(proxmox, definitions));
    let guest_access = GuestAccess {
        user: super::overlay::optional(access, "user", super::overlay::root)
            .unwrap_or_else(super::overlay::root),
        identity: access.text("identity").map(|text| text.value),
        management,
    };
    Some(Site { url: url?.value, token: token?, trust: trust?, access: guest_access })
}

fn section<'a>(root: &View<'a>, key: &'a str) -> View<'a> {
    root.need_node(key);
    root.table(key)
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

fn management(access: &View<'_>) -> Vec<IpNet> {
    let networks: Vec<_> = access
        .texts("management")
        .iter()
        .filter_map(|text| firewall::parse_network(access, &text.value, text.at))
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
