//! A guest in Proxmox's own words: the calls that make it. Pure, so that they can be read before anything is made.

use super::{
    Bios, Chipset, ContainerOptions, DiskSource, GuestKind, MachineOptions, Notes, ProxmoxDocument,
    property::digit,
};
use crate::model::Mark;
use std::fmt::Display;

pub type Parameters = Vec<(String, String)>;

/// A call of Proxmox's API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: &'static str,
    /// Below `/api2/json`.
    pub path: String,
    pub parameters: Parameters,
}

/// Every call that makes the guest, in order. It is started by a call of its own.
pub fn creation(wanted: &ProxmoxDocument, mark: &Mark) -> Vec<Call> {
    match &wanted.kind {
        GuestKind::Lxc(options) => {
            let folder = format!("/nodes/{}/lxc", wanted.node);
            let create = container_creation(wanted, options, mark);
            vec![call("POST", &folder, create), tags(wanted, &folder)]
        }
        GuestKind::Qemu(options) => machine_creation(wanted, options, mark),
    }
}

/// The call that makes a container: everything but tags, which need the guest to exist (pool ACLs), and without `start=1`.
pub fn container_creation(
    wanted: &ProxmoxDocument,
    options: &ContainerOptions,
    mark: &Mark,
) -> Parameters {
    let mut list = List::default();
    list.add("vmid", wanted.vmid);
    list.add("hostname", &wanted.hostname);
    list.add("ostemplate", &options.template);
    list.add("rootfs", format!("{}:{}", wanted.storage, wanted.disk_gib));
    for (slot, mount) in &options.mounts {
        list.add(slot.as_str(), mount.allocation());
    }
    add_shared(&mut list, wanted, mark);
    list.add("swap", options.swap_mib);
    list.add("net0", wanted.network().of_container("eth0"));
    for (name, network) in &wanted.networks {
        list.add(&name.slot(), network.of_container(name.as_str()));
    }
    // Its default differs between Proxmox 8 and 9.
    list.add("unprivileged", 1);
    if options.nesting {
        // An empty `features` is refused to tokens; so it is sent only with something in it.
        list.add("features", "nesting=1");
    }
    list.maybe("pool", wanted.pool.as_ref());
    if !wanted.ssh_public_keys.is_empty() {
        list.add("ssh-public-keys", wanted.ssh_public_keys.join("\n"));
    }
    list.0
}

fn machine_creation(wanted: &ProxmoxDocument, options: &MachineOptions, mark: &Mark) -> Vec<Call> {
    let folder = format!("/nodes/{}/qemu", wanted.node);
    let guest = format!("{folder}/{}", wanted.vmid);
    let settings = machine_settings(wanted, options, mark);
    let mut calls = match &options.source {
        DiskSource::Image(image) => {
            let mut list = List::default();
            list.add("vmid", wanted.vmid);
            list.maybe("pool", wanted.pool.as_ref());
            // An imported disk has the image's size at first, whatever is asked for.
            list.add("scsi0", format!("{}:0,discard=on,import-from={image}", wanted.storage));
            list.0.extend(settings);
            vec![call("POST", &folder, list.0)]
        }
        DiskSource::Clone(template) => {
            let mut list = List::default();
            list.add("newid", wanted.vmid);
            list.add("name", &wanted.hostname);
            // A linked clone would keep the template from ever being removed.
            list.add("full", 1);
            list.add("storage", &wanted.storage);
            list.maybe("pool", wanted.pool.as_ref());
            let clone = call("POST", &format!("{folder}/{template}/clone"), list.0);
            // POST, for it allocates disks.
            vec![clone, call("POST", &format!("{guest}/config"), settings)]
        }
    };
    let mut size = List::default();
    size.add("disk", "scsi0");
    size.add("size", format!("{}G", wanted.disk_gib));
    calls.push(call("PUT", &format!("{guest}/resize"), size.0));
    calls.push(tags(wanted, &folder));
    calls
}

/// Everything of a virtual machine but its first disk. Its console is serial, as cloud images expect.
fn machine_settings(wanted: &ProxmoxDocument, options: &MachineOptions, mark: &Mark) -> Parameters {
    let mut list = List::default();
    list.add("name", &wanted.hostname);
    list.add("ostype", "l26");
    list.add(
        "bios",
        match options.bios {
            Bios::Seabios => "seabios",
            Bios::Ovmf => "ovmf",
        },
    );
    list.add(
        "machine",
        match options.machine {
            Chipset::I440fx => "pc",
            Chipset::Q35 => "q35",
        },
    );
    if options.bios == Bios::Ovmf {
        list.add("efidisk0", format!("{}:1,efitype=4m,pre-enrolled-keys=1", wanted.storage));
    }
    list.add("cpu", &options.cpu_type);
    list.maybe("balloon", options.balloon_mib);
    add_shared(&mut list, wanted, mark);
    list.add("scsihw", "virtio-scsi-single");
    for (slot, disk) in &options.disks {
        list.add(slot.as_str(), disk.allocation());
    }
    list.add("boot", "order=scsi0");
    list.add("serial0", "socket");
    list.add("vga", "serial0");
    list.add("agent", format!("enabled={}", digit(options.agent)));
    list.add("ide2", format!("{}:cloudinit", wanted.storage));
    list.add("ciuser", &options.user);
    // It is encoded once more by the form: pve-http-server decodes one layer, qemu-server the other.
    list.add("sshkeys", percent_encoded(&wanted.ssh_public_keys.join("\n")));
    let first = (String::from("net0"), wanted.network());
    let more = wanted.networks.iter().map(|(name, network)| (name.slot(), network.clone()));
    for (slot, network) in std::iter::once(first).chain(more) {
        list.add(&slot, network.of_machine());
        list.maybe(&slot.replace("net", "ipconfig"), network.cloud_init());
    }
    list.0
}

/// What both kinds have under the same names.
fn add_shared(list: &mut List, wanted: &ProxmoxDocument, mark: &Mark) {
    list.add("cores", wanted.cores);
    list.maybe("cpulimit", wanted.cpu_limit);
    list.maybe("cpuunits", wanted.cpu_units);
    list.add("memory", wanted.memory_mib);
    let nameservers: Vec<_> = wanted.nameservers.iter().map(ToString::to_string).collect();
    list.maybe("nameserver", Some(nameservers.join(" ")).filter(|text| !text.is_empty()));
    list.maybe("searchdomain", wanted.search_domain.as_ref());
    list.add("onboot", digit(wanted.onboot));
    list.maybe("startup", wanted.startup);
    list.add("protection", digit(wanted.protection));
    let notes = wanted.description.as_ref().map(Notes::as_str).filter(|notes| !notes.is_empty());
    let notes = notes.map(|notes| format!("{notes}\n\n"));
    list.add("description", format!("{}{mark}", notes.unwrap_or_default()));
}

fn tags(wanted: &ProxmoxDocument, folder: &str) -> Call {
    let mut list = List::default();
    list.add("tags", wanted.tags.iter().map(String::as_str).collect::<Vec<_>>().join(";"));
    call("PUT", &format!("{folder}/{}/config", wanted.vmid), list.0)
}

fn call(method: &'static str, path: &str, parameters: Parameters) -> Call {
    Call { method, path: path.to_owned(), parameters }
}

#[derive(Default)]
struct List(Parameters);

impl List {
    fn add(&mut self, key: &str, value: impl Display) {
        self.0.push((key.to_owned(), value.to_string()));
    }

    fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }
}

/// `encodeURIComponent`, as qemu-server wants it: spaces are `%20`, never `+`.
fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
