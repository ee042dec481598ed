//! Public keys of OpenSSH: what sshd and Proxmox would refuse is refused here.

/// Types of keys that OpenSSH 9 takes.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Whether a line is a public key: a type, the key itself, and perhaps a comment. The key begins with its own type and has
/// no bytes after its last field. Source: RFC 4253 §6.6.
pub fn is_one(line: &str) -> bool {
    let mut words = line.split(' ');
    let (Some(kind), Some(base64)) = (words.next(), words.next()) else { return false };
    let Some(mut rest) = decoded(base64) else { return false };
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let Some(field) = take_field(&mut rest) else { return false };
        fields.push(field);
    }
    KEY_TYPES.contains(&kind) && fields.len() >= 2 && fields[0] == kind.as_bytes()
}

/// A field: its length in four bytes, then its bytes.
fn take_field(rest: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = rest.first_chunk::<4>().map(|length| u32::from_be_bytes(*length))?;
    let end = usize::try_from(length).ok()?.checked_add(4)?;
    let field = rest.get(4..end)?.to_vec();
    rest.drain(..end);
    Some(field)
}

/// The bytes of padded base64 (RFC 4648 §4); none when it is not that.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0_u32);
    for byte in digits.bytes() {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, count) = ((bits << 6 | u32::from(six)) & 0xffff, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).expect("it is masked"));
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIDbtRAxwEjxOAwx5pQ7xSP0lYWlYOjf7TqM1jM5OLNrZ";

    #[test]
    fn a_key_is_one_that_sshd_reads() {
        assert!(is_one(&format!("ssh-ed25519 {KEY}")));
        assert!(is_one(&format!("ssh-ed25519 {KEY} ops@example.org")));
        let refused = [
            format!("ssh-rsa {KEY}"),
            format!("ssh-ed25519 {}", &KEY[..64]),
            format!("ssh-ed25519 {KEY}AAAA"),
            format!("ssh-ed25519 {}*", &KEY[..67]),
            "ssh-ed25519".to_owned(),
            "ssh-ed25519 ".to_owned(),
            KEY.to_owned(),
            "b3BlbnNzaC1rZXktdjEA".to_owned(),
        ];
        for line in refused {
            assert!(!is_one(&line), "{line}");
        }
    }
}
