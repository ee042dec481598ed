//! Calls about containers that exist. Source of texts and order of checks: pve-container, `PVE/API2/LXC.pm`, as recorded.

use super::{
    super::{
        config::{self, Config, OPTIONS, Refused},
        lxc::Power,
        node::{Guest, Node},
        power,
        program::run,
        schema::{self, Kind, Parameter, Parameters, optional, required},
    },
    cluster::{number, uptime},
    disk::{disk_bytes, parse_size, show_size},
    reply::{Refusal, Reply},
    request::Call,
};
use serde_json::{Value, json};
use std::sync::Arc;

/// What only PUT config takes.
const CHANGE: &[Parameter] = &[
    optional("delete", Kind::Text),
    optional("digest", Kind::Text),
    optional("revert", Kind::Text),
];

/// How long a guest may take to shut down, unless told otherwise. Source: pve-container, `vm_shutdown`.
const SHUTDOWN_SECONDS: usize = 60;

pub(super) fn list(node: &Node, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    Ok(node.guests().iter().map(|guest| row(guest)).collect::<Value>().into())
}

/// What lists say about a guest.
pub(super) fn row(guest: &Guest) -> Value {
    let (config, power) = (guest.config(), guest.power());
    let mut row = json!({
        "vmid": u32::from(guest.vmid), "type": "lxc", "status": status_word(power), "uptime": uptime(power),
        "name": config.get("hostname"), "maxmem": config.number("memory").unwrap_or(0) << 20,
        "maxdisk": disk_bytes(&config), "maxcpu": config.number("cores"), "cpus": config.number("cores"),
    });
    for key in ["tags", "lock"] {
        if let Some(value) = config.get(key) {
            row[key] = json!(value);
        }
    }
    row
}

fn status_word(power: Power) -> &'static str {
    if power == Power::Stopped { "stopped" } else { "running" }
}

/// What even `root@pam`'s token may not set.
pub(super) fn root_only(given: &Parameters) -> Result<(), Refusal> {
    let other = |f: &str| !f.is_empty() && !f.starts_with("nesting=");
    if given.get("features").is_some_and(|features| features.split(',').any(other)) {
        return Err(Refusal::Forbidden(
            "changing feature flags (except nesting) is only allowed for root@pam".to_owned(),
        ));
    }
    if given.contains_key("hookscript") {
        return Err(Refusal::Forbidden(
            "changing the hookscript is only allowed for root@pam".to_owned(),
        ));
    }
    Ok(())
}

pub(super) fn config(_: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[
        optional("current", Kind::Boolean),
        optional("snapshot", Kind::Absent("snapshots")),
    ]])?;
    Ok(guest.config().as_json(given.get("current").is_some_and(|c| c == "1")).into())
}

pub(super) fn pending(_: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    Ok(guest.config().pending_json().into())
}

pub(super) fn change(_: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[CHANGE, OPTIONS])?;
    if given.keys().all(|name| name == "digest") {
        return Err(Refusal::Die("no options specified".to_owned()));
    }
    root_only(given)?;
    let _lock = guest.lock().map_err(Refusal::Die)?;
    let old = guest.config();
    unlocked(&old)?;
    if given.get("digest").is_some_and(|digest| *digest != old.digest()) {
        return Err(Refusal::Die(
            "detected modified configuration - file changed by other user? Try again.".to_owned(),
        ));
    }
    let running = guest.power() != Power::Stopped;
    let new = changed(&old, given, running)?;
    if running {
        apply_live(guest, &old, &new)?;
    }
    guest.replace(new)?;
    Ok(Value::Null.into())
}

fn unlocked(config: &Config) -> Result<(), Refusal> {
    config.get("lock").map_or(Ok(()), |lock| Err(Refusal::Die(format!("CT is locked ({lock})"))))
}

fn changed(old: &Config, given: &Parameters, running: bool) -> Result<Config, Refusal> {
    let mut new = old.clone();
    let list = |name: &str| {
        schema::split_list(given.get(name).map_or("", String::as_str)).collect::<Vec<_>>()
    };
    for option in list("revert") {
        new.revert(option);
    }
    for option in list("delete") {
        if given.contains_key(option) {
            let text = format!("you can't use '-{option}' and '-delete {option}' at the same time");
            return Err(Refusal::parameter("delete", text));
        }
        match config::delete_fault(option) {
            Some(Refused::Die(text)) => return Err(Refusal::Die(text)),
            Some(Refused::Parameter(text)) => return Err(Refusal::parameter("delete", text)),
            None => new.delete(option, running),
        }
    }
    for (option, value) in given.iter().filter(|(name, _)| !CHANGE.iter().any(|p| p.name == *name))
    {
        if option == "unprivileged" {
            return Err(Refusal::Die(
                "unable to modify read-only option: 'unprivileged'".to_owned(),
            ));
        }
        new.set(option, value, running);
    }
    Ok(new)
}

/// Makes the running guest follow; when it does not, nothing is written.
fn apply_live(guest: &Guest, old: &Config, new: &Config) -> Result<(), Refusal> {
    let hotplug = |option: &'static str| {
        move |error| {
            Refusal::parameter(
                option,
                format!("unable to hotplug {option}: {}\n", power::as_text(&error)),
            )
        }
    };
    if ["memory", "cores"].into_iter().any(|option| old.get(option) != new.get(option)) {
        guest.container.apply_limits(new).map_err(hotplug("memory"))?;
    }
    if old.get("net0") != new.get("net0") || old.get("hostname") != new.get("hostname") {
        power::apply_identity(guest, new).map_err(hotplug("net0"))?;
    }
    Ok(())
}

pub(super) fn resize(node: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    let schema = [
        required("disk", Kind::OneOf(&["rootfs"])),
        required("size", Kind::Text),
        optional("digest", Kind::Text),
    ];
    let given = call.verified(&[&schema])?;
    let config = guest.config();
    protected(guest, &config, "resize")?;
    let (old, wanted) = (disk_bytes(&config), &given["size"]);
    let wanted = match wanted.strip_prefix('+') {
        Some(more) => parse_size(more).map(|more| old + more),
        None => parse_size(wanted),
    };
    let format = "invalid format - value does not match the regex pattern\n";
    let new = wanted.ok_or_else(|| Refusal::parameter("size", format))?;
    match new.cmp(&old) {
        std::cmp::Ordering::Less => {
            return Err(Refusal::Die("unable to shrink disk size".to_owned()));
        }
        std::cmp::Ordering::Equal => {
            return Err(Refusal::Die("disk is already at specified size".to_owned()));
        }
        std::cmp::Ordering::Greater => {}
    }
    task(node, guest, "resize", move |_, guest| {
        let _lock = guest.lock()?;
        let mut config = guest.config();
        let rootfs = config.get("rootfs").unwrap_or_default().to_owned();
        let kept = rootfs.split(',').filter(|item| !item.starts_with("size="));
        let rootfs = kept
            .map(str::to_owned)
            .chain([format!("size={}", show_size(new))])
            .collect::<Vec<_>>()
            .join(",");
        config.set("rootfs", &rootfs, false);
        guest.replace(config).map_err(|error| power::as_text(&error))
    })
}

pub(super) fn status(_: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    let mut status = row(guest);
    status["ha"] = json!({ "managed": 0 });
    status["maxswap"] = json!(guest.config().number("swap").unwrap_or(0) << 20);
    if let Power::Running { init } = guest.power() {
        status["pid"] = json!(init);
    }
    Ok(status.into())
}

pub(super) fn start(node: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[&[optional("skiplock", Kind::Boolean), optional("debug", Kind::Boolean)]])?;
    unlocked(&guest.config())?;
    if guest.power() != Power::Stopped {
        return Err(Refusal::Die(format!("CT {} already running", guest.vmid)));
    }
    task(node, guest, "vzstart", |node, guest| power::start(&node.lab, guest))
}

pub(super) fn stop(node: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[&[
        optional("skiplock", Kind::Boolean),
        optional("overrule-shutdown", Kind::Boolean),
    ]])?;
    running(guest, "CT")?;
    task(node, guest, "vzstop", |_, guest| power::stop(guest))
}

pub(super) fn shut_down(
    node: &Arc<Node>,
    guest: &Arc<Guest>,
    call: &Call,
) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[TIMEOUT, optional("forceStop", Kind::Boolean)]])?;
    running(guest, "CT")?;
    let (seconds, force) =
        (shutdown_seconds(given), given.get("forceStop").is_some_and(|f| f == "1"));
    task(node, guest, "vzshutdown", move |_, guest| power::shut_down(guest, seconds, force))
}

pub(super) fn reboot(node: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[TIMEOUT]])?;
    running(guest, "VM")?;
    let seconds = shutdown_seconds(given);
    task(node, guest, "vzreboot", move |node, guest| power::reboot(&node.lab, guest, seconds))
}

const TIMEOUT: Parameter = optional("timeout", Kind::Integer(0, 7 * 24 * 3600));

fn shutdown_seconds(given: &Parameters) -> u32 {
    u32::try_from(number(given, "timeout", SHUTDOWN_SECONDS))
        .expect("the schema limits it to a week")
}

fn running(guest: &Guest, what: &str) -> Result<(), Refusal> {
    let stopped = guest.power() == Power::Stopped;
    if stopped { Err(Refusal::Die(format!("{what} {} not running", guest.vmid))) } else { Ok(()) }
}

pub(super) fn destroy(node: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    let given = call.verified(&[&[
        optional("destroy-unreferenced-disks", Kind::Boolean),
        optional("force", Kind::Boolean),
        optional("purge", Kind::Boolean),
    ]])?;
    let config = guest.config();
    protected(guest, &config, "remove")?;
    unlocked(&config)?;
    if guest.power() != Power::Stopped && given.get("force").is_none_or(|force| force == "0") {
        return Err(Refusal::Die(format!(
            "unable to destroy CT {} - container is running",
            guest.vmid
        )));
    }
    task(node, guest, "vzdestroy", power::destroy)
}

fn protected(guest: &Guest, config: &Config, what: &str) -> Result<(), Refusal> {
    let text = format!("can't {what} CT {} - protection mode enabled", guest.vmid);
    if config.is_on("protection") { Err(Refusal::Die(text)) } else { Ok(()) }
}

pub(super) fn interfaces(_: &Arc<Node>, guest: &Arc<Guest>, call: &Call) -> Result<Reply, Refusal> {
    call.verified(&[])?;
    let Power::Running { init } = guest.power() else { return Ok(Value::Null.into()) };
    let argv = ["nsenter", "--target", &init.to_string(), "--net", "ip", "-j", "addr", "show"];
    let shown = run("list the guest's interfaces", 10, &argv)?;
    let parsed: Value = serde_json::from_str(&shown).unwrap_or_default();
    Ok(parsed.as_array().into_iter().flatten().map(interface).collect::<Value>().into())
}

/// One interface of `ip -j addr` as Proxmox shows it; `prefix` is text there.
fn interface(shown: &Value) -> Value {
    let addresses: Vec<&Value> = shown["addr_info"].as_array().into_iter().flatten().collect();
    let rows = addresses.iter().map(|a| {
        json!({ "ip-address": a["local"], "ip-address-type": a["family"], "prefix": a["prefixlen"].to_string() })
    });
    let mut row = json!({
        "name": shown["ifname"], "hwaddr": shown["address"], "hardware-address": shown["address"],
        "ip-addresses": rows.collect::<Value>(),
    });
    for family in ["inet", "inet6"] {
        if let Some(first) = addresses.iter().find(|a| a["family"] == family) {
            row[family] = json!(format!(
                "{}/{}",
                first["local"].as_str().unwrap_or_default(),
                first["prefixlen"]
            ));
        }
    }
    row
}

/// Starts a task on a guest and returns its UPID.
fn task(
    node: &Arc<Node>,
    guest: &Arc<Guest>,
    kind: &str,
    work: impl FnOnce(&Node, &Guest) -> Result<(), String> + Send + 'static,
) -> Result<Reply, Refusal> {
    let (worker, guest) = (Arc::clone(node), Arc::clone(guest));
    let vmid = guest.vmid.to_string();
    let upid = node.journal.spawn(kind, &vmid, move |_| work(&worker, &guest))?;
    Ok(json!(upid).into())
}
