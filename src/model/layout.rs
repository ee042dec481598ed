//! Where things are on a guest (design.md §7).

/// Everything that stackc keeps on a guest.
pub const STATE: &str = "/var/lib/stackc";
/// The only pointer that makes a generation live.
pub const CURRENT: &str = "/var/lib/stackc/current";
/// The overlay of the live generation, as class A links name it.
pub const CURRENT_OVERLAY: &str = "/var/lib/stackc/current/tree/rootfs";
/// The secret files of the live generation, as class S links name it; below it the path on the guest.
pub const CURRENT_SECRETS: &str = "/var/lib/stackc/current/secrets";
/// The release of the live generation.
pub const CURRENT_RELEASE: &str = "/var/lib/stackc/current/release";
/// Versions of the guest's binary, a folder each.
pub const BINARIES: &str = "/usr/local/lib/stackc";
/// ufw's own files; they are copies of the bundle's `firewall/` documents.
pub const USER_RULES: &str = "/etc/ufw/user.rules";
pub const USER6_RULES: &str = "/etc/ufw/user6.rules";
/// ufw's configuration, in which only keys are set.
pub const UFW_CONF: &str = "/etc/ufw/ufw.conf";
pub const UFW_DEFAULTS: &str = "/etc/default/ufw";
/// Folders whose files a plan reads, those of the live generation too: units, and what cannot be seen to leave otherwise.
pub const TOLD: [&str; 3] = ["/etc/systemd/system/", "/etc/sysctl.d/", "/etc/tmpfiles.d/"];
