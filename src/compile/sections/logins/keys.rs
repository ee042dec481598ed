//! Whether sshd takes the keys that operators and users have. Source: `sshd_config(5)`, `PubkeyAcceptedAlgorithms`,
//! `StrictModes`; OpenSSH 9.2, `auth_secure_path`.

use super::{Login, config::Line};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::overlay::{Item, Overlay},
        view::View,
    },
    model::{Access, pattern::fits},
};

/// Where stackc puts the keys of users.
pub const FOLDER: &str = "/etc/ssh/authorized_keys.d/";

/// Reports files of keys that sshd leaves out for their owner or their mode: it reads them as the user.
pub fn check_files(stack: &View<'_>, overlay: &Overlay, lines: &[Line<'_>]) {
    if lines.iter().any(|line| line.keyword == "strictmodes") {
        return;
    }
    for (path, (item, at)) in &overlay.items {
        let user = path.as_str().strip_prefix(FOLDER).filter(|name| !name.contains('/'));
        let (Some(user), Item::File { access, .. }) = (user, item) else { continue };
        if let Some(why) = left_out(user, access) {
            let title = format!("sshd would leave out `{path}`: {why}");
            let help = "leave `owner`, `group` and `mode` out: public keys are for all to read";
            stack.report(Mistake::new(Code::KeysNobodyReads, *at, title).help(help));
        }
    }
}

fn left_out(user: &str, access: &Access) -> Option<&'static str> {
    let (owner, group, bits) = (access.owner.as_str(), access.group.as_str(), access.mode.bits());
    let is_readable = match owner {
        "root" if user == "root" => true,
        // What groups a user is in besides, nobody knows.
        "root" => bits & 0o004 != 0 || group != "root" && bits & 0o040 != 0,
        _ => bits & 0o400 != 0,
    };
    match () {
        () if owner != "root" && owner != user => Some("it is neither root's nor the user's"),
        () if access.mode.is_shared() => Some("others may write to it"),
        () if !is_readable => Some("the user may not read it"),
        () => None,
    }
}

/// Whether a list of algorithms leaves none of the operators' keys, as far as they are known.
pub fn leaves_none(list: &str, overlay: &Overlay, login: &Login<'_>) -> bool {
    let types = types(overlay, login);
    !types.is_empty() && !types.iter().any(|key| takes(list, key))
}

/// The types of the keys by which operators come.
fn types(overlay: &Overlay, login: &Login<'_>) -> Vec<String> {
    let kind = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    if login.user == "root" {
        return login.admin_keys.iter().map(|line| kind(line)).collect();
    }
    let path = format!("{FOLDER}{}", login.user);
    let file = overlay.items.iter().find(|(other, _)| other.as_str() == path);
    match file {
        Some((_, (Item::File { bytes, .. }, _))) => {
            String::from_utf8_lossy(bytes).lines().map(kind).collect()
        }
        _ => Vec::new(),
    }
}

fn takes(list: &str, key: &str) -> bool {
    let algorithms: &[&str] =
        if key == "ssh-rsa" { &["rsa-sha2-512", "rsa-sha2-256"] } else { &[key] };
    let named = |list: &str, algorithm: &str| list.split(',').any(|item| fits(item, algorithm));
    match list.split_at_checked(1) {
        // Those that it has anyway stay.
        Some(("+" | "^", _)) => true,
        Some(("-", list)) => !algorithms.iter().all(|algorithm| named(list, algorithm)),
        // Today's clients sign with SHA-2 alone; one that still signs with SHA-1 is taken at its word.
        _ => named(list, key) || algorithms.iter().any(|algorithm| named(list, algorithm)),
    }
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn a_list_of_algorithms_takes_a_key_by_the_signatures_that_it_makes() {
        for list in
            ["ssh-ed25519", "rsa-sha2-512,ssh-ed25519*", "+ssh-rsa", "^x", "-rsa-sha2-*", "*"]
        {
            assert!(takes(list, "ssh-ed25519"), "{list}");
        }
        for list in ["rsa-sha2-512", "-ssh-*", "sk-ssh-ed25519@openssh.com"] {
            assert!(!takes(list, "ssh-ed25519"), "{list}");
        }
        assert!(takes("rsa-sha2-256", "ssh-rsa") && takes("-rsa-sha2-512", "ssh-rsa"));
        assert!(!takes("-rsa-sha2-*", "ssh-rsa"));
    }
}
