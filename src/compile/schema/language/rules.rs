//! What keys of one table say together: which have to be there, and which exclude each other.

/// A table by its path, as `keys` has it, without the layer before it; and keys of it.
pub struct Together(pub &'static str, pub &'static [&'static str]);

/// Keys that some layer has to say.
pub const NEEDED: &[Together] = &[
    Together("site", &["proxmox", "access"]),
    Together("site.proxmox", &["url", "node", "token"]),
    Together("site.access", &["admin_keys", "management"]),
    Together("", &["project"]),
    Together("project", &["kind"]),
    Together("envs.*", &["name", "vmid", "ip"]),
    Together("lock.*.*", &["repo", "branch", "commit", "tree"]),
    Together("guest", &["storage", "disk_gib", "cores", "memory_mib", "bridge"]),
    Together("guest.networks.*", &["bridge"]),
    Together("guest.mounts.*", &["path", "size_gib"]),
    Together("guest.disks.*", &["size_gib"]),
    Together("env_file", &["path"]),
    Together("apt.sources.*", &["uris", "suites"]),
    Together("apt.pins.*", &["packages", "pin", "priority"]),
    Together("directories.*", &["path"]),
    Together("files.*", &["path"]),
    Together("links.*", &["path", "target"]),
    Together("drop_ins.*", &["unit"]),
    Together("cron.*", &["schedule", "user", "run"]),
    Together("log_rotation.*", &["paths"]),
    Together("probes.*.http", &["port"]),
    Together("probes.*.tcp", &["port"]),
    Together("hooks.*", &["when", "run"]),
    Together("release", &["user"]),
    Together("release.build[]", &["run"]),
    Together("release.migrate[]", &["run"]),
];

/// Keys of which some layer has to say one.
pub const ONE_NEEDED: &[Together] = &[
    Together("site.proxmox", &["ca", "fingerprint"]),
    Together("files.*", &["template", "text", "secret"]),
    Together("probes.*", &["http", "tcp", "command", "unit"]),
];

/// Keys of which at most one can be there, whichever layers say them.
pub const EXCLUSIVE: &[Together] = &[
    Together("site.proxmox", &["ca", "fingerprint"]),
    Together("files.*", &["template", "text", "secret"]),
    Together("files.*", &["secret", "secrets"]),
    Together("files.*", &["secret", "class"]),
    Together("services.*", &["template", "text"]),
    Together("sockets.*", &["template", "text"]),
    Together("timers.*", &["template", "text"]),
    Together("drop_ins.*", &["template", "text", "options"]),
    Together("probes.*", &["http", "tcp", "command", "unit"]),
    Together("probes.*", &["unit", "timeout_seconds"]),
];

/// Keys that can stand beside a unit's text, and those that say it; all others say the unit without one.
pub const OF_TEXT: &[&str] = &["template", "text", "wanted_by", "reads"];

pub const BESIDE_TEXT: &[Together] = &[
    Together("services.*", OF_TEXT),
    Together("sockets.*", OF_TEXT),
    Together("timers.*", OF_TEXT),
];

/// The keys that a list has for a table, whatever layer it is of.
pub fn of(list: &[Together], path: &str) -> Vec<&'static [&'static str]> {
    let is_it = |table: &&Together| {
        let layer = path.strip_suffix(table.0);
        layer.is_some_and(|layer| layer.is_empty() || !table.0.is_empty() && layer.ends_with('.'))
    };
    list.iter().filter(is_it).map(|table| table.1).collect()
}

/// Whether a table comes from one place: no other layer can add to it.
pub fn is_of_one_layer(path: &str) -> bool {
    let alone = ["", "site", "site.proxmox", "site.access", "project", "envs.*", "lock.*.*"];
    alone.contains(&path) || path.ends_with("[]")
}
