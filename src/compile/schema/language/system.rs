//! Packages, accounts, databases and what a system has besides.

use super::{
    forms,
    parts::{SECRET, TEXTS},
};
use crate::{
    compile::schema::{
        Barred, Field,
        Shape::{
            Boolean, But, Either, Filled, Integer, List, Map, Named, Number, Pattern, Record, Text,
            Word,
        },
    },
    model::ServiceName,
};

pub(super) const APT: &[Field] = &[
    Field(
        "sources",
        Named(forms::FILE_NAME, &Either(&[Text, Record(&[SOURCE])])),
        "Sources besides Debian's own, by name.",
    ),
    Field(
        "pins",
        Named(forms::FILE_NAME, &Record(&[PIN])),
        "Which versions of packages are preferred, by name.",
    ),
    Field(
        "may_start",
        List(&Pattern(ServiceName::FORM)),
        "Services that may start while packages are installed.",
    ),
];

const SOURCE: &[Field] = &[
    Field("types", List(&Word(&["deb", "deb-src"])), "deb when it is not said."),
    Field("uris", Filled(&forms::PACKAGES_URI), "Where it is."),
    Field("suites", forms::SUITES, "Its suites, such as bookworm."),
    Field("components", List(&forms::COMPONENT), "Its components, such as main."),
    Field(
        "architectures",
        List(&forms::ARCHITECTURE),
        "Its architectures; the guest's own when it is not said.",
    ),
    Field("signed_by", Text, "The key that signs it, an armored file of `keys/`."),
];

const PIN: &[Field] = &[
    Field("packages", Filled(&forms::PACKAGES_GLOB), "The packages that it is about; globs too."),
    Field(
        "pin",
        forms::APT_PIN,
        "What is preferred, as in apt_preferences(5): `release n=…`, `version …`, `origin …`.",
    ),
    Field(
        "priority",
        But(&Number(-32_768, 32_767), Barred::Number(0)),
        "How much: below 0 never, above 500 before others, above 1000 even to go back.",
    ),
];

pub(super) const SYSTEM: &[Field] = &[
    Field("timezone", Text, "The time zone, such as Europe/Berlin; as the guest has it."),
    Field(
        "locale",
        forms::LOCALE,
        "The language of programs, such as C.UTF-8; others need locales-all. As the guest has it.",
    ),
    Field(
        "journal_max_mib",
        Number(8, 1_048_576),
        "How much the journal may take; it is kept over reboots.",
    ),
    Field(
        "sysctl",
        Map(forms::SYSCTL_NAME, &Either(&[forms::SYSCTL_VALUE, Integer])),
        "Kernel parameters, such as `\"net.core.somaxconn\" = 1024`; a container has those of its network only.",
    ),
    Field("upgrades", Record(&[UPGRADES]), "Unattended upgrades."),
];

const UPGRADES: &[Field] = &[
    Field("enabled", Boolean, "Whether security updates come by themselves; true."),
    Field("reboot", Boolean, "Whether the guest may reboot for them; false."),
    Field(
        "reboot_time",
        forms::TIME,
        "When it reboots, such as 03:30; at once when it is not said.",
    ),
    Field("remove_unused", Boolean, "Whether packages that nothing needs go; true."),
    Field(
        "origins",
        List(&forms::ORIGIN),
        "Origins besides Debian's security, such as `origin=Docker`.",
    ),
    Field(
        "blocked",
        List(&forms::BLOCKED),
        "Packages that are never upgraded so; `*` is any text.",
    ),
    Field("mail", forms::MAIL, "Who is told; nobody when it is not said."),
];

pub(super) const USER: &[Field] = &[
    Field("comment", forms::ACCOUNT_COMMENT, "Who it is; its name when it is not said."),
    Field("home", forms::ACCOUNT_PATH, "The home; /home/NAME when it is not said."),
    Field("shell", forms::ACCOUNT_PATH, "The shell; /bin/bash when it is not said."),
    Field("uid", Number(100, 59_999), "The number; the next free one when it is not said."),
    Field("groups", forms::OWNERS, "Groups besides its own; those that nobody has are made."),
    Field(
        "sudo",
        Either(&[Boolean, List(&forms::SUDO_COMMAND)]),
        "Whether it may do all as root, or these commands with these arguments; `PROGRAM *` takes any; false.",
    ),
    Field("keys", TEXTS, "Public keys that let it in, files of `keys/`; without options."),
];

pub(super) const GROUP: &[Field] =
    &[Field("gid", Number(100, 59_999), "The number; the next free one when it is not said.")];

pub(super) const LOG_ROTATION: &[Field] = &[
    Field(
        "paths",
        Either(&[forms::LOG_PATH, List(&forms::LOG_PATH)]),
        "The logs; globs too; where their folder is a user's, that user turns them.",
    ),
    Field("every", Word(&["day", "week", "month"]), "How often; week when it is not said."),
    Field("keep", Number(0, 1000), "How many old ones stay; 8 when it is not said."),
    Field(
        "max_mib",
        Number(1, 1_048_576),
        "A log of this size is turned before it is due; no limit.",
    ),
    Field("compress", Boolean, "Whether old ones are compressed; true."),
    Field("user", forms::OWNER, "Who owns the new log; nobody makes one when it is not said."),
    Field("mode", forms::MODE, "The mode of the new log; 0640."),
    Field(
        "copy",
        Boolean,
        "Whether the log is copied and emptied, for programs that keep it open; false.",
    ),
    Field("reload", forms::STARTABLES, "Units to reload afterwards."),
];

pub(super) const DATABASE: &[Field] = &[
    Field("engine", Word(&["postgresql", "mariadb", "redis"]), "postgresql when it is not said."),
    Field(
        "name",
        forms::DATABASE,
        "PostgreSQL and MariaDB: its name; the entry's own when it is not said.",
    ),
    Field(
        "owner",
        forms::DATABASE,
        "PostgreSQL and MariaDB: the role that owns it; in MariaDB, `OWNER@localhost`.",
    ),
    Field(
        "password",
        SECRET,
        "The owner's password, or Redis's; without one the owner logs in as the guest's user of that name.",
    ),
    Field("port", super::parts::PORT, "Redis: where it listens, on the guest itself; 6379."),
    Field("memory_mib", Number(1, 1_048_576), "Redis: how much it may hold; no limit."),
    Field("eviction", Word(&EVICTIONS), "Redis: what goes when it is full; noeviction."),
    Field("persistent", Boolean, "Redis: whether it writes to disk; true."),
];

/// What Redis may do when it is full. Source: its `redis.conf`, `maxmemory-policy`.
pub const EVICTIONS: [&str; 8] = [
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
];
