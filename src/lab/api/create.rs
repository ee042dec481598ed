//! The call that makes a container. Source of texts and order of checks: pve-container, `PVE/API2/LXC.pm`, as recorded.

use super::{
    super::{
        config::{Config, OPTIONS},
        node::Node,
        power,
        program::run,
        schema::{self, Kind, Parameter, Parameters, optional, required},
    },
    cluster::known_storage,
    disk::{parse_size, show_size},
    guests::root_only,
    reply::{Refusal, Reply},
    request::Call,
};
use crate::model::Vmid;
use serde_json::json;
use std::sync::Arc;

/// What only the create call takes.
const CREATE: &[Parameter] = &[
    required("vmid", Kind::Format(schema::vmid)),
    required("ostemplate", Kind::Text),
    optional("force", Kind::Absent("backups to restore")),
    optional("password", Kind::Absent("console to log in to with a password")),
    optional("pool", Kind::Text),
    optional("restore", Kind::Absent("backups to restore")),
    optional("ssh-public-keys", Kind::Text),
    optional("start", Kind::Boolean),
    optional("storage", Kind::Text),
];

pub(super) fn create(node: &Arc<Node>, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[CREATE, OPTIONS])?.clone();
    let vmid: Vmid = given["vmid"]
        .parse()
        .ok()
        .and_then(|n: u32| Vmid::try_from(n).ok())
        .expect("the schema checked it");
    if let Some(pool) = given.get("pool") {
        return Err(Refusal::Forbidden(format!("pool '{pool}' does not exist")));
    }
    root_only(&given)?;
    let keys = given.get("ssh-public-keys").cloned().unwrap_or_default();
    check_keys(node, vmid, &keys)?;
    let config = Config::new(create_options(node, vmid, &given)?);
    let taken = || Refusal::Die(format!("CT {vmid} already exists on node '{}'", node.lab.node));
    let guest = node.reserve(vmid)?.ok_or_else(taken)?;
    let (start, template) =
        (given.get("start").is_some_and(|s| s == "1"), given["ostemplate"].clone());
    let worker = Arc::clone(node);
    let upid = node.journal.spawn("vzcreate", &vmid.to_string(), move |log| {
        power::create(&worker, &guest, &power::NewGuest { config, keys, template }, log)?;
        if start {
            let (node, guest) = (Arc::clone(&worker), Arc::clone(&guest));
            let spawned = worker
                .journal
                .spawn("vzstart", &vmid.to_string(), move |_| power::start(&node.lab, &guest));
            spawned.map_err(|error| power::as_text(&error))?;
        }
        Ok(())
    })?;
    Ok(json!(upid).into())
}

/// Lets ssh-keygen judge the keys, as a node does.
fn check_keys(node: &Node, vmid: Vmid, keys: &str) -> Result<(), Refusal> {
    let invalid = || Refusal::Die("SSH public key validation error".to_owned());
    for (i, key) in keys.lines().filter(|line| !line.trim().is_empty()).enumerate() {
        let path = node.lab.state.join(format!("check-{vmid}-{i}.pub"));
        std::fs::write(&path, format!("{key}\n")).map_err(|_| invalid())?;
        let read = run("read a public key", 10, &["ssh-keygen", "-l", "-f", path.as_str()]);
        let _ = std::fs::remove_file(&path);
        read.map_err(|_| invalid())?;
    }
    Ok(())
}

/// The new guest's options, defaults filled in.
fn create_options(node: &Node, vmid: Vmid, given: &Parameters) -> Result<Parameters, Refusal> {
    if given.get("unprivileged").is_some_and(|on| on == "0") {
        return Err(Refusal::parameter("unprivileged", "the lab has no privileged containers"));
    }
    let defaults = [
        ("arch", "amd64"),
        ("ostype", "debian"),
        ("memory", "512"),
        ("swap", "512"),
        ("unprivileged", "1"),
    ];
    let mut options: Parameters =
        defaults.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    options.insert("hostname".to_owned(), format!("CT{vmid}"));
    let known = |name: &str| OPTIONS.iter().any(|p| p.name == name);
    options
        .extend(given.iter().filter(|(name, _)| known(name)).map(|(k, v)| (k.clone(), v.clone())));
    options.insert("rootfs".to_owned(), new_volume(node, vmid, given)?);
    Ok(options)
}

/// The volume for `rootfs=STORAGE:GIB` (or `storage=`, with 4 GiB), as the config names it.
fn new_volume(node: &Node, vmid: Vmid, given: &Parameters) -> Result<String, Refusal> {
    let fallback = format!("{}:4", given.get("storage").map_or("local", String::as_str));
    let wanted = given
        .get("rootfs")
        .map_or(fallback.as_str(), |rootfs| rootfs.split(',').next().unwrap_or_default());
    let Some((storage, size)) = wanted.split_once(':') else {
        return Err(Refusal::Die("Only root can pass arbitrary filesystem paths.".to_owned()));
    };
    known_storage(node, storage)?;
    if storage == "local" {
        return Err(Refusal::Die(
            "storage 'local' does not support container directories".to_owned(),
        ));
    }
    let number = size
        .parse::<f64>()
        .ok()
        .filter(|gib| size.bytes().all(|b| b.is_ascii_digit() || b == b'.') && *gib > 0.0);
    let bytes = number.and_then(|_| parse_size(&format!("{size}G")));
    let bytes =
        bytes.ok_or_else(|| Refusal::Die(format!("unable to parse lvm volume name '{size}'")))?;
    Ok(format!("{storage}:vm-{vmid}-disk-0,size={}", show_size(bytes)))
}
