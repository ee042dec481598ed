//! Public keys of `OpenPGP` in armor, as `gpg --armor --export` writes them. Source: RFC 9580 §6.

use super::base64;

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// The sort of packet that a public key begins with. Source: RFC 9580 §5.
const PUBLIC_KEY: u8 = 6;

/// The lines of the one armored public key of a text; what is wrong with it otherwise.
pub fn armored_key(text: &str) -> Result<Vec<&str>, &'static str> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    if text.contains("PRIVATE KEY") {
        return Err("is a private key, which nobody but its owner may have");
    }
    let begins: Vec<usize> = (0..lines.len()).filter(|n| lines[*n] == BEGIN).collect();
    let [begin] = begins[..] else {
        return Err("has no armored public key of OpenPGP, or several blocks of them");
    };
    let end = lines[begin..].iter().position(|line| *line == END).map(|n| begin + n);
    let block = &lines[begin..=end.ok_or("ends in the middle of its key")?];
    if is_public_key(&block[1..block.len() - 1]) {
        Ok(block.to_vec())
    } else {
        Err("holds a block that is no whole public key: its checksum or first packet is wrong")
    }
}

/// Whether the lines between the two marks decode to a public key: headers, an empty line, the key, its checksum.
fn is_public_key(lines: &[&str]) -> bool {
    let Some(empty) = lines.iter().position(|line| line.is_empty()) else { return false };
    let is_header = |line: &&str| line.contains(": ");
    let body: Vec<&str> = lines[empty + 1..].iter().copied().filter(|l| !l.is_empty()).collect();
    let (body, checksum) = match body.split_last() {
        Some((last, body)) if last.len() == 5 && last.starts_with('=') => (body, Some(&last[1..])),
        _ => (&body[..], None),
    };
    let Some(bytes) = base64::decode(&body.concat()) else { return false };
    let is_whole =
        checksum.is_none_or(|sum| base64::decode(sum).is_some_and(|s| s == crc24(&bytes)));
    lines[..empty].iter().all(is_header) && is_whole && first_packet(&bytes) == Some(PUBLIC_KEY)
}

/// The sort of the first packet. Source: RFC 9580 §4.2.
fn first_packet(bytes: &[u8]) -> Option<u8> {
    let first = *bytes.first()?;
    match first >> 6 {
        0b11 => Some(first & 0x3f),
        0b10 => Some(first >> 2 & 0xf),
        _ => None,
    }
}

/// Source: RFC 9580 §6.1.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut crc = 0x00b7_04ce_u32;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    let [_, high, middle, low] = crc.to_be_bytes();
    [high, middle, low]
}
