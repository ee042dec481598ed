//! Who makes what units and programs need: it is told to be missing only where nobody but the bundle could make it.

use super::{Packages, Unit, lint, paths, unit::UNITS};
use crate::{
    compile::{
        sections::{
            conffiles, folders,
            overlay::{Item, Overlay, parents},
            place, tmpfiles,
        },
        view::View,
    },
    model::GuestPath,
};
use std::{collections::BTreeSet, ops::Bound};

/// All that may make something on a guest.
pub struct Makers<'a> {
    pub stack: &'a View<'a>,
    pub overlay: &'a Overlay,
    pub units: &'a [Unit],
    pub packages: &'a Packages,
    /// Homes, mounts, and folders that systemd makes: others put there what they like.
    anothers: BTreeSet<String>,
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

/// Folders of every Debian below `/usr/local`. Source: base-files and ca-certificates, their scripts after installation.
const BELOW_LOCAL: [&str; 11] = [
    "/usr/local/bin",
    "/usr/local/etc",
    "/usr/local/games",
    "/usr/local/include",
    "/usr/local/lib",
    "/usr/local/man",
    "/usr/local/sbin",
    "/usr/local/share",
    "/usr/local/share/ca-certificates",
    "/usr/local/share/man",
    "/usr/local/src",
];
/// Folders below `/srv`, and the packages that make them. Source: the maintainer scripts of vsftpd, tftpd-hpa, atftpd and
/// proftpd-core in Debian 12.
const OF_PACKAGES: [(&str, &[&str]); 2] =
    [("/srv/ftp", &["proftpd-core", "vsftpd"]), ("/srv/tftp", &["atftpd", "tftpd-hpa"])];

impl<'a> Makers<'a> {
    pub fn new(
        stack: &'a View<'a>,
        overlay: &'a Overlay,
        units: &'a [Unit],
        packages: &'a Packages,
    ) -> Self {
        let homes = overlay.homes.iter().map(|home| home.path.to_string());
        let guest = stack.table("guest");
        let mounts =
            guest.tables("mounts").filter_map(|(_, mount)| Some(mount.text("path")?.value));
        let made = units.iter().flat_map(paths::made);
        let anothers = homes.chain(mounts).chain(made).chain(tmpfiles::paths(overlay)).collect();
        Self { stack, overlay, units, packages, anothers }
    }

    /// Whether nobody but the bundle makes what stands there: below `/srv`, `/usr/local` and an `/opt` that nobody fills, or
    /// in a folder of the bundle. What lies in a release, in a folder that its own users write to, or below a link is made
    /// by others.
    pub fn is_ours_alone(&self, path: &GuestPath) -> bool {
        let below = ["/srv", "/usr/local"];
        let is_below = below.iter().any(|folder| place::is_at_or_below(path.as_str(), folder));
        let mut parents = parents(path).filter_map(|parent| self.overlay.items.get(&parent));
        !self.is_in_anothers(path)
            && (is_below || parents.next().is_some() || self.is_in_empty_opt(path.as_str()))
    }

    /// The same of a folder, which may also be one of `/var` that has the name of a user, a unit or the project.
    pub fn is_our_folder(&self, path: &GuestPath) -> bool {
        let in_own = |folder: &str| {
            let name = path.as_str().strip_prefix(folder)?.strip_prefix('/')?.split('/').next()?;
            Some(self.is_own_name(name) && !self.packages.may_be_named(name))
        };
        let in_any = || OF_ALL.iter().any(|folder| in_own(folder) == Some(true));
        self.is_ours_alone(path) || !self.is_in_anothers(path) && !self.has_hooks() && in_any()
    }

    /// Whether only the bundle could make what stands at a path, and does not.
    pub fn is_unmade(&self, path: &GuestPath) -> bool {
        !self.overlay.items.contains_key(path) && self.is_ours_alone(path) && !self.is_there(path)
    }

    pub fn has_hooks(&self) -> bool {
        self.stack.tables("hooks").next().is_some()
    }

    /// Whether others put there what they like: it lies in a home, a mount, or a folder that is not root's, or that systemd
    /// makes.
    fn is_in_anothers(&self, path: &GuestPath) -> bool {
        let is_anothers = |item: &Item| match item {
            Item::Directory { access } => {
                access.owner.as_str() != "root" || access.mode.is_shared()
            }
            Item::Link { .. } => true,
            Item::File { .. } | Item::Secret { .. } => false,
        };
        let items = &self.overlay.items;
        let mut above = parents(path).filter_map(|parent| items.get(&parent));
        above.any(|(item, _)| is_anothers(item))
            || parents(path).any(|parent| self.anothers.contains(parent.as_str()))
            || self.anothers.contains(path.as_str())
    }

    /// Whether it lies below `/opt`, which Debian's own packages never use, and nothing that the bundle runs names `/opt` but
    /// to run what is there.
    fn is_in_empty_opt(&self, path: &str) -> bool {
        let mut lines =
            self.units.iter().flat_map(Unit::directives).filter(|d| lint::is_exec(d.key));
        let mut fills = || {
            lines.any(|d| d.value.contains("/opt") && !lint::program(d.value).starts_with("/opt/"))
        };
        path.starts_with("/opt/")
            && self.packages.are_debians()
            && !self.has_hooks()
            && !fills()
            && !self.is_in_files("/opt/")
    }

    /// Whether a file that is no unit has a text, such as a script or a table of cron.
    fn is_in_files(&self, text: &str) -> bool {
        let mut items =
            self.overlay.items.iter().filter(|(path, _)| !path.as_str().starts_with(UNITS));
        items.any(|(_, (item, _))| {
            matches!(item, Item::File { bytes, .. } if String::from_utf8_lossy(bytes).contains(text))
        })
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
        place::is_shared(path)
            || folders::is_debians(path)
            || BELOW_LOCAL.contains(&path.as_str())
            || OF_PACKAGES.iter().any(|(folder, brought_by)| {
                *folder == path.as_str()
                    && brought_by.iter().any(|name| self.packages.declare(name))
            })
            || self.is_made(path)
    }

    /// Whether the bundle makes a folder by what it has below it, or has another make it, or one below it.
    fn is_made(&self, path: &GuestPath) -> bool {
        let text = path.as_str();
        let own = self.overlay.items.range(path..).map(|(own, _)| own.as_str());
        let from = (Bound::Included(text), Bound::Unbounded);
        let anothers = self.anothers.range::<str, _>(from).map(String::as_str);
        has_at_or_below(own, text) || has_at_or_below(anothers, text)
    }

    /// Whether a command of another unit or a file has a path in its text, and so may have it made.
    pub fn is_in_commands(&self, path: &str, unit: &Unit) -> bool {
        let others = self.units.iter().filter(|other| other.name != unit.name);
        let mut commands = others.flat_map(Unit::directives).filter(|d| lint::is_exec(d.key));
        commands.any(|d| d.value.contains(path)) || self.is_in_files(path)
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

/// Whether one of the paths from a folder on, in their order, is the folder or lies below it.
fn has_at_or_below<'p>(from: impl Iterator<Item = &'p str>, folder: &str) -> bool {
    from.take_while(|path| path.starts_with(folder)).any(|path| place::is_at_or_below(path, folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_is_found_behind_names_that_sort_between() {
        let below = |paths: &[&'static str]| has_at_or_below(paths.iter().copied(), "/srv/a");
        assert!(below(&["/srv/a"]));
        assert!(below(&["/srv/a-b", "/srv/a.d/x", "/srv/a/b"]));
        assert!(!below(&["/srv/a-b", "/srv/ab", "/srv/b/srv/a"]));
        assert!(!below(&[]));
    }
}
