//! Calls about the node, its storages and its tasks.

use super::{
    super::{
        lxc::Power,
        node::Node,
        schema::{self, Kind, Parameters, optional},
    },
    disk::disk_bytes,
    guests,
    reply::{Refusal, Reply},
    request::Call,
};
use crate::model::Vmid;
use serde_json::{Map, Value, json};

/// The version that the lab's behaviour was recorded from.
const VERSION: &str = "9.2.11";
const RELEASE: &str = "9.2";

/// First and last guest number. Source: `pve-vmid`.
const VMID_MIN: u32 = 100;
const VMID_MAX: u32 = 999_999_999;

/// Lines of a task's log in one page, unless told otherwise. Source: pve-manager, `PVE/API2/Tasks.pm`.
const LOG_PAGE: usize = 50;

/// What `root@pam`'s token may do, where privilege separation is off. Source: pve-access-control, `PVE/AccessControl.pm`.
const PRIVILEGES: [&str; 24] = [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Pool.Allocate",
    "Pool.Audit",
    "SDN.Audit",
    "SDN.Use",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Clone",
    "VM.Config.CPU",
    "VM.Config.Disk",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
    "Permissions.Modify",
];

pub(super) fn version(call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    Ok(json!({ "version": VERSION, "release": RELEASE, "repoid": "stackc-lab" }).into())
}

pub(super) fn permissions(call: &Call) -> Result<Reply, Refusal> {
    let given =
        call.verified(&[&[optional("path", Kind::Text), optional("userid", Kind::Text)]])?;
    let all: Map<String, Value> =
        PRIVILEGES.iter().map(|name| ((*name).to_owned(), json!(1))).collect();
    let paths = ["/", "/access", "/nodes", "/pool", "/sdn", "/storage", "/vms"].map(str::to_owned);
    let paths = given.get("path").map_or(paths.to_vec(), |path| vec![path.clone()]);
    let granted = paths.into_iter().map(|path| (path, Value::Object(all.clone())));
    Ok(Value::Object(granted.collect()).into())
}

pub(super) fn resources(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    let kinds = Kind::OneOf(&["vm", "storage", "node", "sdn"]);
    let given = call.verified(&[&[optional("type", kinds)]])?;
    let wanted = |kind: &str| given.get("type").is_none_or(|t| t == kind);
    let guests = node.guests();
    let vms = guests.iter().filter(|_| wanted("vm")).map(|guest| {
        let mut row = guests::row(guest);
        row["id"] = json!(format!("lxc/{}", guest.vmid));
        row["node"] = json!(node.lab.node);
        row["template"] = json!(0);
        row
    });
    let nodes = wanted("node").then(|| node_row(node));
    Ok(vms.chain(nodes).collect::<Value>().into())
}

/// A lab has no pools.
pub(super) fn pools(call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    Ok(json!([]).into())
}

pub(super) fn nodes(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    Ok(json!([node_row(node)]).into())
}

fn node_row(node: &Node) -> Value {
    let name = &node.lab.node;
    json!({ "id": format!("node/{name}"), "node": name, "type": "node", "status": "online", "maxcpu": cpus() })
}

pub(super) fn next_vmid(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[optional("vmid", Kind::Format(schema::vmid))]])?;
    let taken = |number: u32| Vmid::try_from(number).is_ok_and(|vmid| node.guest(vmid).is_some());
    match given.get("vmid").and_then(|text| text.parse().ok()) {
        Some(wanted) if taken(wanted) => {
            Err(Refusal::parameter("vmid", format!("VM {wanted} already exists")))
        }
        Some(wanted) => Ok(json!(wanted.to_string()).into()),
        None => {
            let free = (VMID_MIN..=VMID_MAX).find(|number| !taken(*number));
            let free =
                free.ok_or_else(|| Refusal::Die("unable to get any free VMID".to_owned()))?;
            Ok(json!(free.to_string()).into())
        }
    }
}

pub(super) fn status(call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    let memory = read_proc("meminfo");
    let kibibytes = |name: &str| {
        let line = memory.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|l| l.split_whitespace().next())
            .and_then(|n| n.parse::<u64>().ok())
            .unwrap_or(0)
            << 10
    };
    let (total, free, available) =
        (kibibytes("MemTotal:"), kibibytes("MemFree:"), kibibytes("MemAvailable:"));
    let load: Vec<String> =
        read_proc("loadavg").split_whitespace().take(3).map(str::to_owned).collect();
    Ok(json!({
        "pveversion": format!("pve-manager/{VERSION}/stackc-lab"),
        "uptime": read_proc("uptime").split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0),
        "loadavg": load,
        "memory": { "total": total, "free": free, "available": available, "used": total.saturating_sub(available) },
        "cpuinfo": { "cpus": cpus(), "cores": cpus(), "sockets": 1 },
        "current-kernel": { "sysname": "Linux", "release": read_proc("sys/kernel/osrelease").trim(), "machine": "x86_64" },
    })
    .into())
}

pub(super) fn network(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[&[optional("type", Kind::Text)]])?;
    let lab = &node.lab;
    Ok(json!([{
        "iface": lab.bridge, "type": "bridge", "method": "static", "active": 1, "autostart": 1,
        "address": lab.gateway, "netmask": lab.subnet.prefix_len().to_string(),
        "cidr": format!("{}/{}", lab.gateway, lab.subnet.prefix_len()),
        "bridge_ports": "", "comments": format!("{} on this machine\n", lab.host_bridge), "priority": 1,
    }])
    .into())
}

pub(super) fn storages(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    let schema = [
        optional("content", Kind::Text),
        optional("storage", Kind::Text),
        optional("enabled", Kind::Boolean),
    ];
    let given = call.verified(&[&schema])?;
    let rows = ["local", &node.lab.storage].into_iter().map(|name| storage_row(node, name));
    let wanted = |row: &Value| {
        let carries = |kind: &String| {
            row["content"].as_str().is_some_and(|c| c.split(',').any(|c| c == kind))
        };
        given.get("content").is_none_or(carries)
            && given.get("storage").is_none_or(|name| row["storage"] == json!(name))
    };
    Ok(rows.filter(wanted).collect::<Value>().into())
}

pub(super) fn storage(node: &Node, call: &Call, name: &str) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    known_storage(node, name)?;
    Ok(storage_row(node, name).into())
}

fn storage_row(node: &Node, name: &str) -> Value {
    let disk = rustix::fs::statvfs(node.lab.state.as_str());
    let (total, free) = disk.map_or((0, 0), |d| (d.f_blocks * d.f_frsize, d.f_bavail * d.f_frsize));
    let (kind, content) =
        if name == "local" { ("dir", "vztmpl,iso,backup") } else { ("lvmthin", "rootdir,images") };
    json!({
        "storage": name, "type": kind, "content": content, "active": 1, "enabled": 1, "shared": 0,
        "total": total, "avail": free, "used": total.saturating_sub(free),
    })
}

/// Refuses a storage that the node does not have.
pub(super) fn known_storage(node: &Node, name: &str) -> Result<(), Refusal> {
    let known = name == "local" || name == node.lab.storage;
    if known { Ok(()) } else { Err(Refusal::Die(format!("storage '{name}' does not exist"))) }
}

pub(super) fn content(node: &Node, call: &Call, name: &str) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[
        optional("content", Kind::Text),
        optional("vmid", Kind::Format(schema::vmid)),
    ]])?;
    known_storage(node, name)?;
    let rows: Vec<Value> = if name == "local" {
        node.lab.bases.keys().map(|volume| template_row(volume)).collect()
    } else {
        node.guests().iter().map(|guest| disk_row(guest)).collect()
    };
    let wanted = |row: &Value| {
        given.get("content").is_none_or(|kind| row["content"] == json!(kind))
            && given.get("vmid").is_none_or(|vmid| row["vmid"].as_u64() == vmid.parse().ok())
    };
    Ok(rows.into_iter().filter(wanted).collect::<Value>().into())
}

fn template_row(volume: &str) -> Value {
    json!({ "volid": volume, "content": "vztmpl", "format": "tzst", "size": 0, "ctime": 0 })
}

fn disk_row(guest: &super::super::node::Guest) -> Value {
    let config = guest.config();
    let volume = config.get("rootfs").and_then(|r| r.split(',').next()).unwrap_or_default();
    json!({ "volid": volume, "vmid": u32::from(guest.vmid), "content": "rootdir", "format": "raw", "size": disk_bytes(&config) })
}

pub(super) fn tasks(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[
        optional("vmid", Kind::Format(schema::vmid)),
        optional("source", Kind::OneOf(&["archive", "active", "all"])),
        optional("since", Kind::Integer(0, i64::MAX)),
        optional("limit", Kind::Integer(0, i64::MAX)),
        optional("start", Kind::Integer(0, i64::MAX)),
        optional("errors", Kind::Boolean),
        optional("typefilter", Kind::Text),
        optional("userfilter", Kind::Text),
    ]])?;
    let source = given.get("source").map_or("archive", String::as_str);
    let since = number(given, "since", 0) as u64;
    let rows = node.journal.list(|id, active, start| {
        given.get("vmid").is_none_or(|vmid| vmid == id)
            && (source == "all" || active == (source == "active"))
            && start >= since
    });
    let kind = |row: &Value| given.get("typefilter").is_none_or(|kind| row["type"] == json!(kind));
    let failed =
        |row: &Value| given.get("errors").is_none_or(|e| e == "0") || row["status"] != json!("OK");
    let rows: Vec<Value> = rows.into_iter().filter(|row| kind(row) && failed(row)).collect();
    let total = rows.len();
    let page =
        rows.into_iter().skip(number(given, "start", 0)).take(number(given, "limit", LOG_PAGE));
    Ok(Reply::page(page.collect(), total))
}

pub(super) fn task_status(node: &Node, call: &Call, upid: &str) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    node.journal.status(upid).map(Reply::from).ok_or_else(|| no_task(upid))
}

pub(super) fn task_log(node: &Node, call: &Call, upid: &str) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[
        optional("start", Kind::Integer(0, i64::MAX)),
        optional("limit", Kind::Integer(0, i64::MAX)),
    ]])?;
    let (start, limit) = (number(given, "start", 0), number(given, "limit", LOG_PAGE));
    let (page, total) = node.journal.log(upid, start, limit).ok_or_else(|| no_task(upid))?;
    Ok(Reply::page(page, total))
}

fn no_task(upid: &str) -> Refusal {
    if upid.starts_with("UPID:") {
        Refusal::Die("no such task".to_owned())
    } else {
        Refusal::Die(format!("unable to parse worker upid '{upid}'"))
    }
}

/// A whole number that was checked before.
pub(super) fn number(given: &Parameters, name: &str, default: usize) -> usize {
    given.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A file of `/proc`; those read here are always there.
pub(super) fn read_proc(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/{name}")).unwrap_or_default()
}

/// Seconds that a guest has been up.
pub(super) fn uptime(power: Power) -> u64 {
    let Power::Running { init } = power else { return 0 };
    // Field 22 of stat(5), counted after the command's name, which may hold anything.
    let stat = read_proc(&format!("{init}/stat"));
    let started = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(19))
        .and_then(|t| t.parse::<u64>().ok());
    let now =
        read_proc("uptime").split('.').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(0);
    started.map_or(0, |ticks| now.saturating_sub(ticks / 100))
}
