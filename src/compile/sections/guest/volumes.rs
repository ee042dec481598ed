//! Volumes besides the first disk, and what they must not hide.

use crate::{
    compile::{
        report::{Code, Mistake},
        sections::{
            overlay::{Item, Overlay},
            place::{self, is_at_or_below},
        },
        source::At,
        view::View,
    },
    model::{Disk, DiskSlot, GuestPath, Mount, MountSlot, StorageName},
};
use std::collections::BTreeMap;

/// The mounts of a container.
pub fn mounts(guest: &View<'_>, storage: Option<&StorageName>) -> BTreeMap<MountSlot, Mount> {
    let mut mounts = BTreeMap::new();
    for (slot, view) in guest.tables("mounts") {
        let slot = view.lowering.parse::<MountSlot>(slot, view.at);
        let path = view.need::<GuestPath>("path");
        let size = view.need_number("size_gib");
        let storage = storage_of(&view, storage);
        if let Some((title, help)) = path.as_ref().and_then(|path| refusal(&path.value)) {
            let at = path.as_ref().map_or(view.at, |path| path.at);
            view.report(Mistake::new(Code::BadMount, at, title).help(help));
        }
        let (Some(slot), Some(path), Some(size), Some(storage)) = (slot, path, size, storage)
        else {
            continue;
        };
        let backup = view.boolean("backup").unwrap_or(true);
        mounts.insert(slot, Mount { path: path.value, storage, size_gib: size.value, backup });
    }
    mounts
}

/// Its own storage, or the guest's.
fn storage_of(view: &View<'_>, of_guest: Option<&StorageName>) -> Option<StorageName> {
    if view.table.contains_key("storage") {
        view.parsed("storage").map(|storage| storage.value)
    } else {
        of_guest.cloned()
    }
}

/// Why nothing can be mounted at a path. A comma would begin another part of Proxmox's option, and its own list of mounts
/// is split at white space.
fn refusal(path: &GuestPath) -> Option<(String, &'static str)> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_.+-@".contains(c);
    if !path.as_str().chars().all(plain) {
        let title = format!("`{path}` cannot be the path of a mount");
        return Some((title, "use letters, digits, `_`, `.`, `+`, `-` and `@`"));
    }
    let why = place::mount_refusal(path)?;
    let why = why.split(';').next().unwrap_or(why);
    let title = format!("nothing can be mounted at `{path}`: {why}");
    Some((title, "mount it elsewhere, such as below `/srv`"))
}

/// The further disks of a virtual machine.
pub fn disks(guest: &View<'_>, storage: Option<&StorageName>) -> BTreeMap<DiskSlot, Disk> {
    let mut disks = BTreeMap::new();
    for (slot, view) in guest.tables("disks") {
        let slot = view.lowering.parse::<DiskSlot>(slot, view.at);
        let size = view.need_number("size_gib");
        let storage = storage_of(&view, storage);
        let (Some(slot), Some(size), Some(storage)) = (slot, size, storage) else { continue };
        let backup = view.boolean("backup").unwrap_or(true);
        let ssd = view.boolean("ssd").unwrap_or(false);
        disks.insert(slot, Disk { storage, size_gib: size.value, backup, ssd });
    }
    disks
}

/// Reports mounts that hide one another, and those where the bundle has something else than a folder. What lies below a
/// mount is on it, and is well there.
pub fn check_mounts(stack: &View<'_>, overlay: &Overlay, mounts: &BTreeMap<MountSlot, Mount>) {
    let guest = stack.table("guest");
    let places: BTreeMap<&str, At> =
        guest.entries("mounts").map(|(slot, _, node)| (slot, node.at)).collect();
    let at = |slot: &MountSlot| places.get(slot.as_str()).copied().unwrap_or(guest.at);
    for (slot, mount) in mounts {
        for (other, above) in mounts.iter().filter(|(other, _)| *other != slot) {
            if let Some(title) = hidden((slot, mount), (other, above)) {
                let help = "Proxmox mounts by number: give each its own path, and the one above the lower number";
                let mistake = Mistake::new(Code::BadMount, at(slot), title).help(help);
                stack.report(mistake.also(at(other), "the other one"));
            }
        }
        let in_the_way = |path: &GuestPath, item: &Item| {
            !matches!(item, Item::Directory { .. })
                && is_at_or_below(mount.path.as_str(), path.as_str())
        };
        for (path, (_, made)) in
            overlay.items.iter().filter(|(path, (item, _))| in_the_way(path, item))
        {
            let title =
                format!("`{slot}` is mounted at `{}`, and `{path}` is no folder", mount.path);
            let mistake = Mistake::new(Code::BadMount, at(slot), title).also(*made, "made here");
            stack.report(mistake.help("give one of the two another path"));
        }
    }
}

/// What is wrong between a mount and another that is at its path or above it.
fn hidden(
    (slot, mount): (&MountSlot, &Mount),
    (other, above): (&MountSlot, &Mount),
) -> Option<String> {
    if mount.path == above.path {
        return (slot > other)
            .then(|| format!("`{slot}` and `{other}` are both mounted at `{}`", mount.path));
    }
    let is_below = is_at_or_below(mount.path.as_str(), above.path.as_str());
    (is_below && number(slot) < number(other)).then(|| {
        format!("`{slot}` at `{}` would be hidden by `{other}` at `{}`", mount.path, above.path)
    })
}

fn number(slot: &MountSlot) -> u8 {
    slot.as_str().trim_start_matches("mp").parse().expect("a slot ends in its number")
}
