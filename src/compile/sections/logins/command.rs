//! Whether a command that sshd forces on a client runs what the client asked for.

use crate::compile::sections::overlay::{Item, Overlay};

/// How far a script is followed into those that it calls.
const DEPTH_MAX: u8 = 4;

/// Whether a command may run what the client asked for: it says so, or leads to a program that nobody knows here. Debian's own
/// programs do not.
pub fn runs_what_is_asked(command: &str, overlay: &Overlay, depth: u8) -> bool {
    let separators = |c: char| c.is_whitespace() || "\"'`;|&()<>=".contains(c);
    let leads_on = |word: &str| {
        let found = overlay.items.iter().find(|(path, _)| path.as_str() == word);
        match found {
            Some((_, (Item::File { bytes, .. }, _))) if depth < DEPTH_MAX => {
                runs_what_is_asked(&String::from_utf8_lossy(bytes), overlay, depth + 1)
            }
            _ => !is_debians(word),
        }
    };
    command.contains("SSH_ORIGINAL_COMMAND")
        || command.split(separators).any(|word| word.starts_with('/') && leads_on(word))
}

/// Whether a path is a program of Debian, or no program at all.
fn is_debians(path: &str) -> bool {
    let folders = ["/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/lib/", "/dev/", "/proc/"];
    folders.iter().any(|folder| path.starts_with(folder)) || path.len() == 1
}
