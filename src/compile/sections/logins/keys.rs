//! Whether sshd takes the keys that operators have. Source: `sshd_config(5)`, `PubkeyAcceptedAlgorithms`.

use super::Login;
use crate::{
    compile::sections::overlay::{Item, Overlay},
    model::pattern::fits,
};

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
    let path = format!("/etc/ssh/authorized_keys.d/{}", login.user);
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
