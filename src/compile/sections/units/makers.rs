//! Who makes what units and programs need: it is told to be missing only where nobody but the bundle could make it.

use super::{Packages, Unit, lint, paths};
use crate::{
    compile::{
        sections::{
            conffiles, folders,
            overlay::{Item, Overlay},
            place, tmpfiles,
        },
        view::View,
    },
    model::GuestPath,
};

/// All that may make something on a guest.
#[derive(Clone, Copy)]
pub struct Makers<'a> {
    pub stack: &'a View<'a>,
    pub overlay: &'a Overlay,
    pub units: &'a [Unit],
    pub packages: &'a Packages,
}

/// Files of variables that a minimal guest has, or gets by its own tools.
const VARIABLES_OF_DEBIAN: [&str; 5] = [
    "/etc/default/locale",
    "/etc/environment",
    "/etc/locale.conf",
    "/etc/machine-info",
    "/etc/os-release",
];

/// Folders in which packages and the bundle have one of their own each.
const OF_ALL: [&str; 4] = ["/var/cache", "/var/lib", "/var/log", "/var/spool"];

impl Makers<'_> {
    /// Whether nobody but the bundle makes what stands there: below `/srv` and `/usr/local`, in a folder of the bundle, or
    /// where only others' packages and hooks put something and there are none. What lies in a release, in a folder that its
    /// own users write to, or below a link is made by others.
    pub fn is_ours_alone(&self, path: &GuestPath) -> bool {
        let text = path.as_str();
        let parents = || {
            let slashes = text.match_indices('/').skip(1).map(|(n, _)| &text[..n]);
            slashes.filter_map(|parent| self.overlay.items.get(&parent.parse::<GuestPath>().ok()?))
        };
        let others = parents().any(|(item, _)| match item {
            Item::Directory { access } => {
                access.owner.as_str() != "root" || access.mode.is_shared()
            }
            Item::Link { .. } => true,
            Item::File { .. } | Item::Secret { .. } => false,
        });
        let below = ["/srv", "/usr/local"].iter().any(|folder| place::is_at_or_below(text, folder));
        !others
            && !self.is_in_anothers(text)
            && (below || parents().next().is_some() || self.is_nobody_elses(text))
    }

    /// Whether it lies in a home, or in a folder that tmpfiles.d or a mount makes.
    fn is_in_anothers(&self, path: &str) -> bool {
        let homes = self.overlay.homes.iter().map(|home| home.path.to_string());
        let mounts = self.stack.table("guest").tables("mounts").collect::<Vec<_>>();
        let mounts = mounts.iter().filter_map(|(_, mount)| Some(mount.text("path")?.value));
        let mut others = homes.chain(mounts).chain(tmpfiles::paths(self.overlay));
        others.any(|other| place::is_at_or_below(path, &other))
    }

    /// Whether packages and hooks leave a path alone: below `/opt`, which Debian's own packages never use, and in a folder
    /// that has the name of a user, a unit or the project of this guest.
    fn is_nobody_elses(&self, path: &str) -> bool {
        if self.stack.tables("hooks").next().is_some() {
            return false;
        }
        let is_in_opt = path.starts_with("/opt/") && self.packages.are_debians();
        let in_own = |folder: &str| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?.split('/').next()?;
            Some(self.is_own_name(name) && !self.packages.may_be_named(name))
        };
        is_in_opt || OF_ALL.iter().any(|folder| in_own(folder) == Some(true))
    }

    fn is_own_name(&self, name: &str) -> bool {
        let is_unit = |unit: &Unit| {
            !unit.is_drop_in && unit.name.as_str().rsplit_once('.').is_some_and(|(n, _)| n == name)
        };
        self.stack.entries("users").any(|(user, ..)| user == name)
            || self.stack.lowering.target.project.as_str() == name
            || self.units.iter().any(is_unit)
    }

    /// Whether a folder is Debian's, or somebody's who makes it.
    pub fn is_there(&self, path: &GuestPath) -> bool {
        let of_debian = ["/usr/local/bin", "/usr/local/sbin", "/usr/local/lib", "/usr/local/share"];
        place::is_shared(path)
            || folders::is_debians(path)
            || of_debian.contains(&path.as_str())
            || self.is_made(path.as_str())
    }

    /// Whether the bundle makes a folder by what it has below it, or has tmpfiles.d or systemd make it.
    fn is_made(&self, path: &str) -> bool {
        let items = self.overlay.items.keys();
        items.into_iter().any(|other| place::is_at_or_below(other.as_str(), path))
            || tmpfiles::paths(self.overlay).any(|made| place::is_at_or_below(&made, path))
            || self.units.iter().flat_map(paths::made).any(|made| {
                place::is_at_or_below(&made, path) || place::is_at_or_below(path, &made)
            })
    }

    /// Whether a command of another unit or a script of the bundle has a path in its text, and so may make it.
    pub fn is_in_commands(&self, path: &str, unit: &Unit) -> bool {
        let others = self.units.iter().filter(|other| other.name != unit.name);
        let mut commands = others.flat_map(Unit::directives);
        commands.any(|d| lint::is_exec(d.key) && d.value.contains(path))
            || self.overlay.items.iter().any(|(_, (item, _))| {
                let Item::File { access, bytes, .. } = item else { return false };
                access.mode.is_executable() && String::from_utf8_lossy(bytes).contains(path)
            })
    }

    /// Whether a file of `/etc` is neither Debian's nor of a package, all of which are known.
    pub fn is_nobodys(&self, path: &GuestPath) -> bool {
        let text = path.as_str();
        text.starts_with("/etc/")
            && self.packages.are_known()
            && !VARIABLES_OF_DEBIAN.contains(&text)
            && !place::is_conffile(path)
            && conffiles::brings(text, self.packages).is_none()
    }
}
