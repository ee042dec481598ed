//! Bundles made by hand: a service, its environment with a secret, and nothing that a compiler would be needed for.

use stackc::{
    lab::Lab,
    model::{
        Access, AptDocument, Bundle, Bytes, Container, ContainerOptions, DatabasesDocument, Digest,
        Encoder, Entry, EntryPath, FileClass, GuestKind, HealthDocument, Manifest, Mode, Mount,
        Network, Part, Probe, ProxmoxDocument, Target, UnitInputs, Vmid, canonical, document,
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
    sealed(manifest, files)
}

pub fn sealed(manifest: Manifest, files: BTreeMap<EntryPath, Vec<u8>>) -> Bundle {
    Bundle { digest: Digest::of(&canonical::to_bytes(&manifest)), manifest, files }
}

/// After its manifest was changed.
pub fn seal(bundle: &mut Bundle) {
    bundle.digest = Digest::of(&canonical::to_bytes(&bundle.manifest));
}

/// Puts an entry with this content in, or instead of another.
pub fn put(bundle: &mut Bundle, path: &str, bytes: &[u8], entry: impl FnOnce(Bytes) -> Entry) {
    let path: EntryPath = name(path);
    bundle.manifest.entries.insert(path.clone(), entry(Bytes::of(bytes)));
    bundle.files.insert(path, bytes.to_vec());
    seal(bundle);
}

/// The same with a file of root's that everyone may read, at this path of the guest.
pub fn put_file(bundle: &mut Bundle, path: &str, class: FileClass, text: &str) {
    put(bundle, &format!("rootfs{path}"), text.as_bytes(), |bytes| Entry::File {
        class,
        access: access(Mode::FILE),
        bytes,
        unit: None,
    });
}

/// The same, with a guest that is another one.
pub fn with_guest(stack: &Stack, change: impl FnOnce(&mut ProxmoxDocument)) -> Bundle {
    let Bundle { mut manifest, mut files, .. } = bundle(stack);
    let mut wanted = proxmox(stack);
    change(&mut wanted);
    let (path, bytes): (EntryPath, _) = (name(document::PROXMOX), canonical::to_bytes(&wanted));
    manifest.entries.insert(path.clone(), Entry::Document(Bytes::of(&bytes)));
    files.insert(path, bytes);
    sealed(manifest, files)
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
    let container = ContainerOptions {
        template: or(
            lab.map(|l| &l.template),
            "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst",
        ),
        swap_mib: 0,
        nesting: true,
        mounts: BTreeMap::new(),
    };
    ProxmoxDocument {
        kind: GuestKind::Lxc(container),
        vmid: Vmid::try_from(101).expect("it is a guest number"),
        node: name(&or(lab.map(|l| &l.node), "pve")),
        hostname: name("shop-dev"),
        storage: or(lab.map(|l| &l.storage), "local-lvm"),
        disk_gib: 2,
        cores: stack.cores,
        cpu_limit: None,
        cpu_units: None,
        memory_mib: 512,
        bridge: or(lab.map(|l| &l.bridge), "vmbr0"),
        vlan: None,
        mtu: None,
        mac: None,
        ip: format!("{}/24", stack.address).parse().expect("it is an address"),
        ip6: None,
        gateway: lab.map(|l| l.gateway),
        gateway6: None,
        networks: BTreeMap::new(),
        nameservers: Vec::new(),
        search_domain: None,
        onboot: true,
        startup: None,
        protection: false,
        description: None,
        pool: None,
        tags: BTreeSet::from(["stackc".to_owned()]),
        ssh_public_keys: lab.map(public_key).into_iter().collect(),
    }
}

/// The container that a document makes, as it is read back.
pub fn made(wanted: &ProxmoxDocument) -> Container {
    let options = wanted.container().expect("it is a container");
    let on_card = |network: Network, mac: &str| {
        let mac = network.mac.or_else(|| Some(name(mac)));
        Network { mac, ..network }
    };
    Container {
        vmid: wanted.vmid,
        node: wanted.node.clone(),
        running: false,
        mark: None,
        host_key: None,
        notes: wanted.description.as_ref().map(ToString::to_string).unwrap_or_default(),
        config_digest: "0".repeat(40),
        hostname: Some(wanted.hostname.clone()),
        cores: Some(wanted.cores),
        cpu_limit: wanted.cpu_limit.map(|limit| limit.to_string()),
        cpu_units: wanted.cpu_units,
        memory_mib: wanted.memory_mib,
        swap_mib: options.swap_mib,
        disk_gib: wanted.disk_gib,
        storage: wanted.storage.clone(),
        mounts: options.mounts.iter().map(|(slot, mount)| (slot.clone(), volume(mount))).collect(),
        network: on_card(wanted.network(), "BC:24:11:00:00:01"),
        networks: wanted
            .networks
            .iter()
            .map(|(name, network)| (name.clone(), on_card(network.clone(), "BC:24:11:00:00:02")))
            .collect(),
        nameservers: wanted.nameservers.clone(),
        search_domain: wanted.search_domain.as_ref().map(ToString::to_string),
        nesting: options.nesting,
        onboot: wanted.onboot,
        startup: wanted.startup,
        protection: wanted.protection,
        pool: wanted.pool.clone(),
        tags: wanted.tags.clone(),
        pending: BTreeSet::new(),
        lock: None,
    }
}

/// A mount as Proxmox stores it once its volume is made.
pub fn volume(mount: &Mount) -> String {
    let Mount { path, storage, size_gib, backup } = mount;
    let backup = u8::from(*backup);
    format!("{storage}:vm-101-disk-1,backup={backup},mp={path},size={size_gib}G")
}

fn public_key(lab: &Lab) -> String {
    let path = format!("{}.pub", lab.admin_key);
    std::fs::read_to_string(path).expect("the key lies beside").trim().to_owned()
}
