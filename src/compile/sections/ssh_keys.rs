//! Public keys of OpenSSH, files of the workspace's folder `keys`. Source: sshd(8), `AUTHORIZED_KEYS FILE FORMAT`.

use super::base64;
use crate::compile::{
    report::{Code, Mistake},
    source::At,
    view::View,
};
use std::collections::BTreeMap;

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

/// The text of a file of `keys`.
pub fn file<'a>(
    view: &View<'_>,
    name: &str,
    at: At,
    keys: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    if let Some(text) = keys.get(name) {
        return Some(text);
    }
    let known: Vec<_> = keys.keys().map(String::as_str).collect();
    let help = if known.is_empty() {
        "put public keys into the workspace's folder `keys`".to_owned()
    } else {
        format!("the files there are {}", known.join(", "))
    };
    view.report(
        Mistake::new(Code::MissingFile, at, format!("there is no file `{name}`")).help(help),
    );
    None
}

/// The keys of a file, a line each.
pub fn read(
    view: &View<'_>,
    name: &str,
    at: At,
    keys: &BTreeMap<String, String>,
) -> Option<Vec<String>> {
    let text = file(view, name, at, keys)?;
    let lines =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    let nothing = ("has no public key", "put one key a line, as `ssh-keygen` writes it");
    let nothing = lines.is_empty().then_some(nothing);
    let fault = nothing.or_else(|| lines.iter().find_map(|line| fault(line)));
    let Some((why, help)) = fault else { return Some(lines) };
    view.report(Mistake::new(Code::BadPublicKey, at, format!("`{name}` {why}")).help(help));
    None
}

/// What of a line makes it the same key as another one: all but the comment.
pub fn identity(line: &str) -> &str {
    let end = line.match_indices(' ').nth(1).map_or(line.len(), |(n, _)| n);
    &line[..end]
}

fn fault(line: &str) -> Option<(&'static str, &'static str)> {
    let mut words = line.split(' ');
    let (kind, blob) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if kind.ends_with("-cert-v01@openssh.com") {
        let help = "put the key itself there: certificates are signed by a CA, which sshd has to be told of";
        return Some(("has a certificate instead of a public key", help));
    }
    if !KEY_TYPES.contains(&kind) {
        if KEY_TYPES.iter().any(|kind| line.contains(&format!(" {kind} "))) {
            let help =
                "take the options out, and restrict the user by an sshd drop-in with `Match User`";
            return Some(("has a key with options, which nobody reviews there", help));
        }
        let help = "put one key a line, as `ssh-keygen` writes it";
        return Some(("has a line that is no public key of OpenSSH", help));
    }
    (!is_key_of(kind, blob)).then_some((
        "has a key that is cut off or changed",
        "copy the whole line of the `.pub` file",
    ))
}

/// Whether the encoded key is whole and of the type that stands before it. Source: RFC 4253 §6.6.
fn is_key_of(kind: &str, blob: &str) -> bool {
    let Some(bytes) = base64::decode(blob) else { return false };
    let (mut rest, mut fields) = (&bytes[..], Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let Some((field, after)) = after.split_at_checked(length) else { return false };
        fields.push(field);
        rest = after;
    }
    rest.is_empty() && fields.len() >= 2 && fields[0] == kind.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDbtRAxwEjxOAwx5pQ7xSP0lYWlYOjf7TqM1jM5OLNrZ";

    #[test]
    fn a_key_is_whole_plain_and_of_its_type() {
        assert_eq!(fault(KEY), None);
        assert_eq!(fault(&format!("{KEY} ops@example.org of the night")), None);
        let cut = &KEY[..KEY.len() - 4];
        let other = KEY.replace("ssh-ed25519 ", "ssh-rsa ");
        let options = format!("command=\"/bin/true\" {KEY}");
        for line in [cut, &other, &options, "ssh-ed25519", "ssh-ed25519 AAAA x", "x"] {
            assert!(fault(line).is_some(), "{line}");
        }
    }

    #[test]
    fn a_comment_does_not_make_another_key() {
        assert_eq!(identity(&format!("{KEY} a b")), KEY);
        assert_eq!(identity(KEY), KEY);
    }
}
