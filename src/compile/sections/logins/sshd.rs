//! What the bundle tells sshd: operators must still get in, by the account, the key and the port that stackc uses, and run
//! commands then.
//!
//! Source: `sshd_config(5)` of OpenSSH 9.2 and 10.0. The first value of a keyword counts, but for those that add up; what
//! stands below a `Match` that fits counts instead of what stands above all of them.

use super::{
    Login, command,
    config::{self, Line},
    criteria::{self, Fit},
    keys, listening,
};
use crate::compile::{
    report::{Code, Mistake},
    sections::overlay::Overlay,
    view::View,
};
use ipnet::IpNet;

/// Where stackc puts the keys of users.
const KEYS_OF_USERS: &str = "/etc/ssh/authorized_keys.d/%u";

/// Where Proxmox puts those of root.
const KEYS_OF_ROOT: [&str; 3] =
    [".ssh/authorized_keys", "%h/.ssh/authorized_keys", "/root/.ssh/authorized_keys"];

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

/// A line, and what to do about it.
pub type Found<'a> = Option<(&'a Line<'a>, &'static str)>;

/// Reports what shuts operators out.
pub fn check(stack: &View<'_>, overlay: &Overlay, login: &Login<'_>) {
    let lines = config::lines(stack, overlay);
    let reads = |line: &Line<'_>| {
        line.keyword == "authorizedkeysfile" && line.values.contains(&KEYS_OF_USERS)
    };
    if lines.iter().any(reads) {
        keys::check_files(stack, overlay, &lines);
    } else {
        check_no_keys(stack, overlay);
    }
    if lines.iter().any(|line| line.keyword == "include") {
        // What else sshd reads then may come first.
        return;
    }
    report(stack, listening::elsewhere(&lines, login));
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
    let keys = items.find(|(path, _)| path.as_str().starts_with(keys::FOLDER));
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
                let is_other =
                    command != "none" && !command::runs_what_is_asked(line.rest, self.overlay, 0);
                is_other.then_some("leave it out for operators: stackc runs commands of its own")
            }
            ("chrootdirectory", folder) => (!["none", "/"].contains(&folder))
                .then_some("leave it out for operators: stackc works on the whole guest"),
            ("maxsessions", "0") => Some("write 10, as sshd has it: a login needs a session"),
            ("maxauthtries", "0") => Some("write 6, as sshd has it: even the right key is a try"),
            ("maxstartups", limit) => (limit.split(':').next()?.parse() == Ok(0))
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
        let user = self.login.user;
        let has = |path: &str| self.overlay.items.keys().any(|other| other.as_str() == path);
        let own: &[&str] = if user == "root" { &KEYS_OF_ROOT } else { &[KEYS_OF_USERS] };
        let is_read = |value: &&str| own.contains(value) || has(&value.replace("%u", user));
        // A user without keys in the bundle has them from elsewhere.
        let is_known = user == "root" || has(&format!("{}{user}", keys::FOLDER));
        let help = match user {
            "root" => "name \".ssh/authorized_keys\", where Proxmox puts the keys of operators",
            _ => "name \"/etc/ssh/authorized_keys.d/%u\", where stackc puts the keys of users",
        };
        let is_out = is_known && !self.has_other_proof() && !line.values.iter().any(is_read);
        is_out.then_some(help)
    }

    /// Whether sshd may learn of keys by a command or a CA, which nobody knows here.
    fn has_other_proof(&self) -> bool {
        let names = ["authorizedkeyscommand", "trustedusercakeys"];
        self.lines.iter().any(|line| names.contains(&line.keyword.as_str()))
    }
}
