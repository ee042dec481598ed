//! The language of definitions: every key, what it may hold, and a sentence about it. `stackc schema` is made of it.

mod forms;
mod guest;
mod health;
mod parts;
pub mod rules;
mod system;
mod units;

use super::{
    Field,
    Shape::{
        self, Boolean, But, Either, Filled, Integer, List, Map, Named, Number, Pattern, Record,
        Text, Word,
    },
};
use crate::model::{AccountName, EnvName, GuestName, PackageName, ProjectName};
pub use system::EVICTIONS;

use parts::{ACCESS_RIGHTS, COMMANDS, SECRET, SECRET_FIELDS, TEXTS};

/// What every layer of a stack may say: kind, site, project and env.
pub const STACK: &[Field] = &[
    Field("guest", Record(&[guest::GUEST]), "The container or virtual machine."),
    Field(
        "vars",
        Map(forms::ANY, &VARIABLE),
        "What a kind leaves to be set; its templates read `vars.NAME`.",
    ),
    Field(
        "ports",
        Named(forms::ANY, &Number(1, 65535)),
        "What services listen on; templates read `ports.NAME`.",
    ),
    Field(
        "env_vars",
        Named(forms::VARIABLE, &Either(&[Text, Integer, SECRET])),
        "Variables of the env file.",
    ),
    Field("env_file", Record(&[ENV_FILE]), "The file of variables that the services read."),
    Field(
        "packages",
        Named(PackageName::FORM, &Either(&[Boolean, forms::VERSION])),
        "Debian packages: `true`, or a version.",
    ),
    Field("apt", Record(&[system::APT]), "Where packages come from."),
    Field("system", Record(&[system::SYSTEM]), "Clock, language, upgrades, kernel parameters."),
    Field("users", Named(AccountName::FORM, &Record(&[system::USER])), "Accounts, by name."),
    Field(
        "groups",
        Named(AccountName::FORM, &Record(&[system::GROUP])),
        "Groups that are nobody's own, by name.",
    ),
    Field(
        "directories",
        Named(forms::ANY, &Record(&[DIRECTORY, ACCESS_RIGHTS])),
        "Folders of the bundle.",
    ),
    Field(
        "files",
        Named(forms::ANY, &Record(&[FILE, ACCESS_RIGHTS])),
        "Files, from templates or text.",
    ),
    Field("links", Named(forms::ANY, &Record(&[LINK])), "Symbolic links."),
    Field(
        "services",
        But(&Named(forms::UNIT_STEM, &Record(&[units::UNIT, units::SERVICE])), forms::WITH_SUFFIX),
        "systemd services.",
    ),
    Field(
        "sockets",
        But(&Named(forms::UNIT_STEM, &Record(&[units::UNIT, units::SOCKET])), forms::WITH_SUFFIX),
        "systemd sockets.",
    ),
    Field(
        "timers",
        But(&Named(forms::UNIT_STEM, &Record(&[units::UNIT, units::TIMER])), forms::WITH_SUFFIX),
        "systemd timers.",
    ),
    Field(
        "drop_ins",
        Named(forms::DROP_IN_NAME, &Record(&[units::DROP_IN])),
        "Changes to units of packages.",
    ),
    Field(
        "cron",
        Named(forms::FILE_NAME, &Record(&[units::CRON])),
        "Jobs of cron, each a file in `/etc/cron.d`.",
    ),
    Field(
        "log_rotation",
        Named(forms::FILE_NAME, &Record(&[system::LOG_ROTATION])),
        "Logs that logrotate turns.",
    ),
    Field("firewall", Record(&[FIREWALL]), "What ufw lets in and out."),
    Field("health", Record(&[health::HEALTH]), "How long a switch is watched."),
    Field(
        "probes",
        Named(forms::ANY, &Record(&[health::PROBE])),
        "What must hold for a switch to be kept.",
    ),
    Field(
        "hooks",
        Named(forms::ANY, &Record(&[health::HOOK])),
        "Commands around each switch to this generation, in the order of their names.",
    ),
    Field(
        "databases",
        Named(forms::ANY, &Record(&[system::DATABASE])),
        "Databases that services use.",
    ),
    Field("release", Record(&[RELEASE]), "The app's checkout, and how it is built."),
];

const VARIABLE: Shape = Either(&[Text, Integer, Boolean, TEXTS]);

const ENV_FILE: &[Field] = &[
    Field("path", forms::PATH, "Where it stands."),
    Field("owner", forms::OWNER, "Its owner; root when it is not said."),
    Field("group", forms::OWNER, "Its group; the owner's own when it is not said."),
    Field("mode", forms::MODE, "Four octal digits; 0600 when it holds secrets."),
    Field(
        "readers",
        List(&Word(&["systemd", "sh", "dotenv", "node", "python-dotenv"])),
        "Who reads it; a value that they would read differently is a mistake; systemd and sh.",
    ),
];

const DIRECTORY: &[Field] = &[Field("path", forms::PATH, "Where it stands.")];

const LINK: &[Field] = &[
    Field("path", forms::PATH, "Where it stands."),
    Field("target", forms::TARGET, "Where it leads."),
];

const FILE: &[Field] = &[
    Field("path", forms::PATH, "Where it stands."),
    Field("template", forms::RELATIVE, "A file of the kind's folder, or of `templates/`."),
    Field("text", Text, "The content itself; a template too."),
    Field("secret", forms::SECRET_NAME, "The secret that is the whole content."),
    Field(
        "secrets",
        Named(forms::ANY, &SECRET),
        "Secrets of the content; its template reads `secrets.NAME`.",
    ),
    Field(
        "class",
        Word(&["A", "B"]),
        "A: a link through the generation. B: a copy, for boot and login. By its path.",
    ),
    Field("restart", forms::STARTABLES, "Units that a change of the file restarts."),
    Field("reload", forms::STARTABLES, "Units that a change of the file reloads."),
];

const FIREWALL: &[Field] = &[
    Field("enabled", Boolean, "Whether there is a firewall; true when it is not said."),
    Field("ipv6", Boolean, "Whether IPv6 is filtered; true when it is not said."),
    Field("logging", Word(&["off", "low", "medium", "high", "full"]), "ufw(8), LOGGING; low."),
    Field("incoming", POLICY, "What becomes of packets for the guest that no rule names; deny."),
    Field("outgoing", POLICY, "The same of what the guest sends; allow."),
    Field("routed", POLICY, "The same of what passes through; deny."),
    Field("rules", Named(forms::ANY, &Record(&[RULE])), "Rules, the first that fits decides."),
];

const POLICY: Shape = Word(&["allow", "deny", "reject"]);

const RULE: &[Field] = &[
    Field("action", Word(&["allow", "deny", "reject", "limit"]), "allow when it is not said."),
    Field("direction", Word(&["in", "out"]), "in when it is not said."),
    Field(
        "port",
        Either(&[Number(1, 65535), forms::PORTS_TEXT]),
        "22, \"80,443\" or \"6000:6007\"; all when it is not said.",
    ),
    Field("protocol", Word(&["any", "tcp", "udp"]), "any when it is not said."),
    Field(
        "from",
        forms::SOURCES,
        "A network, an address, or \"management\"; all when it is not said.",
    ),
    Field(
        "to",
        forms::NETWORK,
        "The address of the guest that it is for; any when it is not said.",
    ),
    Field("interface", forms::INTERFACE, "The interface that it is for; any when it is not said."),
    Field("comment", forms::RULE_COMMENT, "What `ufw status` shows."),
    Field("order", Number(0, 999), "Rules go by order, then by name; 50 when it is not said."),
];

const RELEASE: &[Field] = &[
    Field(
        "subfolder",
        forms::FOLDER,
        "The folder of the repository that is the app; all of it when it is not said.",
    ),
    Field("user", forms::OWNER, "Who owns the checkout and builds it."),
    Field("folders", List(&Pattern(forms::FILE_NAME)), "Folders of the app that `/srv/app` links."),
    Field("build", COMMANDS, "Commands that build it, in this order."),
    Field("migrate", COMMANDS, "Commands that bring the data to this release."),
    Field("build_env", Named(forms::VARIABLE, &Text), "Variables of the build."),
    Field("tools", TEXTS, "Commands whose output is part of what a build depends on."),
    Field(
        "shared",
        List(&forms::RELATIVE),
        "Paths that outlive a release: uploads, files of data.",
    ),
    Field("stop_for_migrate", Boolean, "Whether the services stop while it migrates; false."),
    Field("keep", Number(1, 100), "Releases that stay besides the live one; 3."),
];

/// `templates/<kind>/kind.toml`.
pub const KIND: Shape = Record(&[
    &[
        Field(
            "extends",
            forms::KIND_NAME,
            "The kind that this one starts from; `builtin:NAME` for a built-in.",
        ),
        Field("description", Text, "What a stack of this kind is."),
    ],
    STACK,
]);

/// `stacks/site.toml`.
pub const SITE: Shape = Record(&[SITE_ONLY, STACK]);

const SITE_ONLY: &[Field] = &[
    Field("proxmox", Record(&[PROXMOX]), "The API."),
    Field("access", Record(&[ACCESS]), "How operators get into guests."),
];

const PROXMOX: &[Field] = &[
    Field("url", forms::API, "https://HOST:8006"),
    Field("node", forms::NODE, "The node of guests that name none."),
    Field("token", SECRET, "The secret whose value is USER@REALM!TOKENID=UUID."),
    Field("ca", Text, "The certificate of the cluster's CA, a file of `keys/`."),
    Field("fingerprint", forms::FINGERPRINT, "Or the SHA-256 of the node's own certificate."),
];

const ACCESS: &[Field] = &[
    Field("user", forms::OWNER, "Who operators log in as; root when it is not said."),
    Field("identity", Text, "The private key that ssh takes, when it is none of its own."),
    Field("admin_keys", Filled(&Text), "Public keys of operators, files of `keys/`."),
    Field("management", Filled(&forms::NETWORK), "Networks that operators come from."),
];

/// `stacks/<project>.toml`.
pub const PROJECT_FILE: Shape = Record(&[&[
    Field("project", PROJECT, "What all envs share."),
    Field("envs", Map(EnvName::FORM, &ENV), "dev, qa, prod: a guest each."),
]]);
/// `[project]`.
pub const PROJECT: Shape = Record(&[PROJECT_ONLY, STACK]);
/// `[envs.NAME]`.
pub const ENV: Shape = Record(&[ENV_ONLY, STACK]);

const PROJECT_ONLY: &[Field] = &[
    Field(
        "kind",
        forms::KIND_NAME,
        "What a stack of this sort consists of: a folder of `templates/`, or a built-in.",
    ),
    Field("repo", forms::REPO, "https://…, ssh://…, or a folder of the workspace."),
    Field("description", Text, "What it is."),
];

const ENV_ONLY: &[Field] = &[
    Field("name", Pattern(GuestName::FORM), "The guest's name."),
    Field("vmid", Number(100, 999_999_999), "The guest's number in Proxmox."),
    Field("ip", forms::NET4, "Its address with the prefix length, such as 10.0.10.101/24."),
    Field("ip6", forms::NET6, "Its IPv6 address with the prefix length, besides `ip`; none."),
    Field("branch", forms::BRANCH, "The branch of the repository; `stackc lock` pins it."),
];

/// `stacks/lock.toml`.
pub const LOCK: Shape = Map(
    ProjectName::FORM,
    &Map(
        EnvName::FORM,
        &Record(&[&[
            Field("repo", Text, "The repository."),
            Field("branch", Text, "The branch."),
            Field("commit", HASH, "The commit."),
            Field("tree", HASH, "Its tree."),
        ]]),
    ),
);

const HASH: Shape = Pattern("[0-9a-f]{40}");

/// What the layers of one guest say together.
pub const EXPLAINED: Shape = Record(&[SITE_ONLY, PROJECT_ONLY, ENV_ONLY, STACK]);

/// What the layers of a stack share, as one shape.
pub const LAYER: Shape = Record(&[STACK]);

/// `{ secret = "…" }`, wherever it stands.
pub const SECRET_VALUE: Shape = Record(&[SECRET_FIELDS]);
