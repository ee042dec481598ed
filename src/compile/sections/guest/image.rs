//! What is below a guest, as the name of its template or image tells.

use crate::model::{DiskSource, GuestKind, MachineOptions, ProxmoxDocument};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Debian {
    Twelve,
    Thirteen,
}

/// What is known of a template or image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Image {
    /// None where the name does not say it.
    pub debian: Option<Debian>,
    /// Whether it is one that Debian or Proxmox makes, by the name that they give it.
    pub is_plain: bool,
}

impl Image {
    pub fn of(guest: Option<&ProxmoxDocument>) -> Self {
        match guest.map(|guest| &guest.kind) {
            Some(GuestKind::Lxc(options)) => Self::named(&options.template, "standard"),
            Some(GuestKind::Qemu(MachineOptions { source: DiskSource::Image(image), .. })) => {
                Self::named(image.as_str(), "generic")
            }
            Some(GuestKind::Qemu(_)) | None => Self::default(),
        }
    }

    fn named(volume: &str, flavour: &str) -> Self {
        let file = volume.rsplit(['/', ':']).next().unwrap_or(volume);
        let debian = match (file.contains("debian-12"), file.contains("debian-13")) {
            (true, false) => Some(Debian::Twelve),
            (false, true) => Some(Debian::Thirteen),
            _ => None,
        };
        let rest = ["debian-12-", "debian-13-"].iter().find_map(|start| file.strip_prefix(start));
        Self { debian, is_plain: rest.is_some_and(|rest| rest.starts_with(flavour)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_images_of_debian_are_known() {
        let of = |volume, flavour| {
            let image = Image::named(volume, flavour);
            (image.debian, image.is_plain)
        };
        let template = "local:vztmpl/debian-12-standard_12.12-1_amd64.tar.zst";
        assert_eq!(of(template, "standard"), (Some(Debian::Twelve), true));
        let image = "local:import/debian-13-genericcloud-amd64.qcow2";
        assert_eq!(of(image, "generic"), (Some(Debian::Thirteen), true));
        let own = "local:vztmpl/my-debian-12-standard.tar.zst";
        assert_eq!(of(own, "standard"), (Some(Debian::Twelve), false));
        assert_eq!(of("local:vztmpl/base.tar.zst", "standard"), (None, false));
    }
}
