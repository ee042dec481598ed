//! `system.upgrades`: what unattended-upgrades does, in a file beside its own. Source: apt.conf(5), and
//! `/etc/apt/apt.conf.d/50unattended-upgrades` of Debian 12.

use super::{Overlay, apt};
use crate::{
    compile::{
        report::{Code, Mistake},
        view::{Located, View},
    },
    model::Mode,
};

const PATH: &str = "/etc/apt/apt.conf.d/52stackc-unattended-upgrades";

pub fn add(stack: &View<'_>, system: &View<'_>, overlay: &mut Overlay) {
    let Some(at) = system.node("upgrades").map(|node| node.at) else { return };
    let view = system.table("upgrades");
    let flag = |key, default| view.boolean(key).unwrap_or(default);
    let is_enabled = flag("enabled", true);
    if is_enabled {
        apt::need_package(stack, at, "`system.upgrades`", &["unattended-upgrades"]);
    }
    let mut text =
        "// Read by apt-daily.timer and apt-daily-upgrade.timer, once a day each.\n".to_owned();
    let daily = if is_enabled { "1" } else { "0" };
    for key in ["Update-Package-Lists", "Unattended-Upgrade"] {
        text += &line(&format!("APT::Periodic::{key}"), daily);
    }
    text += &line("APT::Periodic::AutocleanInterval", "7");
    for (key, value) in [
        ("Automatic-Reboot", flag("reboot", false)),
        ("Remove-Unused-Dependencies", flag("remove_unused", true)),
        ("Remove-Unused-Kernel-Packages", flag("remove_unused", true)),
    ] {
        text += &line(&format!("Unattended-Upgrade::{key}"), &value.to_string());
    }
    let time = checked(&view, "reboot_time", is_time, "write hours and minutes, such as 03:30");
    let mail = checked(&view, "mail", is_mail, "write one address, such as ops@example.org");
    let origins = checked(&view, "origins", is_origin, ORIGIN_HELP);
    let blocked = checked(&view, "blocked", is_package, "write names of packages; `*` is any text");
    let blocked = blocked.into_iter().map(|name| pattern(&name)).collect();
    for (key, values) in [
        ("Automatic-Reboot-Time", time),
        ("Mail", mail),
        ("Origins-Pattern::", origins),
        ("Package-Blacklist::", blocked),
    ] {
        for value in values {
            text += &line(&format!("Unattended-Upgrade::{key}"), &value);
        }
    }
    overlay.add_text(PATH, Mode::FILE, text, at, &view);
}

/// A line of apt's configuration. Nothing in it stands for a quote, a backslash or a line feed: the forms below have none.
fn line(key: &str, value: &str) -> String {
    format!("{key} \"{value}\";\n")
}

/// The values of a key that have their form; the others are told.
fn checked(view: &View<'_>, key: &str, is_well: fn(&str) -> bool, help: &str) -> Vec<String> {
    let (well, wrong): (Vec<_>, Vec<_>) =
        view.texts(key).into_iter().partition(|text| is_well(&text.value));
    for Located { value, at } in wrong {
        let title = format!("`{value}` is nothing for `{key}`");
        view.report(Mistake::new(Code::BadUpgrades, at, title).help(help));
    }
    well.into_iter().map(|text| text.value).collect()
}

fn is_time(text: &str) -> bool {
    let number = |text: &str, below: u32| {
        text.len() == 2
            && text.bytes().all(|b| b.is_ascii_digit())
            && text.parse::<u32>().is_ok_and(|n| n < below)
    };
    text.split_once(':').is_some_and(|(hours, minutes)| number(hours, 24) && number(minutes, 60))
}

fn is_mail(text: &str) -> bool {
    let is_word = |word: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c);
        !word.is_empty() && !word.starts_with('-') && word.chars().all(plain)
    };
    let mut words = text.split('@');
    words.next().is_some_and(is_word) && words.next().is_none_or(is_word) && words.next().is_none()
}

const ORIGIN_HELP: &str =
    "write what `apt-cache policy` shows, such as \"origin=Docker,codename=${distro_codename}\"";

/// Conditions joined by commas. Source: `match_whitelist_string` of unattended-upgrades.
fn is_origin(text: &str) -> bool {
    const KEYS: [&str; 13] = [
        "o",
        "origin",
        "l",
        "label",
        "a",
        "suite",
        "archive",
        "n",
        "codename",
        "c",
        "component",
        "s",
        "site",
    ];
    text.split(',').all(|condition| {
        condition.split_once('=').is_some_and(|(key, value)| {
            let plain = |c: char| !c.is_control() && !"\"\\=".contains(c);
            KEYS.contains(&key.trim()) && !value.trim().is_empty() && value.chars().all(plain)
        })
    })
}

fn is_package(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.*".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// A name or glob as the regular expression that unattended-upgrades matches from the name's beginning.
fn pattern(name: &str) -> String {
    let escaped = |c: char| match c {
        '*' => ".*".to_owned(),
        '+' | '.' => format!("[{c}]"),
        c => c.to_string(),
    };
    format!("{}$", name.chars().map(escaped).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_whole() {
        assert_eq!(pattern("libstdc++6"), "libstdc[+][+]6$");
        assert_eq!(pattern("linux-*"), "linux-.*$");
    }

    #[test]
    fn values_have_their_forms() {
        for (is_well, good, bad) in [
            (
                is_time as fn(&str) -> bool,
                &["03:30", "23:59"][..],
                &["3:30", "24:00", "now", ""][..],
            ),
            (is_mail, &["root", "a.b+c@x-y.org"], &["", "a@b@c", "a b", "-a", "a@", "a\"b"]),
            (
                is_origin,
                &["origin=Docker", "o=A b, n=${distro_codename}"],
                &["", "Docker", "x=y", "o="],
            ),
            (is_package, &["nginx", "linux-*"], &["", "Nginx", "a b", "a\"b", "a$"]),
        ] {
            assert!(good.iter().all(|text| is_well(text)), "{good:?}");
            assert!(!bad.iter().any(|text| is_well(text)), "{bad:?}");
        }
    }
}
