//! Sizes of disks: what a guest's configuration says of them. An overlay has no size of its own.

use super::super::config::Config;

const GIBIBYTE: u64 = 1 << 30;

/// The size that a guest's disk is said to have.
pub(super) fn disk_bytes(config: &Config) -> u64 {
    let rootfs = config.get("rootfs").unwrap_or_default();
    rootfs.split(',').find_map(|item| item.strip_prefix("size=")).and_then(parse_size).unwrap_or(0)
}

/// `8G`, `0.5G`, `512M`, or bytes. Source: `PVE::JSONSchema::parse_size`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "sizes of disks are far below 2^52 bytes"
)]
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = match text.chars().last()? {
        'K' => (&text[..text.len() - 1], 1 << 10),
        'M' => (&text[..text.len() - 1], 1 << 20),
        'G' => (&text[..text.len() - 1], GIBIBYTE),
        'T' => (&text[..text.len() - 1], GIBIBYTE << 10),
        _ => (text, 1),
    };
    let number = number.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0)?;
    Some((number * unit as f64) as u64)
}

/// The largest unit that shows it as a whole number. Source: `PVE::JSONSchema::format_size`.
pub(super) fn show_size(bytes: u64) -> String {
    let units = [(GIBIBYTE, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let whole = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit));
    whole.map_or_else(|| bytes.to_string(), |(unit, letter)| format!("{}{letter}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_shown_as_proxmox_does() {
        let again = |text| parse_size(text).map(show_size);
        assert_eq!(again("8G").as_deref(), Some("8G"));
        assert_eq!(again("3.5G").as_deref(), Some("3584M"));
        assert_eq!(again("1T").as_deref(), Some("1024G"));
        assert_eq!(again("-1G"), None);
        assert_eq!(again("4Gi"), None);
        assert_eq!(parse_size(""), None);
    }
}
