//! Container or virtual machine, and what only one of them has.

use crate::{
    compile::{
        report::{Code, Mistake},
        source::{At, FileId},
        view::View,
    },
    model::{Bios, Chipset},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Lxc,
    Qemu,
}

const OF_CONTAINERS: [&str; 4] = ["template", "swap_mib", "mounts", "nesting"];
const OF_MACHINES: [&str; 8] =
    ["image", "clone", "cpu_type", "balloon_mib", "disks", "agent", "bios", "machine"];

/// Reads the kind, and reports keys of the other one.
pub fn read(guest: &View<'_>, own_file: FileId) -> Option<Kind> {
    let kind = guest.word_or("kind", &[("lxc", Kind::Lxc), ("qemu", Kind::Qemu)], Kind::Lxc)?;
    let chosen_in = guest.node("kind").map(|node| node.at.file);
    let others = match kind {
        Kind::Lxc => OF_MACHINES.as_slice(),
        Kind::Qemu => OF_CONTAINERS.as_slice(),
    };
    for key in others {
        let Some(member) = guest.table.get(*key) else { continue };
        // The site and a kind may have defaults for guests of both kinds; what stands beside the choice, or in the
        // project's own file, is meant for this one. Of tables and what is in them, layers may have a part each.
        let meant = |at: &At| at.file == own_file || Some(at.file) == chosen_in;
        if let Some(at) = [member.key, member.node.at].into_iter().find(meant) {
            let (is, wanted, word) = match kind {
                Kind::Lxc => ("a container", "virtual machines", "qemu"),
                Kind::Qemu => ("a virtual machine", "containers", "lxc"),
            };
            let title = format!("{is} has no `{key}`");
            let help = format!("only {wanted} have it: leave it out, or write `kind = \"{word}\"`");
            let mistake = Mistake::new(Code::OtherKindsKey, at, title).help(help);
            guest.report(mistake.in_guest(guest.lowering.target));
        }
    }
    Some(kind)
}

pub fn bios(guest: &View<'_>) -> Option<Bios> {
    let words = [("seabios", Bios::Seabios), ("ovmf", Bios::Ovmf)];
    guest.word_or("bios", &words, Bios::Seabios)
}

pub fn chipset(guest: &View<'_>) -> Option<Chipset> {
    let words = [("i440fx", Chipset::I440fx), ("q35", Chipset::Q35)];
    guest.word_or("machine", &words, Chipset::Q35)
}
