//! What the bundle tells sshd: operators must still get in, by the account, the key and the port that stackc uses, and run
//! commands then.
//!
//! Source: `sshd_config(5)` of OpenSSH 9.2 and 10.0. The first value of a keyword counts, but for those that add up; what
//! stands below a `Match` that fits counts instead of what stands above all of them.

use super::{
    Login,
    config::{self, Line},
    criteria::{self, Fit},
    keys,
};
use crate::compile::{
    report::{Code, Mistake},
    sections::{
        firewall::admission::SSH_PORT,
        overlay::{Item, Overlay},
    },
    view::View,
};
use ipnet::IpNet;
use std::net::IpAddr;

/// Where stackc puts the keys of users.
const KEYS_OF_USERS: &str = "/etc/ssh/authorized_keys.d/%u";

/// Keywords of which the first value counts.
const FIRST: [&str; 12] = [
    "addressfamily",
    "authenticationmethods",
    "authorizedkeysfile",
    "chrootdirectory",
    "forcecommand",
    "maxauthtries",
    "maxsessions",
    "maxstartups",
    "permitrootlogin",
    "pubkeyacceptedalgorithms",
    "pubkeyauthentication",
    "refuseconnection",
];

/// The configuration, as operators meet it who come from a network.
struct Coming<'a> {
    lines: &'a [Line<'a>],
    overlay: &'a Overlay,
    login: &'a Login<'a>,
    from: &'a IpNet,
}

type Found<'a> = Option<(&'a Line<'a>, &'static str)>;

/// Reports what shuts operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let lines = config::lines(stack, overlay);
    let reads = |line: &Line<'_>| {
        line.keyword == "authorizedkeysfile" && line.values.contains(&KEYS_OF_USERS)
    };
    if !lines.iter().any(reads) {
        check_no_keys(stack, overlay);
    }
    if lines.iter().any(|line| line.keyword == "include") {
        // What else sshd reads then may come first.
        return;
    }
    report(stack, elsewhere(&lines, login));
    for from in login.management {
        let coming = Coming { lines: &lines, overlay, login, from };
        for keyword in FIRST {
            let first = coming.lines(keyword).into_iter().next();
            report(stack, first.and_then(|line| Some((line, coming.shuts_out(line)?))));
        }
        report(stack, coming.accounts("allowusers", "denyusers", REMEDY_OF_USERS));
        if login.user == "root" {
            report(stack, coming.accounts("allowgroups", "denygroups", REMEDY_OF_GROUPS));
        }
    }
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

fn report(stack: &View<'_>, found: Found<'_>) {
    if let Some((line, help)) = found {
        super::report(stack, line.at, &format!("`{}`", line.text.trim()), help);
    }
}

/// What to do when nobody is admitted, and when somebody is denied.
const REMEDY_OF_USERS: [&str; 2] =
    ["add the account of operators, `access.user`", "take the account of operators out of it"];
const REMEDY_OF_GROUPS: [&str; 2] = [
    "add the group `root`, or let operators log in as another `access.user`",
    "take the group `root` out of it",
];

impl<'a> Coming<'a> {
    /// The lines of a keyword that count; none where that is known on the guest only.
    fn lines(&self, keyword: &str) -> Vec<&'a Line<'a>> {
        let fit = |line: &Line<'_>| {
            let block = line.block.as_ref();
            block.map(|block| criteria::of_block(block, self.login, self.from))
        };
        let of_keyword = self.lines.iter().filter(|line| line.keyword == keyword);
        let all: Vec<_> = of_keyword.map(|line| (line, fit(line))).collect();
        let with = |wanted| {
            let lines = all.iter().filter(move |(_, fit)| *fit == wanted);
            lines.map(|(line, _)| *line).collect::<Vec<_>>()
        };
        let in_blocks = with(Some(Fit::Yes));
        match () {
            () if !with(Some(Fit::Maybe)).is_empty() => Vec::new(),
            () if in_blocks.is_empty() => with(None),
            () => in_blocks,
        }
    }

    /// The line that keeps the account or group of operators out, of those that add up.
    fn accounts(&self, allow: &str, deny: &str, [add, remove]: [&'static str; 2]) -> Found<'a> {
        let of = |pattern: &&str| criteria::of_account(pattern, self.login, self.from);
        let is_denied = |line: &&&Line<'_>| line.values.iter().any(|value| of(value) == Fit::Yes);
        if let Some(line) = self.lines(deny).iter().find(is_denied) {
            return Some((line, remove));
        }
        let allowed = self.lines(allow);
        let admits = |line: &&Line<'_>| line.values.iter().any(|value| of(value) != Fit::No);
        let last = allowed.last().filter(|_| !allowed.iter().any(admits));
        last.map(|line| (*line, add))
    }

    /// What to do about the one value of a keyword, when it shuts out.
    fn shuts_out(&self, line: &Line<'_>) -> Option<&'static str> {
        let value = line.values.first()?.to_lowercase();
        match (line.keyword.as_str(), value.as_str()) {
            ("permitrootlogin", "no" | "forced-commands-only") if self.login.user == "root" => {
                Some(
                    "write \"prohibit-password\", or let operators log in as another `access.user`",
                )
            }
            ("pubkeyauthentication", "no") => Some("write \"yes\": stackc logs in by a key"),
            ("authenticationmethods", _) => {
                let by_key = line.values.iter().any(|method| ["publickey", "any"].contains(method));
                (!by_key).then_some("let \"publickey\" alone be enough: stackc types nothing in")
            }
            ("authorizedkeysfile", _) => self.keys_elsewhere(line),
            ("pubkeyacceptedalgorithms", list) => {
                let none =
                    !self.has_other_proof() && keys::leaves_none(list, self.overlay, self.login);
                none.then_some("add the type of the operators' keys, `access.admin_keys`")
            }
            ("forcecommand", command) => {
                let is_other = command != "none" && !runs_what_is_asked(line.rest, self.overlay, 0);
                is_other.then_some("leave it out for operators: stackc runs commands of its own")
            }
            ("chrootdirectory", folder) => (!["none", "/"].contains(&folder))
                .then_some("leave it out for operators: stackc works on the whole guest"),
            ("maxsessions", "0") => Some("write 10, as sshd has it: a login needs a session"),
            ("maxauthtries", "0") => Some("write 6, as sshd has it: even the right key is a try"),
            ("maxstartups", limit) => (number(limit.split(':').next()?) == Some(0))
                .then_some("write 10:30:100, as sshd has it: it does not start with 0"),
            ("refuseconnection", "yes") => Some("leave it out for operators"),
            ("addressfamily", "inet6") => {
                Some("leave it out: stackc comes to the guest's IPv4 address")
            }
            _ => None,
        }
    }

    /// What to do about files of keys, when the one that stackc fills is not among them.
    fn keys_elsewhere(&self, line: &Line<'_>) -> Option<&'static str> {
        let root = self.login.user == "root";
        let own: &[&str] = match root {
            true => {
                &[".ssh/authorized_keys", "%h/.ssh/authorized_keys", "/root/.ssh/authorized_keys"]
            }
            false => &[KEYS_OF_USERS],
        };
        let is_made = |value: &&str| {
            let path = value.replace("%u", self.login.user);
            own.contains(value) || self.overlay.items.keys().any(|other| other.as_str() == path)
        };
        let help = if root {
            "name \".ssh/authorized_keys\", where Proxmox puts the keys of operators"
        } else {
            "name \"/etc/ssh/authorized_keys.d/%u\", where stackc puts the keys of users"
        };
        (!self.has_other_proof() && !line.values.iter().any(is_made)).then_some(help)
    }

    /// Whether sshd may learn of keys by a command or a CA, which nobody knows here.
    fn has_other_proof(&self) -> bool {
        let names = ["authorizedkeyscommand", "trustedusercakeys"];
        self.lines.iter().any(|line| names.contains(&line.keyword.as_str()))
    }
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok()
}

/// How far a script is followed into those that it calls.
const DEPTH_MAX: u8 = 4;

/// Whether a command may run what the client asked for: it says so, or leads to a program that nobody knows here. Debian's own
/// programs do not.
fn runs_what_is_asked(command: &str, overlay: &Overlay, depth: u8) -> bool {
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

/// What keeps sshd from listening where stackc comes to.
fn elsewhere<'a>(lines: &'a [Line<'a>], login: &Login<'_>) -> Found<'a> {
    let of = |keyword: &'static str| {
        lines.iter().filter(move |line| line.keyword == keyword && line.block.is_none())
    };
    let is_ours =
        |line: &Line<'_>| line.values.first().and_then(|v| number(v)) == Some(SSH_PORT.into());
    let by_port = of("port").next_back().filter(|_| !of("port").any(is_ours));
    let add_port = by_port.map(|line| (line, "add `Port 22`, by which stackc comes"));
    let (Some(last), Some(own)) = (of("listenaddress").next_back(), login.own.first()) else {
        return add_port;
    };
    let listens: Vec<_> =
        of("listenaddress").filter_map(|l| Some(listen(l.values.first()?))).collect();
    let is_there = |(address, _): &&(Option<IpAddr>, Option<u16>)| {
        address.is_none_or(|ip| ip == *own || ip.is_unspecified() && ip.is_ipv4() == own.is_ipv4())
    };
    let mut there = listens.iter().filter(is_there).peekable();
    if there.peek().is_none() {
        return Some((last, "add the guest's own address, or leave `ListenAddress` out"));
    }
    let is_reached = there.any(|(_, port)| match port {
        Some(port) => *port == SSH_PORT,
        None => by_port.is_none(),
    });
    let other_port = add_port.unwrap_or((last, "let it listen on port 22, by which stackc comes"));
    (!is_reached).then_some(other_port)
}

/// The address and the port of a `ListenAddress`; the name of a host is known on the guest only.
fn listen(value: &str) -> (Option<IpAddr>, Option<u16>) {
    let bare = |text: &str| text.trim_matches(['[', ']']).parse().ok();
    match value.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (bare(host), port.parse().ok())
        }
        _ => (bare(value), None),
    }
}
