//! Bundles made by hand: a service, its environment with a secret, and nothing that a compiler would be needed for.

use stackc::{
    lab::Lab,
    model::{
        Access, AptDocument, Bundle, Bytes, DatabasesDocument, Digest, Encoder, Entry, EntryPath,
        FileClass, GuestKind, HealthDocument, Manifest, Mode, Part, Probe, ProxmoxDocument, Target,
        UnitInputs, Vmid, canonical, document,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

/// What a bundle differs in.
#[derive(Clone)]
pub struct Stack {
    pub lab: Option<Lab>,
    pub address: IpAddr,
    pub version: &'static str,
    /// A service that ends at once.
    pub broken: bool,
    pub cores: u32,
}

impl Default for Stack {
    fn default() -> Self {
        let address = IpAddr::from([10, 0, 10, 101]);
        Self { lab: None, address, version: "one", broken: false, cores: 1 }
    }
}

impl Stack {
    pub fn version(&self, version: &'static str) -> Self {
        Self { version, ..self.clone() }
    }

    pub fn broken(&self) -> Self {
        Self { broken: true, ..self.clone() }
    }
}

pub fn name<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("it is a name")
}

pub fn access(mode: Mode) -> Access {
    Access { mode, owner: name("root"), group: name("root") }
}

/// The bundle of shop/dev.
pub fn bundle(stack: &Stack) -> Bundle {
    let mut entries = BTreeMap::new();
    let mut files = BTreeMap::new();
    let mut put = |path: &str, entry: Entry, bytes: Option<Vec<u8>>| {
        let path: EntryPath = name(path);
        if let Some(bytes) = bytes {
            files.insert(path.clone(), bytes);
        }
        entries.insert(path, entry);
    };
    for (name, bytes) in documents(stack) {
        put(name, Entry::Document(Bytes::of(&bytes)), Some(bytes));
    }
    let unit = unit(stack).into_bytes();
    let secret = name("shop/dev/password");
    let inputs = UnitInputs {
        restart: [(name("/etc/web.env"), Digest::of(stack.version.as_bytes()))].into(),
        secrets: BTreeSet::from([name("shop/dev/password")]),
        ..UnitInputs::default()
    };
    put(
        "rootfs/etc/systemd/system/web.service",
        Entry::File {
            class: FileClass::Linked,
            access: access(Mode::FILE),
            bytes: Bytes::of(&unit),
            unit: Some(inputs),
        },
        Some(unit),
    );
    let parts = vec![
        Part::Literal(format!("VERSION={}\n", stack.version)),
        Part::Variable { key: "PASSWORD".to_owned(), secret },
    ];
    put(
        "rootfs/etc/web.env",
        Entry::Secret { access: access(Mode::PRIVATE), encoder: Encoder::Env, parts },
        None,
    );
    put(
        "rootfs/etc/systemd/system/multi-user.target.wants/web.service",
        Entry::Link { target: "../web.service".to_owned() },
        None,
    );
    let target = Target { project: name("shop"), env: name("dev") };
    let manifest =
        Manifest { target, payload: Digest::of(b"handmade"), entries, units: BTreeMap::new() };
    Bundle { digest: Digest::of(&canonical::to_bytes(&manifest)), manifest, files }
}

fn unit(stack: &Stack) -> String {
    let run = if stack.broken {
        "/bin/sh -c 'echo the app found no database >&2; exit 7'"
    } else {
        "/bin/sh -c 'exec sleep infinity'"
    };
    format!(
        "[Unit]\nDescription=web {}\n[Service]\nEnvironmentFile=/etc/web.env\nExecStart={run}\n\
         [Install]\nWantedBy=multi-user.target\n",
        stack.version
    )
}

fn documents(stack: &Stack) -> [(&'static str, Vec<u8>); 4] {
    let health = HealthDocument {
        probes: BTreeMap::from([("web".to_owned(), Probe::Unit { unit: name("web.service") })]),
        window_seconds: 1,
        start_seconds: 10,
        confirm_seconds: 30,
    };
    [
        (document::PROXMOX, canonical::to_bytes(&proxmox(stack))),
        (document::APT, canonical::to_bytes(&AptDocument::default())),
        (document::DATABASES, canonical::to_bytes(&DatabasesDocument::default())),
        (document::HEALTH, canonical::to_bytes(&health)),
    ]
}

fn proxmox(stack: &Stack) -> ProxmoxDocument {
    let lab = stack.lab.as_ref();
    let or =
        |of_lab: Option<&String>, text: &str| of_lab.map_or_else(|| text.to_owned(), Clone::clone);
    ProxmoxDocument {
        kind: GuestKind::Lxc,
        vmid: Vmid::try_from(101).expect("it is a guest number"),
        node: name(&or(lab.map(|l| &l.node), "pve")),
        hostname: name("shop-dev"),
        template: or(
            lab.map(|l| &l.template),
            "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst",
        ),
        storage: or(lab.map(|l| &l.storage), "local-lvm"),
        disk_gib: 2,
        cores: stack.cores,
        memory_mib: 512,
        swap_mib: 0,
        bridge: or(lab.map(|l| &l.bridge), "vmbr0"),
        ip: format!("{}/24", stack.address).parse().expect("it is an address"),
        gateway: lab.map(|l| IpAddr::from(l.gateway)),
        nameserver: None,
        nesting: true,
        onboot: true,
        protection: false,
        pool: None,
        tags: BTreeSet::from(["stackc".to_owned()]),
        ssh_public_keys: lab.map(public_key).into_iter().collect(),
    }
}

fn public_key(lab: &Lab) -> String {
    let path = format!("{}.pub", lab.admin_key);
    std::fs::read_to_string(path).expect("the key lies beside").trim().to_owned()
}
