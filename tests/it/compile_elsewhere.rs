//! The same definitions, built by another user elsewhere and at another time.

use crate::{
    compile_cli::{stackc, stored, text, workspace},
    left_out::is_left_out,
};
use assert_cmd::Command;
use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};
use tempfile::TempDir;

/// A language: its locale, and the name of its characters' set, by which it is told to be in force.
type Language = (&'static str, &'static str);

/// In Turkish an `i` is no `I`; EUC-JP is not UTF-8.
const TURKISH: Language = ("tr_TR.UTF-8", "UTF-8");
const JAPANESE: Language = ("ja_JP.eucJP", "EUC-JP");
const NONE: Language = ("POSIX", "ANSI_X3.4-1968");

#[test]
fn another_place_user_umask_time_zone_and_language_build_the_same_store() {
    let here = workspace();
    stackc(here.path()).arg("build").assert().success();
    let locales = tempfile::tempdir().expect("a folder");
    let are_made = [TURKISH, JAPANESE].iter().all(|language| is_made(locales.path(), language));
    let are_left_out = is_left_out("localedef and the sources of locales", are_made);
    let elsewhere = [
        ("Pacific/Kiritimati", TURKISH, "/"),
        ("America/St_Johns", JAPANESE, "/usr"),
        ("UTC", NONE, "/var/tmp"),
    ];
    for (zone, language, place) in elsewhere {
        let language = if are_left_out { NONE } else { language };
        let there = built_by_another(zone, (locales.path(), language), place);
        assert_eq!(stored(here.path()), stored(there.path()), "{zone} {language:?} {place}");
    }
}

/// Makes a locale where anybody can read it; whether it could be made.
fn is_made(locales: &Path, (locale, charset): &Language) -> bool {
    fs::set_permissions(locales, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    let (source, _) = locale.split_once('.').expect("it has a set of characters");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022; exec localedef -i \"$0\" -f \"$1\" \"$2\"", source, charset]);
    command.arg(locales.join(locale));
    command.output().is_ok_and(|made| made.status.success())
}

/// A workspace that somebody else has built, somewhere else; without root at least with other rights and settings.
fn built_by_another(
    zone: &str,
    (locales, (locale, charset)): (&Path, Language),
    place: &str,
) -> TempDir {
    let there = workspace();
    let binary = assert_cmd::cargo::cargo_bin("stackc");
    let mut elsewhere = Command::new("sh");
    let build =
        "umask 077; [ \"$(locale charmap)\" = \"$2\" ] || exit 99; exec \"$0\" -C \"$1\" build";
    if rustix::process::geteuid().is_root() {
        // Another user needs a binary and a folder that it can reach.
        let reachable = there.path().join("stackc");
        fs::copy(&binary, &reachable).expect("it can be copied");
        let own = ["-R", "nobody", &there.path().to_string_lossy()].map(str::to_owned);
        Command::new("chown").args(own).assert().success();
        let user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "sh", "-c", build];
        elsewhere = Command::new("setpriv");
        elsewhere.args(user).arg(&reachable).arg(there.path()).arg(charset);
    } else {
        elsewhere.args(["-c", build]).arg(&binary).arg(there.path()).arg(charset);
    }
    elsewhere
        .env("TZ", zone)
        .env("LANG", locale)
        .env("LC_ALL", locale)
        .env("LOCPATH", locales)
        .current_dir(place)
        .assert()
        .success();
    there
}

/// `faketime` answers for the clock wherever the C library is asked for it.
#[test]
fn another_clock_builds_the_same_store() {
    let at = |year: &str, program: &Path| {
        let mut command = Command::new("faketime");
        command.arg(format!("{year}-05-06 07:08:09")).arg(program);
        command
    };
    if is_left_out("faketime", Command::new("faketime").arg("--version").output().is_ok()) {
        return;
    }
    let here = workspace();
    stackc(here.path()).arg("build").assert().success();
    let binary = assert_cmd::cargo::cargo_bin("stackc");
    for year in ["1971", "2031", "2099"] {
        let date = at(year, "date".as_ref()).arg("+%Y").output().expect("it runs");
        assert_eq!(text(&date.stdout).trim(), year, "the clock is another one");
        let there = workspace();
        at(year, &binary).arg("-C").arg(there.path()).arg("build").assert().success();
        assert_eq!(stored(here.path()), stored(there.path()), "{year}");
    }
}
