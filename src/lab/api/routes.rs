//! Which call is answered where.

use super::{
    super::node::{Guest, Node},
    cluster, create, guests,
    reply::{Refusal, Reply},
    request::Call,
};
use crate::model::Vmid;
use std::sync::Arc;

/// Answers one call.
pub(super) fn answer(node: &Arc<Node>, call: &Call) -> Result<Reply, Refusal> {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method.as_str(), path.as_slice()) {
        ("GET", ["version"]) => cluster::version(call),
        ("GET", ["access", "permissions"]) => cluster::permissions(call),
        ("GET", ["cluster", "resources"]) => cluster::resources(node, call),
        ("GET", ["cluster", "nextid"]) => cluster::next_vmid(node, call),
        ("GET", ["pools"]) => cluster::pools(call),
        ("GET", ["nodes"]) => cluster::nodes(node, call),
        (_, ["nodes", name, ..]) if *name != node.lab.node => Err(Refusal::Die(format!(
            "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
        ))),
        (method, ["nodes", _, rest @ ..]) => of_node(node, call, method, rest),
        _ => Err(not_implemented(call)),
    }
}

fn of_node(node: &Arc<Node>, call: &Call, method: &str, path: &[&str]) -> Result<Reply, Refusal> {
    match (method, path) {
        ("GET", ["status"]) => cluster::status(call),
        ("GET", ["network"]) => cluster::network(node, call),
        ("GET", ["storage"]) => cluster::storages(node, call),
        ("GET", ["storage", name, "status"]) => cluster::storage(node, call, name),
        ("GET", ["storage", name, "content"]) => cluster::content(node, call, name),
        ("GET", ["tasks"]) => cluster::tasks(node, call),
        ("GET", ["tasks", upid, "status"]) => cluster::task_status(node, call, upid),
        ("GET", ["tasks", upid, "log"]) => cluster::task_log(node, call, upid),
        ("GET", ["lxc"]) => guests::list(node, call),
        ("POST", ["lxc"]) => create::create(node, call),
        (method, ["lxc", vmid, rest @ ..]) => of_guest(node, call, method, vmid, rest),
        _ => Err(not_implemented(call)),
    }
}

/// A call about one guest, which exists.
type GuestCall = fn(&Arc<Node>, &Arc<Guest>, &Call) -> Result<Reply, Refusal>;

fn of_guest(
    node: &Arc<Node>,
    call: &Call,
    method: &str,
    vmid: &str,
    path: &[&str],
) -> Result<Reply, Refusal> {
    let answer: GuestCall = match (method, path) {
        ("DELETE", []) => guests::destroy,
        ("GET", ["config"]) => guests::config,
        ("PUT", ["config"]) => guests::change,
        ("GET", ["pending"]) => guests::pending,
        ("GET", ["interfaces"]) => guests::interfaces,
        ("PUT", ["resize"]) => guests::resize,
        ("GET", ["status", "current"]) => guests::status,
        ("POST", ["status", "start"]) => guests::start,
        ("POST", ["status", "stop"]) => guests::stop,
        ("POST", ["status", "shutdown"]) => guests::shut_down,
        ("POST", ["status", "reboot"]) => guests::reboot,
        _ => return Err(not_implemented(call)),
    };
    let number = vmid.parse().ok().and_then(|number: u32| Vmid::try_from(number).ok());
    let number = number.ok_or_else(|| {
        Refusal::parameter("vmid", "invalid format - value does not look like a valid VM ID\n")
    })?;
    let missing = || {
        Refusal::Die(format!(
            "Configuration file 'nodes/{}/lxc/{number}.conf' does not exist",
            node.lab.node
        ))
    };
    let guest = node.guest(number).ok_or_else(missing)?;
    answer(node, &guest, call)
}

fn not_implemented(call: &Call) -> Refusal {
    let message = format!("Method '{} /{}' not implemented", call.method, call.path.join("/"));
    Refusal::NotImplemented { message, body: true }
}
