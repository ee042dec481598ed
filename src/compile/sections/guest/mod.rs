//! `guest`: what Proxmox is asked for.

mod image;
mod kind;
mod networks;
mod volumes;

pub use image::{Debian, Image};
pub use volumes::check_mounts;

use super::{
    address,
    identity::{Claims, Identity},
    overlay::root,
    site::SiteFacts,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        source::{At, FileId},
        view::View,
    },
    model::{
        BridgeName, ContainerOptions, CpuType, DiskSource, DomainName, GuestKind, ImageVolume,
        MachineOptions, NodeName, Notes, Owner, PoolName, ProxmoxDocument, Startup, StorageName,
        TemplateVolume, Vmid,
    },
};
use kind::Kind;
use std::{collections::BTreeSet, num::NonZeroU32};

/// What a guest's section is read with.
pub struct Reading<'a> {
    pub identity: &'a Identity,
    pub site: &'a SiteFacts,
    /// The project's own file.
    pub own_file: FileId,
}

/// Reads the guest; none when something is missing or wrong. What it has for its own is noted whatever else is wrong.
pub fn read(
    stack: &View<'_>,
    reading: &Reading<'_>,
    claims: &mut Claims,
) -> Option<ProxmoxDocument> {
    let guest = stack.table("guest");
    let Reading { identity, site, own_file } = reading;
    let kind = kind::read(&guest, *own_file);
    let node = if guest.table.contains_key("node") {
        guest.parsed::<NodeName>("node").map(|node| node.value)
    } else {
        site.node.clone()
    };
    let storage = guest.need::<StorageName>("storage");
    let bridge = guest.need::<BridgeName>("bridge");
    let pool = guest.parsed::<PoolName>("pool");
    let disk = guest.need_number("disk_gib");
    let cores = guest.need_number("cores");
    let memory = guest.need_number("memory_mib");
    let first = networks::first(&guest, reading, bridge.as_ref().map(|b| &b.value), claims);
    let networks = networks::further(&guest, claims);
    let place = storage.as_ref().map(|storage| &storage.value);
    let options = kind.map(|kind| match kind {
        Kind::Lxc => container(&guest, place).map(GuestKind::Lxc),
        Kind::Qemu => {
            let memory = memory.as_ref().map(|memory| memory.value);
            machine(&guest, place, memory, reading).map(GuestKind::Qemu)
        }
    });
    let search_domain = guest.parsed::<DomainName>("search_domain");
    let nameservers = address::ips(&guest, "nameserver");
    let cpu_limit = kind.and_then(|kind| number_up_to(&guest, kind, "cpu_limit", (0, 128)));
    let cpu_units = kind.and_then(|kind| number_up_to(&guest, kind, "cpu_units", (1, 262_144)));
    let (startup, description, tags) = (startup(&guest), description(&guest), tags(&guest));
    Some(ProxmoxDocument {
        kind: options??,
        vmid: identity.vmid,
        node: node?,
        hostname: identity.name.clone(),
        storage: storage?.value.into(),
        disk_gib: disk?.value,
        cores: cores?.value,
        cpu_limit: cpu_limit.and_then(NonZeroU32::new),
        cpu_units,
        memory_mib: memory?.value,
        bridge: bridge?.value.into(),
        vlan: first.vlan,
        mtu: first.mtu,
        mac: first.mac,
        ip: identity.ip,
        ip6: identity.ip6,
        gateway: first.gateway,
        gateway6: first.gateway6,
        networks,
        nameservers,
        search_domain: search_domain.map(|domain| domain.value),
        onboot: guest.boolean("onboot").unwrap_or(true),
        startup,
        protection: guest.boolean("protection").unwrap_or(false),
        description,
        pool: pool.map(|pool| pool.value.into()),
        tags,
        ssh_public_keys: site.admin_keys.clone(),
    })
}

fn container(guest: &View<'_>, storage: Option<&StorageName>) -> Option<ContainerOptions> {
    let template = guest.need::<TemplateVolume>("template");
    let swap = guest.number_or("swap_mib", 0);
    Some(ContainerOptions {
        mounts: volumes::mounts(guest, storage),
        nesting: guest.boolean("nesting").unwrap_or(true),
        template: template?.value.into(),
        swap_mib: swap?,
    })
}

fn machine(
    guest: &View<'_>,
    storage: Option<&StorageName>,
    memory_mib: Option<u32>,
    reading: &Reading<'_>,
) -> Option<MachineOptions> {
    let (source, site) = (source(guest, reading), reading.site);
    let balloon = guest.number("balloon_mib");
    if let (Some(balloon), Some(memory)) = (&balloon, memory_mib)
        && balloon.value > memory
    {
        let title =
            format!("the least memory, {} MiB, is more than all, {memory} MiB", balloon.value);
        let help = "write a smaller `balloon_mib`, 0 for none, or a larger `memory_mib`";
        guest.report(Mistake::new(Code::OutOfRange, balloon.at, title).help(help));
    }
    let cpu_type = super::overlay::optional(guest, "cpu_type", || {
        "x86-64-v2-AES".parse::<CpuType>().expect("a CPU type")
    });
    Some(MachineOptions {
        disks: volumes::disks(guest, storage),
        agent: guest.boolean("agent").unwrap_or(true),
        bios: kind::bios(guest)?,
        machine: kind::chipset(guest)?,
        user: site.site.as_ref().map_or_else(root, |site| Owner::clone(&site.access.user)),
        balloon_mib: balloon.map(|balloon| balloon.value),
        cpu_type: cpu_type?,
        source: source?,
    })
}

/// What a virtual machine's first disk is made from: one of two, and the project's own word before a default of the site.
fn source(guest: &View<'_>, reading: &Reading<'_>) -> Option<DiskSource> {
    let Reading { identity, own_file, .. } = reading;
    let image = guest.parsed::<ImageVolume>("image").map(|image| DiskSource::Image(image.value));
    let clone = clone(guest, identity).map(DiskSource::Clone);
    let is_own = |at: At| at.file == *own_file;
    match (guest.node("image"), guest.node("clone")) {
        (Some(image_at), Some(clone_at)) if is_own(image_at.at) == is_own(clone_at.at) => {
            let title = "a virtual machine is made from an `image` or as a `clone`, not both";
            let mistake = Mistake::new(Code::OneDiskSource, clone_at.at, title)
                .also(image_at.at, "the other one")
                .help("leave one of them out");
            guest.report(mistake);
            None
        }
        (Some(image_at), Some(_)) => {
            if is_own(image_at.at) {
                image
            } else {
                clone
            }
        }
        (Some(_), None) => image,
        (None, Some(_)) => clone,
        (None, None) => {
            if !guest.table.contains_key("image") && !guest.table.contains_key("clone") {
                let title = "nothing says what the virtual machine is made from";
                let help = "add `image = \"STORAGE:import/FILE\"`, or `clone = VMID` of a template";
                guest.report(Mistake::new(Code::OneDiskSource, guest.at, title).help(help));
            }
            None
        }
    }
}

/// The template to clone: another guest's number.
fn clone(guest: &View<'_>, identity: &Identity) -> Option<Vmid> {
    let number = guest.number("clone")?;
    let vmid = Vmid::try_from(number.value).expect("the language has Proxmox's range");
    if vmid == identity.vmid {
        let title = format!("guest {vmid} would be a clone of itself");
        let help = "write the number of a template in Proxmox";
        guest.report(Mistake::new(Code::OneDiskSource, number.at, title).help(help));
    }
    Some(vmid)
}

/// A number that virtual machines have less of. Source: `cpulimit` and `cpuunits` in qemu-server, `PVE/QemuServer.pm`.
fn number_up_to(guest: &View<'_>, kind: Kind, key: &str, of_machines: (i64, i64)) -> Option<u32> {
    let number = guest.number(key)?;
    if kind == Kind::Qemu && i64::from(number.value) > of_machines.1 {
        guest.report(schema::out_of_range(number.at, &number.value.to_string(), of_machines));
    }
    Some(number.value)
}

fn startup(guest: &View<'_>) -> Option<Startup> {
    let table = guest.table("startup");
    let number = |key| table.number(key).map(|number| number.value);
    let (order, up_seconds, down_seconds) =
        (number("order"), number("up_seconds"), number("down_seconds"));
    let startup = Startup { order, up_seconds, down_seconds };
    (startup != Startup::default()).then_some(startup)
}

fn description(guest: &View<'_>) -> Option<Notes> {
    let text = guest.text("description")?;
    match text.value.parse() {
        Ok(notes) => Some(notes),
        Err(error) => {
            let help = "write plain lines; none may begin with `stackc ` or `stackc-hostkey `, by which \
                        stackc knows its guests";
            let title = format!("{error}");
            guest.report(Mistake::new(Code::BadComment, text.at, title).help(help));
            None
        }
    }
}

/// Proxmox keeps tags in lower case. Source: `pve-tag` in pve-common, `PVE/JSONSchema.pm`.
fn tags(guest: &View<'_>) -> BTreeSet<String> {
    let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let plain = |c: char| first(c) || "+.-".contains(c);
    let mut tags = BTreeSet::new();
    for tag in guest.texts("tags") {
        if !tag.value.starts_with(first) || !tag.value.chars().all(plain) {
            let title = format!("`{}` is no tag of Proxmox", tag.value);
            let help =
                "use lower-case letters, digits, `_`, `+`, `.` and `-`; the first is none of `+.-`";
            guest.report(Mistake::new(Code::BadTag, tag.at, title).help(help));
        } else {
            tags.insert(tag.value);
        }
    }
    tags
}
