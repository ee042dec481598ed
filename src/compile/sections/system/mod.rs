//! `system`: clock, language, journal, kernel parameters, upgrades; each key a file that only stackc has.

mod sysctl;
mod upgrades;

use super::{
    apt,
    guest::{Debian, Image},
    overlay::Overlay,
};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema,
        view::View,
    },
    model::Mode,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

pub fn add(stack: &View<'_>, image: Image, overlay: &mut Overlay) {
    let view = stack.table("system");
    add_timezone(stack, &view, image, overlay);
    add_locale(stack, &view, image, overlay);
    add_journal(&view, overlay);
    sysctl::add(stack, &view, overlay);
    upgrades::add(stack, &view, overlay);
}

/// Zones of both Debians. Source: the files of tzdata 2025b-0+deb12u2 and 2026c-0+deb13u1.
static ZONES: LazyLock<BTreeSet<&str>> =
    LazyLock::new(|| include_str!("timezones.txt").lines().collect());

/// Names that Debian 13 has in a package of its own, each with the one that it stands for. Source: the links of tzdata-legacy
/// 2026c-0+deb13u1.
static OLD_ZONES: LazyLock<BTreeMap<&str, &str>> = LazyLock::new(|| {
    include_str!("timezones_old.txt").lines().filter_map(|line| line.split_once(' ')).collect()
});

fn add_timezone(stack: &View<'_>, view: &View<'_>, image: Image, overlay: &mut Overlay) {
    let Some(zone) = view.text("timezone") else { return };
    if let Some(new) = OLD_ZONES.get(zone.value.as_str()) {
        let is_there = stack.table("packages").table.contains_key("tzdata-legacy");
        if image.debian == Some(Debian::Thirteen) && !is_there {
            let title = format!(
                "`{}` is an old name of `{new}`, which Debian 13 has in the package `tzdata-legacy` only",
                zone.value
            );
            let table = stack.lowering.files.layer_table(zone.at, "packages");
            let help = format!("write `{new}`, or add `tzdata-legacy = true` to `[{table}]`");
            view.report(Mistake::new(Code::PackageNotDeclared, zone.at, title).help(help));
        }
    } else if !ZONES.contains(zone.value.as_str()) {
        let help = match schema::nearest(&zone.value, ZONES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "write AREA/CITY as `timedatectl list-timezones` shows it, or Etc/UTC".to_owned()
            }
        };
        let title = format!("`{}` is no time zone", zone.value);
        view.report(Mistake::new(Code::BadValue, zone.at, title).help(help));
        return;
    }
    let text = format!("{}\n", zone.value);
    overlay.add_text("/etc/timezone", Mode::FILE, text, zone.at, view);
    let target = format!("/usr/share/zoneinfo/{}", zone.value);
    overlay.add_link("/etc/localtime", target, zone.at, view);
}

/// Locales that every Debian has; any other comes with a package.
const BUILT_IN: [&str; 3] = ["C", "C.UTF-8", "POSIX"];

fn add_locale(stack: &View<'_>, view: &View<'_>, image: Image, overlay: &mut Overlay) {
    let Some(locale) = view.text("locale") else { return };
    let name = locale.value.as_str();
    if !is_locale(name) {
        let title = format!("`{name}` is no locale");
        let help = "write LANGUAGE_COUNTRY.UTF-8, such as de_DE.UTF-8, or C.UTF-8";
        view.report(Mistake::new(Code::BadValue, locale.at, title).help(help));
        return;
    }
    if !BUILT_IN.contains(&name) {
        let what = format!("the locale `{name}`");
        apt::need_package(stack, locale.at, &what, &["locales-all", "locales"]);
    }
    let text = format!("LANG={name}\n");
    // Debian 13 makes the other name a link to this one again at each boot. Source: its `/usr/lib/tmpfiles.d/debian.conf`.
    let path = match image.debian {
        Some(Debian::Thirteen) => "/etc/locale.conf",
        _ => "/etc/default/locale",
    };
    overlay.add_text(path, Mode::FILE, text, locale.at, view);
}

/// Source: `SUPPORTED` of Debian's locales: `de_DE.UTF-8`, `de_DE@euro`, `ast_ES`, `C.UTF-8`.
fn is_locale(text: &str) -> bool {
    let (rest, modifier) = text.split_once('@').map_or((text, "x"), |(rest, m)| (rest, m));
    let (place, charset) = rest.split_once('.').map_or((rest, "x"), |(place, c)| (place, c));
    let is_word = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let is_place = place.split_once('_').is_some_and(|(language, country)| {
        (2..=3).contains(&language.len())
            && language.chars().all(|c| c.is_ascii_lowercase())
            && country.len() == 2
            && country.chars().all(|c| c.is_ascii_uppercase())
    });
    BUILT_IN.contains(&text) || is_place && is_word(charset) && is_word(modifier)
}

fn add_journal(view: &View<'_>, overlay: &mut Overlay) {
    let Some(most) = view.number("journal_max_mib") else { return };
    let text = format!(
        "[Journal]\n# What a guest said before a reboot is what explains the reboot.\nStorage=persistent\nSystemMaxUse={}M\n",
        most.value
    );
    overlay.add_text(
        "/etc/systemd/journald.conf.d/50-stackc.conf",
        Mode::FILE,
        text,
        most.at,
        view,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locales_are_those_of_their_form() {
        for name in ["C", "C.UTF-8", "de_DE.UTF-8", "de_DE@euro", "ast_ES.UTF-8", "sr_RS@latin"] {
            assert!(is_locale(name), "{name}");
        }
        for name in ["", "german", "de", "de_de", "DE_DE", "de_DE.", "de_DE.UTF-8\nX=1", "c.utf-8"]
        {
            assert!(!is_locale(name), "{name}");
        }
    }
}
