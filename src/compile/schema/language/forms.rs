//! Forms of texts, each a regular expression of the whole text. Those of types stand beside the types; here is what other
//! readers take. A form lets through whatever its reader takes, and often more: its reader is the judge.

use crate::{
    compile::schema::{
        Barred,
        Shape::{self, But, Command, Either, Filled, List, Pattern},
    },
    model::{
        BranchName, BridgeName, DatabaseName, EntryPath, GuestPath, MacAddr, Mode, NodeName, Owner,
        SecretName, StartableUnit, StorageName, UnitName, path_form, relative_form,
    },
};

/// Any name of an entry.
pub(super) const ANY: &str = "";
/// The name of a variable of the environment.
pub(super) const VARIABLE: &str = "[A-Za-z_][A-Za-z0-9_]*";
/// A name that is part of the name of a file, which its reader would skip for other characters.
pub(super) const FILE_NAME: &str = "[A-Za-z0-9_-]+";
/// A unit's name without its suffix.
pub(super) const UNIT_STEM: &str = r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*";
/// The table says of what sort a unit is.
pub(super) const WITH_SUFFIX: Barred = Barred::Named(r"\.(service|socket|timer)$");
pub(super) const DROP_IN_NAME: &str = "[A-Za-z0-9_.-]+";
pub(super) const DIRECTIVE_NAME: &str = "[A-Za-z0-9-]+";
pub(super) const SYSCTL_NAME: &str = "[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+";

pub(super) const OWNER: Shape = Pattern(Owner::FORM);
pub(super) const OWNERS: Shape = List(&OWNER);
pub(super) const UNIT: Shape = Pattern(UnitName::FORM);
pub(super) const UNITS: Shape = List(&UNIT);
pub(super) const STARTABLE: Shape = Pattern(StartableUnit::FORM);
pub(super) const STARTABLES: Shape = List(&STARTABLE);
pub(super) const SECRET_NAME: Shape = Pattern(SecretName::FORM);
pub(super) const DATABASE: Shape = Pattern(DatabaseName::FORM);
pub(super) const NODE: Shape = Pattern(NodeName::FORM);
pub(super) const STORAGE: Shape = Pattern(StorageName::FORM);
pub(super) const BRIDGE: Shape = Pattern(BridgeName::FORM);
/// Four octal digits.
pub(super) const MODE: Shape = Pattern(Mode::FORM);
pub(super) const MAC: Shape = Pattern(MacAddr::FORM);

/// An absolute path.
pub(super) const PATH: Shape = But(&Pattern(GuestPath::FORM), TOO_LONG);
/// Of characters, since no schema counts bytes.
const TOO_LONG: Barred = Barred::LongerThan(4096);
pub(super) const PATHS: Shape = List(&PATH);
/// A path within a folder.
pub(super) const RELATIVE: Shape = But(&Pattern(EntryPath::FORM), TOO_LONG);
/// The same, where nothing is the folder itself.
pub(super) const FOLDER: Shape = Pattern(concat!("(", relative_form!(""), ")?"));
/// What a line of a unit can have without quotes.
pub(super) const UNIT_PATH: Shape = Pattern(path_form!(r#""'\\ ;:"#));
/// A file of variables; with a `-` before it, one that may be missing.
pub(super) const UNIT_FILE: Shape = Pattern(concat!("-?", path_form!(r"*?\[\\")));
/// What a line of `/etc/passwd` can have.
pub(super) const ACCOUNT_PATH: Shape = Pattern(path_form!(r#"\s:"'\\"#));
pub(super) const LOG_PATH: Shape = Pattern(path_form!(r#"{}"'\\"#));
pub(super) const MOUNT_PATH: Shape = Pattern("(/[A-Za-z0-9_.+@-]+)+");

/// A kind, or one that is built in.
pub(super) const KIND_NAME: Shape = Pattern("(builtin:)?[a-z][a-z0-9-]*");

/// One line, and something on it.
pub(super) const LINE: Shape = Pattern(r"[^\n]*[^\n\s][^\n]*");
/// The same as cron reads it.
pub(super) const CRON_LINE: Shape =
    Pattern(r"[^\x00-\x20\x7f-\x9f]([^\x00-\x08\x0a-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f])?");
/// The same, where cron needs no backslash.
pub(super) const CRON_COMMAND: Shape = But(&CRON_LINE, Barred::Matching(r"\\%"));
/// The value of a variable, for which quotes are left: the bare value, or one within quotes that it does not have.
pub(super) const CRON_VALUE: Shape = Pattern(concat!(
    r#"([^"' \t\x00-\x1f\x7f-\x9f]([^\x00-\x08\x0a-\x1f\x7f-\x9f]*[^ \x00-\x1f\x7f-\x9f])?"#,
    r#"|[ \t]([^"\x00-\x08\x0a-\x1f\x7f-\x9f]*[^" \x00-\x1f\x7f-\x9f]|[^'\x00-\x08\x0a-\x1f\x7f-\x9f]*[^' \x00-\x1f\x7f-\x9f])"#,
    r#"|'([^"\x00-\x08\x0a-\x1f\x7f-\x9f]*[^"' \x00-\x1f\x7f-\x9f])?"#,
    r#"|"([^'\x00-\x08\x0a-\x1f\x7f-\x9f]*[^"' \x00-\x1f\x7f-\x9f])?)?"#,
));
/// A line of a unit, or nothing.
pub(super) const UNIT_LINE: Shape =
    Pattern(r"([^\x00-\x08\x0a-\x1f\x7f-\x9f]*[^\x00-\x1f\x7f-\x9f\\])?");
/// A program that a unit runs.
pub(super) const UNIT_PROGRAM: Shape = Command(r#"/[^"'\\$\x00-\x1f\x7f-\x9f]*"#);
/// A program that stackc runs itself.
pub(super) const PROGRAM: Shape = Command(r"/[^\n]*");
/// What people read of a guest, without lines that begin as stackc's own do.
pub(super) const NOTES: Shape = But(
    &Pattern(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f]*"),
    Barred::Matching(r"(^|\n)(stackc |stackc-hostkey |stackc(\n|$))"),
);
/// A branch, of which no part is as git's own lock files.
pub(super) const BRANCH: Shape = But(&Pattern(BranchName::FORM), Barred::Matching(r"\.lock(/|$)"));
/// Anything without control characters.
pub(super) const TARGET: Shape = But(&Pattern(r"[^\x00-\x1f\x7f-\x9f]+"), Barred::LongerThan(4095));
pub(super) const SYSCTL_VALUE: Shape =
    Pattern(r"[^\x00-\x08\x0a-\x1f\x7f-\x9f]*[^\x00-\x20\x7f-\x9f][^\x00-\x08\x0a-\x1f\x7f-\x9f]*");
pub(super) const ACCOUNT_COMMENT: Shape = Pattern(r#"[^\x00-\x1f\x7f-\x9f"\\:]*"#);
pub(super) const RULE_COMMENT: Shape = Pattern(r"[^\x00-\x1f\x7f-\x9f']*");
/// A program by its absolute path, and arguments behind blanks, or any.
pub(super) const SUDO_COMMAND: Shape =
    Pattern(r" */[#-&(-)+->@-Z_-~]*( +\*|( +[#-&(-)+->@-Z_-~]+)*) *");

/// Parts of the forms below, for `concat!`.
macro_rules! octet {
    () => {
        "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}
macro_rules! ip4 {
    () => {
        concat!(octet!(), r"(\.", octet!(), "){3}")
    };
}
macro_rules! ip6 {
    () => {
        "[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*"
    };
}
macro_rules! port {
    () => {
        r"\+?0*(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
    };
}
macro_rules! ports {
    () => {
        concat!(r"\s*", port!(), r"\s*(:\s*", port!(), r"\s*)?")
    };
}
macro_rules! in_uris {
    () => {
        r"A-Za-z0-9._~!$&'()*+,;=:%\[\]-"
    };
}

pub(super) const IP4: Shape = Pattern(ip4!());
pub(super) const IP6: Shape = Pattern(ip6!());
pub(super) const IP: Shape = Pattern(concat!(ip4!(), "|", ip6!()));
pub(super) const IPS: Shape = Either(&[IP, But(&List(&IP), Barred::Twice)]);
/// An address with the length of its network's prefix.
pub(super) const NET4: Shape = But(
    &Pattern(concat!(ip4!(), "/(3[0-2]|[0-2]?[0-9])")),
    Barred::Matching(r"^(127|22[4-9]|23[0-9])\.|^0\.0\.0\.0/"),
);
pub(super) const NET6: Shape = But(
    &Pattern(concat!(ip6!(), "/(12[0-8]|1[01][0-9]|0?[0-9][0-9]|[0-9])")),
    Barred::Matching("^::1?/|^[Ff][Ee][89ABab][0-9A-Fa-f]:|^[Ff][Ff][0-9A-Fa-f]{2}:"),
);
/// A network or an address, as lists of them have it: zeros before an octet's digits too.
pub(super) const NETWORK: Shape =
    Pattern(concat!(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?|", ip6!(), "(/[0-9]{1,3})?"));
pub(super) const NETWORK_OR_MANAGEMENT: Shape = Pattern(concat!(
    r"management|[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?|",
    ip6!(),
    "(/[0-9]{1,3})?"
));
pub(super) const SOURCES: Shape = Either(&[NETWORK_OR_MANAGEMENT, Filled(&NETWORK_OR_MANAGEMENT)]);
pub(super) const INTERFACE: Shape = Pattern("[A-Za-z0-9._-]{1,15}");

/// A port in quotes.
pub(super) const PORT_TEXT: Shape = Pattern(concat!(r"\s*", port!(), r"\s*"));
/// Ports and ranges of them.
pub(super) const PORTS_TEXT: Shape = Pattern(concat!(ports!(), "(,", ports!(), "){0,14}"));
/// What a socket can be told: a port, an address with a port, a path.
pub(super) const LISTEN_TEXT: Shape = Pattern(concat!(
    "[0-9]+|",
    ip4!(),
    r":[0-9]+|\[[0-9A-Fa-f:.]+(%[0-9]+)?\]:[0-9]+|",
    path_form!(r"\\")
));

/// The API of Proxmox.
pub(super) const API: Shape = Pattern(concat!(
    "https://(",
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]",
    ")(:",
    port!(),
    ")?/?"
));
/// The SHA-256 of a certificate.
pub(super) const FINGERPRINT: Shape = Pattern(":*([0-9A-Fa-f]:*){64}");
/// A remote repository without a password in its address, or a folder of the workspace.
pub(super) const REPO: Shape =
    Pattern(concat!(r"(https|ssh)://([^/:]*@)?[^/@]*(/[\s\S]*)?|", relative_form!(":")));
pub(super) const LOCALE: Shape =
    Pattern(r"C|C\.UTF-8|POSIX|[a-z]{2,3}_[A-Z]{2}(\.[A-Za-z0-9-]+)?(@[A-Za-z0-9-]+)?");
pub(super) const TAG: Shape = Pattern("[a-z0-9_][a-z0-9_+.-]*");
pub(super) const URL_PATH: Shape = Pattern(r"/[^ \r\n]*");

/// A version of a package, or a glob of versions.
pub(super) const VERSION: Shape = Pattern("[A-Za-z0-9][A-Za-z0-9.+~:*-]*");
/// An address of packages, without a login.
pub(super) const PACKAGES_URI: Shape = Pattern(concat!(
    r"(mirror\+)?(https?://[",
    in_uris!(),
    "]+(/[/@",
    in_uris!(),
    r"]*)?|file:/[/@",
    in_uris!(),
    "]*)"
));
/// Suites, or exact paths, which end in a slash.
pub(super) const SUITES: Shape = Either(&[Filled(&SUITE), Filled(&EXACT_PATH)]);
const SUITE: Shape =
    Pattern("[A-Za-z0-9._+~/$()]*[A-Za-z0-9._+~$()]([A-Za-z0-9._+~/$()-]*[A-Za-z0-9._+~$()-])?");
const EXACT_PATH: Shape = Pattern("([A-Za-z0-9._+~/$()][A-Za-z0-9._+~/$()-]*)?/");
pub(super) const COMPONENT: Shape = Pattern("[A-Za-z0-9._+/][A-Za-z0-9._+/-]*");
pub(super) const ARCHITECTURE: Shape = Pattern("[A-Za-z0-9][A-Za-z0-9-]*");
pub(super) const PACKAGES_GLOB: Shape = Pattern(r"(src:)?[a-z0-9+.:*?\[\]-]+");
/// Source: `apt_preferences(5)`.
pub(super) const APT_PIN: Shape = Pattern(concat!(
    r#"version [A-Za-z0-9.+~:*?\[\]-]+|origin (""|[A-Za-z0-9._-]+)|"#,
    r#"release \s*[anvcolb]=[^\x00-\x1f\x7f-\x9f"\\/,]+(,\s*[anvcolb]=[^\x00-\x1f\x7f-\x9f"\\/,]+)*"#
));
/// Source: `match_whitelist_string` of unattended-upgrades.
pub(super) const ORIGIN: Shape = Pattern(
    r#"[^\x00-\x1f\x7f-\x9f"\\=,]+=[^\x00-\x1f\x7f-\x9f"\\=,]+(,[^\x00-\x1f\x7f-\x9f"\\=,]+=[^\x00-\x1f\x7f-\x9f"\\=,]+)*"#,
);
pub(super) const BLOCKED: Shape = Pattern("[a-z0-9+.*-]+");
pub(super) const TIME: Shape = Pattern("([01][0-9]|2[0-3]):[0-5][0-9]");
pub(super) const MAIL: Shape =
    Pattern("[A-Za-z0-9._%+][A-Za-z0-9._%+-]*(@[A-Za-z0-9._%+][A-Za-z0-9._%+-]*)?");

/// A field of cron: values, ranges of them, and steps.
macro_rules! cron_field {
    ($value:literal) => {
        concat!(cron_field!(part $value), "(,", cron_field!(part $value), ")*")
    };
    (part $value:literal) => {
        concat!(r"((\*|(", $value, ")-(", $value, "))(/0*[1-9][0-9]*)?|", $value, ")")
    };
}

/// Source: crontab(5); how large a step may be, and that a range goes upwards, is left to cron's reader.
pub(super) const SCHEDULE: Shape = Pattern(concat!(
    "@(reboot|hourly|daily|midnight|weekly|monthly|yearly|annually)|",
    r"[ \t]*",
    cron_field!("0*[1-5]?[0-9]"),
    r"[ \t]+",
    cron_field!("0*(1?[0-9]|2[0-3])"),
    r"[ \t]+",
    cron_field!("0*([1-9]|[12][0-9]|3[01])"),
    r"[ \t]+",
    cron_field!(
        "0*([1-9]|1[0-2])|[Jj][Aa][Nn]|[Ff][Ee][Bb]|[Mm][Aa][RrYy]|[Aa][Pp][Rr]|[Jj][Uu][NnLl]|[Aa][Uu][Gg]|[Ss][Ee][Pp]|[Oo][Cc][Tt]|[Nn][Oo][Vv]|[Dd][Ee][Cc]"
    ),
    r"[ \t]+",
    cron_field!(
        "0*[0-7]|[Ss][Uu][Nn]|[Mm][Oo][Nn]|[Tt][Uu][Ee]|[Ww][Ee][Dd]|[Tt][Hh][Uu]|[Ff][Rr][Ii]|[Ss][Aa][Tt]"
    ),
    r"[ \t]*"
));
