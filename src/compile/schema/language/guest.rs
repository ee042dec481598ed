//! `guest`: what Proxmox is asked for.

use super::forms;
use crate::{
    compile::schema::{
        Field,
        Shape::{Boolean, List, Named, Number, Pattern, Record, Word},
    },
    model::{
        CpuType, DiskSlot, DomainName, ImageVolume, InterfaceName, MountSlot, PoolName,
        TemplateVolume,
    },
};

pub(super) const GUEST: &[Field] = &[
    Field("kind", Word(&["lxc", "qemu"]), "A container or a virtual machine; lxc."),
    Field("node", forms::NODE, "The node; the site's when it is not said."),
    Field(
        "template",
        Pattern(TemplateVolume::FORM),
        "Containers: the template to make it from, STORAGE:vztmpl/FILE.",
    ),
    Field(
        "image",
        Pattern(ImageVolume::FORM),
        "Virtual machines: the cloud image to make it from, STORAGE:import/FILE.",
    ),
    Field("clone", Number(100, 999_999_999), "Virtual machines: the template to clone instead."),
    Field("storage", forms::STORAGE, "Where its disk is."),
    Field("disk_gib", Number(1, 65_536), "The size of its disk."),
    Field("cores", Number(1, 8192), "How many CPUs it sees."),
    Field("cpu_limit", Number(0, 8192), "How many CPUs' time it may take; 0, which is no limit."),
    Field("cpu_units", Number(1, 500_000), "Its weight against other guests; Proxmox's own."),
    Field(
        "cpu_type",
        Pattern(CpuType::FORM),
        "Virtual machines: the CPU that it sees; x86-64-v2-AES.",
    ),
    Field("memory_mib", Number(16, 16_777_216), "Memory."),
    Field("swap_mib", Number(0, 16_777_216), "Containers: swap; 0."),
    Field(
        "balloon_mib",
        Number(0, 16_777_216),
        "Virtual machines: the least memory; 0 for no balloon; all of it.",
    ),
    Field("bridge", forms::BRIDGE, "The bridge of its first network."),
    Field("vlan", Number(1, 4094), "The VLAN of its first network; none."),
    Field("mtu", Number(576, 65_520), "The MTU of its first network; the bridge's."),
    Field("mac", forms::MAC, "The hardware address of its first network; Proxmox makes one."),
    Field("gateway", forms::IP4, "The way out, IPv4; none."),
    Field("gateway6", forms::IP6, "The way out, IPv6; none."),
    Field("nameserver", forms::IPS, "Its resolvers; the node's when it is not said."),
    Field(
        "search_domain",
        Pattern(DomainName::FORM),
        "The domain of short names; the node's when it is not said.",
    ),
    Field(
        "networks",
        Named(InterfaceName::FORM, &Record(&[NETWORK])),
        "More networks, by interface: eth1 to eth9, in Proxmox net1 to net9.",
    ),
    Field(
        "mounts",
        Named(MountSlot::FORM, &Record(&[MOUNT])),
        "Containers: more volumes, by their option in Proxmox: mp0 to mp255.",
    ),
    Field(
        "disks",
        Named(DiskSlot::FORM, &Record(&[DISK])),
        "Virtual machines: more disks, by their option in Proxmox: scsi1 to scsi30.",
    ),
    Field("nesting", Boolean, "Containers: whether systemd may use namespaces; true."),
    Field("agent", Boolean, "Virtual machines: whether the guest agent is used; true."),
    Field("bios", Word(&["seabios", "ovmf"]), "Virtual machines: the firmware; seabios."),
    Field("machine", Word(&["i440fx", "q35"]), "Virtual machines: the chipset; q35."),
    Field("onboot", Boolean, "Whether it starts with its node; true."),
    Field(
        "startup",
        Record(&[STARTUP]),
        "When it starts and stops with its node; Proxmox's own order.",
    ),
    Field("protection", Boolean, "Whether Proxmox refuses to remove it; false."),
    Field(
        "description",
        forms::NOTES,
        "What people read of it in Proxmox; what they write there when it is not said.",
    ),
    Field("pool", Pattern(PoolName::FORM), "The pool that it belongs to; any when it is not said."),
    Field("tags", List(&forms::TAG), "Its tags in Proxmox, all of them."),
];

const NETWORK: &[Field] = &[
    Field("bridge", forms::BRIDGE, "The bridge."),
    Field("ip", forms::NET4, "The address with its prefix length; none when it is not said."),
    Field("ip6", forms::NET6, "The IPv6 address with its prefix length; none when it is not said."),
    Field("vlan", Number(1, 4094), "The VLAN; none."),
    Field("mtu", Number(576, 65_520), "The MTU; the bridge's."),
    Field("mac", forms::MAC, "The hardware address; Proxmox makes one."),
    Field("firewall", Boolean, "Whether Proxmox's own firewall filters it; true."),
];

const MOUNT: &[Field] = &[
    Field("path", forms::MOUNT_PATH, "Where it is mounted."),
    Field("size_gib", Number(1, 65_536), "Its size; it can only grow."),
    Field("storage", forms::STORAGE, "Where it is; the guest's storage when it is not said."),
    Field("backup", Boolean, "Whether backups include it; true."),
];

const DISK: &[Field] = &[
    Field("size_gib", Number(1, 65_536), "Its size; it can only grow."),
    Field("storage", forms::STORAGE, "Where it is; the guest's storage when it is not said."),
    Field("backup", Boolean, "Whether backups include it; true."),
    Field("ssd", Boolean, "Whether it looks like an SSD; false."),
];

const STARTUP: &[Field] = &[
    Field("order", Number(0, 65_535), "Guests start by order, and stop in reverse."),
    Field("up_seconds", Number(0, 86_400), "How long the next one waits after its start."),
    Field("down_seconds", Number(0, 86_400), "How long it may take to shut down."),
];
