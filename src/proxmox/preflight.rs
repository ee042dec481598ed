//! What can be known before anything is changed.

use super::{ProxmoxError, api::Api};
use crate::model::ProxmoxDocument;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

/// A neighbour on the same network answers in milliseconds.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Ports that something at an address is likely to answer on. Not 22: a login that never comes gets the prober locked out.
const PROBE_PORTS: [u16; 2] = [80, 443];

/// What stands in the way of creating this guest.
pub(super) fn obstacles(api: &Api, wanted: &ProxmoxDocument) -> Result<Vec<String>, ProxmoxError> {
    let mut found = missing_privileges(&api.get("/access/permissions")?, wanted);
    if !found.is_empty() {
        return Ok(found);
    }
    let node = &wanted.node;
    let nodes = names(&api.get("/nodes")?, "node");
    if !nodes.contains(&node.to_string()) {
        let known = nodes.join(", ");
        return Ok(vec![format!("there is no node `{node}`; this cluster has {known}")]);
    }
    let storages = names(&api.get(&format!("/nodes/{node}/storage"))?, "storage");
    let absent = |storage: &&str| !storages.iter().any(|known| known == *storage);
    found.extend(storages_of(wanted).into_iter().filter(absent).map(|storage| {
        format!("node `{node}` has no storage `{storage}`; it has {}", storages.join(", "))
    }));
    let bridges = names(&api.get(&format!("/nodes/{node}/network"))?, "iface");
    let more = wanted.networks.values().map(|network| &network.bridge);
    let used: BTreeSet<_> = more.chain([&wanted.bridge]).collect();
    let absent = used.into_iter().filter(|bridge| !bridges.contains(bridge));
    found.extend(absent.map(|bridge| format!("node `{node}` has no bridge `{bridge}`")));
    found.extend(missing_template(api, wanted, &storages)?);
    found.extend(missing_pool(api, wanted)?);
    Ok(found)
}

fn missing_template(
    api: &Api,
    wanted: &ProxmoxDocument,
    storages: &[String],
) -> Result<Option<String>, ProxmoxError> {
    let Some(options) = wanted.container() else { return Ok(None) };
    let (node, template) = (&wanted.node, &options.template);
    let Some((storage, _)) = template.split_once(':') else {
        return Ok(Some(format!("`{template}` is no volume id: STORAGE:vztmpl/FILE is one")));
    };
    if !storages.iter().any(|s| s == storage) {
        return Ok(Some(format!("node `{node}` has no storage `{storage}` for the template")));
    }
    let content = api.get(&format!("/nodes/{node}/storage/{storage}/content?content=vztmpl"))?;
    let there = names(&content, "volid");
    Ok((!there.contains(template)).then(|| {
        format!("there is no template `{template}`; fetch it on the node with `pveam download`")
    }))
}

fn missing_pool(api: &Api, wanted: &ProxmoxDocument) -> Result<Option<String>, ProxmoxError> {
    let Some(pool) = &wanted.pool else { return Ok(None) };
    // Only those of which the token has Pool.Audit are listed.
    let is_there = names(&api.get("/pools")?, "poolid").contains(pool);
    Ok((!is_there).then(|| format!("there is no pool `{pool}` that the API token may see")))
}

/// The privileges that creating and running a guest takes (pve/facts: measured one by one).
fn missing_privileges(granted: &Value, wanted: &ProxmoxDocument) -> Vec<String> {
    let guest = format!("/vms/{}", wanted.vmid);
    let pool = wanted.pool.as_ref().map(|pool| format!("/pool/{pool}"));
    let of_guest = [
        "VM.Allocate",
        "VM.Audit",
        "VM.PowerMgmt",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Disk",
        "VM.Config.Options",
    ];
    let mut missing: Vec<String> = of_guest
        .iter()
        .filter(|p| {
            !holds(granted, &guest, p) && !pool.as_ref().is_some_and(|at| holds(granted, at, p))
        })
        .map(|p| format!("the API token lacks the privilege {p} on {guest}"))
        .collect();
    for storage in storages_of(wanted) {
        let storage = format!("/storage/{storage}");
        if !holds(granted, &storage, "Datastore.AllocateSpace") {
            missing.push(format!(
                "the API token lacks the privilege Datastore.AllocateSpace on {storage}"
            ));
        }
    }
    missing
}

/// Where the guest's volumes go.
fn storages_of(wanted: &ProxmoxDocument) -> BTreeSet<&str> {
    let mounts = wanted.container().into_iter().flat_map(|options| options.mounts.values());
    mounts.map(|mount| mount.storage.as_str()).chain([wanted.storage.as_str()]).collect()
}

/// Whether a privilege holds at a path: there, or granted with propagation above it.
fn holds(granted: &Value, path: &str, privilege: &str) -> bool {
    let at = |path: &str| granted.get(path).and_then(|privileges| privileges.get(privilege));
    let mut above = path;
    if at(above).is_some() {
        return true;
    }
    // Proxmox lists only paths that ACLs name; a listed deeper path has what it inherits already merged in.
    while let Some((parent, _)) = above.rsplit_once('/') {
        above = if parent.is_empty() { "/" } else { parent };
        if granted.get(above).is_some() {
            return at(above).is_some_and(super::read::flag);
        }
        if above == "/" {
            break;
        }
    }
    false
}

fn names(list: &Value, key: &str) -> Vec<String> {
    let items = list.as_array().into_iter().flatten();
    items.filter_map(|item| Some(item[key].as_str()?.to_owned())).collect()
}

/// Whether something already answers at an address: to ICMP, or to a TCP connection, a refusal included.
pub fn address_answers(address: IpAddr) -> bool {
    let quiet = Stdio::null;
    let ping = Command::new("ping")
        .args(["-c1", "-W1", &address.to_string()])
        .stdin(quiet())
        .stdout(quiet())
        .stderr(quiet())
        .status();
    ping.is_ok_and(|status| status.success())
        || PROBE_PORTS.iter().any(|port| answers_tcp(address, *port))
}

fn answers_tcp(address: IpAddr, port: u16) -> bool {
    match TcpStream::connect_timeout(&SocketAddr::new(address, port), PROBE_TIMEOUT) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
    }
}
