//! What the bundle tells sshd: operators must still get in, by the account, the key and the port that stackc uses.
//!
//! Source: `sshd_config(5)` of OpenSSH 9.2. The first value of a keyword counts, but for those that add up; what stands after
//! `Match` is for some connections only, and is not judged.

use super::{
    firewall::admission::SSH_PORT,
    overlay::{Item, Overlay},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        source::At,
        view::View,
    },
    model::pattern::fits,
};
use std::net::IpAddr;

/// The folder that Debian's `sshd_config` includes before anything else.
const FOLDER: &str = "/etc/ssh/sshd_config.d/";
/// Where stackc puts the keys of users.
const KEYS_OF_USERS: &str = "/etc/ssh/authorized_keys.d/%u";

/// Who logs in, and where.
pub struct Login<'a> {
    pub user: &'a str,
    pub own: &'a [IpAddr],
}

/// A line of a configuration.
struct Line<'a> {
    keyword: String,
    values: Vec<&'a str>,
    text: &'a str,
    at: At,
}

/// Reports what shuts operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let lines = lines(overlay);
    let is_for = |keyword: &'static str| move |line: &&Line<'_>| line.keyword == keyword;
    for keyword in ["permitrootlogin", "pubkeyauthentication", "authenticationmethods"] {
        let first = lines.iter().find(is_for(keyword));
        report(stack, first.and_then(|line| Some((line, shuts_out(line, login)?))));
    }
    let first = lines.iter().find(is_for("authorizedkeysfile"));
    report(stack, first.and_then(|line| Some((line, keys_elsewhere(line, login)?))));
    for keyword in ["port", "listenaddress", "allowusers"] {
        let all: Vec<_> = lines.iter().filter(is_for(keyword)).collect();
        let admitted = all.iter().any(|line| admits(line, login));
        let last = all.last().filter(|_| !admitted);
        report(stack, last.map(|line| (*line, remedy(keyword))));
    }
    let denied = lines.iter().filter(is_for("denyusers")).find(|line| admits(line, login));
    report(stack, denied.map(|line| (line, "take the account of operators out of it")));
    if login.user == "root" {
        check_groups(stack, &lines, login);
    }
    let reads = |line: &Line<'_>| line.values.contains(&KEYS_OF_USERS);
    if !lines.iter().filter(is_for("authorizedkeysfile")).any(reads) {
        check_no_keys(stack, overlay);
    }
}

/// Root is in the group of its name and in no other; of other accounts only the guest knows.
fn check_groups(stack: &View<'_>, lines: &[Line<'_>], login: &Login<'_>) {
    let of = |keyword: &'static str| lines.iter().filter(move |line| line.keyword == keyword);
    let denied = of("denygroups").find(|line| admits(line, login));
    report(stack, denied.map(|line| (line, "take the group `root` out of it")));
    let admitted = of("allowgroups").any(|line| admits(line, login));
    let last = of("allowgroups").next_back().filter(|_| !admitted);
    report(
        stack,
        last.map(|line| {
            (line, "add the group `root`, or let operators log in as another `access.user`")
        }),
    );
}

/// Reports keys of users that sshd is not told of.
fn check_no_keys(stack: &View<'_>, overlay: &Overlay) {
    let mut items = overlay.items.iter();
    let keys = items.find(|(path, _)| path.as_str().starts_with("/etc/ssh/authorized_keys.d/"));
    if let Some((path, (_, at))) = keys {
        let title = format!("sshd is not told of `{path}`, where the keys of users go");
        let help = "extend the kind `base`, or add a file to /etc/ssh/sshd_config.d with `AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/authorized_keys.d/%u`";
        stack.report(Mistake::new(Code::KeysNobodyReads, *at, title).help(help));
    }
}

fn report(stack: &View<'_>, found: Option<(&Line<'_>, &'static str)>) {
    let Some((line, help)) = found else { return };
    let title = format!("`{}` shuts operators out of sshd", line.text.trim());
    stack.report(Mistake::new(Code::SshdShutsOut, line.at, title).help(help));
}

/// The lines of the bundle's files for sshd, in the order in which it reads them.
fn lines(overlay: &Overlay) -> Vec<Line<'_>> {
    let files = overlay.items.iter().filter_map(|(path, (item, at))| match item {
        Item::File { bytes, .. } if is_read(path.as_str()) => {
            std::str::from_utf8(bytes).ok().map(|text| (text, *at))
        }
        _ => None,
    });
    files
        .flat_map(|(text, at)| {
            text.lines().map_while(before_match).filter_map(move |l| line(l, at))
        })
        .collect()
}

fn is_read(path: &str) -> bool {
    let name = path.strip_prefix(FOLDER);
    name.is_some_and(|name| !name.contains('/') && name.strip_suffix(".conf").is_some())
}

fn before_match(text: &str) -> Option<&str> {
    let is_match = text.split_whitespace().next().is_some_and(|w| w.eq_ignore_ascii_case("match"));
    (!is_match).then_some(text)
}

fn line(text: &str, at: At) -> Option<Line<'_>> {
    let plain = text.split('#').next().unwrap_or_default();
    let mut words = plain.split([' ', '\t', '=']).filter(|word| !word.is_empty());
    let keyword = words.next()?.to_lowercase();
    let values = words.map(|word| word.trim_matches('"')).collect();
    Some(Line { keyword, values, text, at })
}

/// What to do about the one value of a keyword, when it shuts out.
fn shuts_out(line: &Line<'_>, login: &Login<'_>) -> Option<&'static str> {
    let value = line.values.first().map(|value| value.to_lowercase());
    match (line.keyword.as_str(), value.as_deref()) {
        ("permitrootlogin", Some("no" | "forced-commands-only")) if login.user == "root" => {
            Some("write \"prohibit-password\", or let operators log in as another `access.user`")
        }
        ("pubkeyauthentication", Some("no")) => Some("write \"yes\": stackc logs in by a key"),
        ("authenticationmethods", _) => {
            let by_key = line.values.iter().any(|method| ["publickey", "any"].contains(method));
            (!by_key).then_some("let \"publickey\" alone be enough: stackc types nothing in")
        }
        _ => None,
    }
}

/// What to do about files of keys, when the one that stackc fills is not among them.
fn keys_elsewhere(line: &Line<'_>, login: &Login<'_>) -> Option<&'static str> {
    let own: &[&str] = match login.user {
        "root" => {
            &[".ssh/authorized_keys", "%h/.ssh/authorized_keys", "/root/.ssh/authorized_keys"]
        }
        _ => &[KEYS_OF_USERS],
    };
    let has = line.values.iter().any(|value| own.contains(value));
    let help = match login.user {
        "root" => "name \".ssh/authorized_keys\", where Proxmox puts the keys of operators",
        _ => "name \"/etc/ssh/authorized_keys.d/%u\", where stackc puts the keys of users",
    };
    (!has).then_some(help)
}

/// Whether a line that adds up with others of its keyword is about the login of operators.
fn admits(line: &Line<'_>, login: &Login<'_>) -> bool {
    let mut values = line.values.iter();
    match line.keyword.as_str() {
        "port" => values.any(|value| value.parse() == Ok(SSH_PORT)),
        "listenaddress" => values.next().is_some_and(|value| listens(value, login.own)),
        _ => values.any(|pattern| fits(user_of(pattern), login.user)),
    }
}

fn remedy(keyword: &str) -> &'static str {
    match keyword {
        "port" => "add `Port 22`, by which stackc comes",
        "listenaddress" => "add the guest's own address, or leave `ListenAddress` out",
        _ => "add the account of operators, `access.user`",
    }
}

fn listens(value: &str, own: &[IpAddr]) -> bool {
    let address = value.strip_prefix('[').and_then(|rest| rest.split(']').next()).unwrap_or(value);
    let address = address.parse::<IpAddr>().ok().or_else(|| {
        let (address, port) = value.rsplit_once(':')?;
        (port.parse() == Ok(SSH_PORT)).then(|| address.trim_matches(['[', ']']).parse().ok())?
    });
    address.is_some_and(|address| address.is_unspecified() || own.contains(&address))
}

/// The user of `USER@HOST`.
fn user_of(pattern: &str) -> &str {
    pattern.split('@').next().unwrap_or(pattern)
}
