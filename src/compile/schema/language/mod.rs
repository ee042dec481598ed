//! The language of definitions: every key, what it may hold, and a sentence about it. `stackc schema` is made of it.

mod guest;
mod parts;
mod system;
mod units;

use super::{
    Field,
    Shape::{self, Boolean, Either, Integer, Map, Named, Number, Pattern, Record, Text, Word},
};
pub use system::EVICTIONS;

use parts::{
    ACCESS_RIGHTS, COMMANDS, NUMBER_OR_TEXT, PORT, SECRET, SECRET_FIELDS, TEXT_OR_TEXTS, TEXTS,
};

/// What every layer of a stack may say: kind, site, project and env.
pub const STACK: &[Field] = &[
    Field("guest", Record(&[guest::GUEST]), "The container or virtual machine."),
    Field("vars", Map(&VARIABLE), "What a kind leaves to be set; its templates read `vars.NAME`."),
    Field(
        "ports",
        Named(&Number(1, 65535)),
        "What services listen on; templates read `ports.NAME`.",
    ),
    Field("env_vars", Named(&Either(&[Text, Integer, SECRET])), "Variables of the env file."),
    Field("env_file", Record(&[ENV_FILE]), "The file of variables that the services read."),
    Field("packages", Named(&Either(&[Boolean, Text])), "Debian packages: `true`, or a version."),
    Field("apt", Record(&[system::APT]), "Where packages come from."),
    Field("system", Record(&[system::SYSTEM]), "Clock, language, upgrades, kernel parameters."),
    Field("users", Named(&Record(&[system::USER])), "Accounts, by name."),
    Field("groups", Named(&Record(&[system::GROUP])), "Groups that are nobody's own, by name."),
    Field("directories", Named(&Record(&[DIRECTORY, ACCESS_RIGHTS])), "Folders of the bundle."),
    Field("files", Named(&Record(&[FILE, ACCESS_RIGHTS])), "Files, from templates or text."),
    Field("links", Named(&Record(&[LINK])), "Symbolic links."),
    Field("services", Named(&Record(&[units::UNIT, units::SERVICE])), "systemd services."),
    Field("sockets", Named(&Record(&[units::UNIT, units::SOCKET])), "systemd sockets."),
    Field("timers", Named(&Record(&[units::UNIT, units::TIMER])), "systemd timers."),
    Field("drop_ins", Named(&Record(&[units::DROP_IN])), "Changes to units of packages."),
    Field("cron", Named(&Record(&[units::CRON])), "Jobs of cron, each a file in `/etc/cron.d`."),
    Field("log_rotation", Named(&Record(&[system::LOG_ROTATION])), "Logs that logrotate turns."),
    Field("firewall", Record(&[FIREWALL]), "What ufw lets in and out."),
    Field("health", Record(&[HEALTH]), "How long a switch is watched."),
    Field("probes", Named(&Record(&[PROBE])), "What must hold for a switch to be kept."),
    Field(
        "hooks",
        Named(&Record(&[HOOK])),
        "Commands around each switch to this generation, in the order of their names.",
    ),
    Field("databases", Named(&Record(&[system::DATABASE])), "Databases that services use."),
    Field("release", Record(&[RELEASE]), "The app's checkout, and how it is built."),
];

const VARIABLE: Shape = Either(&[Text, Integer, Boolean, TEXTS]);

const ENV_FILE: &[Field] = &[
    Field("path", parts::PATH, "Where it stands."),
    Field("owner", Text, "Its owner; root when it is not said."),
    Field("group", Text, "Its group; the owner's own when it is not said."),
    Field("mode", parts::MODE, "Four octal digits; 0600 when it holds secrets."),
    Field(
        "readers",
        Shape::List(&Word(&["systemd", "sh", "dotenv", "node", "python-dotenv"])),
        "Who reads it; a value that they would read differently is a mistake.",
    ),
];

const DIRECTORY: &[Field] = &[Field("path", parts::PATH, "Where it stands.")];

const LINK: &[Field] =
    &[Field("path", parts::PATH, "Where it stands."), Field("target", Text, "Where it leads.")];

const FILE: &[Field] = &[
    Field("path", parts::PATH, "Where it stands."),
    Field("template", Text, "A file of the kind's folder, or of `templates/`."),
    Field("text", Text, "The content itself; a template too."),
    Field("secret", Text, "The secret that is the whole content."),
    Field("secrets", Named(&SECRET), "Secrets of the content; its template reads `secrets.NAME`."),
    Field(
        "class",
        Word(&["A", "B"]),
        "A: a link through the generation. B: a copy, for boot and login.",
    ),
    Field("restart", TEXTS, "Units that a change of the file restarts."),
    Field("reload", TEXTS, "Units that a change of the file reloads."),
];

const FIREWALL: &[Field] = &[
    Field("enabled", Boolean, "Whether there is a firewall; true when it is not said."),
    Field("ipv6", Boolean, "Whether IPv6 is filtered; true when it is not said."),
    Field("logging", Word(&["off", "low", "medium", "high", "full"]), "ufw(8), LOGGING."),
    Field("incoming", POLICY, "What becomes of packets for the guest that no rule names."),
    Field("outgoing", POLICY, "The same of what the guest sends."),
    Field("routed", POLICY, "The same of what passes through."),
    Field("rules", Named(&Record(&[RULE])), "Rules, the first that fits decides."),
];

const POLICY: Shape = Word(&["allow", "deny", "reject"]);

const RULE: &[Field] = &[
    Field("action", Word(&["allow", "deny", "reject", "limit"]), "allow when it is not said."),
    Field("direction", Word(&["in", "out"]), "in when it is not said."),
    Field("port", NUMBER_OR_TEXT, "22, \"80,443\" or \"6000:6007\"; all when it is not said."),
    Field("protocol", Word(&["any", "tcp", "udp"]), "any when it is not said."),
    Field(
        "from",
        TEXT_OR_TEXTS,
        "A network, an address, or \"management\"; all when it is not said.",
    ),
    Field("to", Text, "The address of the guest that it is for."),
    Field("interface", Text, "The interface that it is for."),
    Field("comment", Text, "What `ufw status` shows."),
    Field("order", Number(0, 999), "Rules go by order, then by name; 100 when it is not said."),
];

const HEALTH: &[Field] = &[
    Field("window_seconds", Number(1, 600), "How long every probe must hold; 5."),
    Field("start_seconds", Number(1, 3600), "How long a service may take to pass its probes; 30."),
    Field("confirm_seconds", Number(15, 3600), "How long the guest waits for the confirm; 60."),
];

const PROBE: &[Field] = &[
    Field("http", Record(&[HTTP]), "A request that the guest makes to itself."),
    Field("tcp", Record(&[TCP]), "A connection that is taken."),
    Field("command", TEXTS, "A program and its arguments; 0 is well."),
    Field("unit", Text, "A unit that must be active."),
    Field("timeout_seconds", Number(1, 300), "How long it may take; 5."),
];

const TCP: &[Field] = &[Field("port", PORT, "The port, on the guest itself."), LOCAL];

const LOCAL: Field = Field(
    "local",
    Boolean,
    "Whether only the guest itself asks there, so that the firewall may shut it; false.",
);

const HTTP: &[Field] = &[
    LOCAL,
    Field("port", PORT, "The port, on the guest itself."),
    Field("path", Pattern(r"^(/|.*\{\{)"), "The path of the URL; `/` when it is not said."),
    Field("status", Number(100, 599), "The status that is well; 200 when it is not said."),
];

const HOOK: &[Field] = &[
    Field(
        "when",
        Word(&["before_switch", "after_switch"]),
        "before_switch (a failure changes nothing) or after_switch, before the probes (a failure undoes); an undo runs none.",
    ),
    Field(
        "run",
        TEXTS,
        "A program, by its absolute path, and its arguments. Before the switch, a program of the bundle is the new one.",
    ),
    Field("user", Text, "Who runs it; root when it is not said."),
    Field(
        "timeout_seconds",
        Number(1, 3600),
        "How long it may take until it is killed with all that it started; 60.",
    ),
];

const RELEASE: &[Field] = &[
    Field(
        "subfolder",
        Text,
        "The folder of the repository that is the app; all of it when it is not said.",
    ),
    Field("user", Text, "Who owns the checkout and builds it."),
    Field("folders", TEXTS, "Folders of the app that `/srv/app` links."),
    Field("build", COMMANDS, "Commands that build it, in this order."),
    Field("migrate", COMMANDS, "Commands that bring the data to this release."),
    Field("build_env", Named(&Text), "Variables of the build."),
    Field("tools", TEXTS, "Commands whose output is part of what a build depends on."),
    Field("shared", TEXTS, "Paths that outlive a release: uploads, files of data."),
    Field("stop_for_migrate", Boolean, "Whether the services stop while it migrates."),
    Field("keep", Number(1, 100), "Releases that stay besides the live one; 3."),
];

/// `templates/<kind>/kind.toml`.
pub const KIND: Shape = Record(&[
    &[
        Field(
            "extends",
            Text,
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
    Field("url", Pattern("^https://"), "https://HOST:8006"),
    Field("node", Text, "The node of guests that name none."),
    Field("token", SECRET, "The secret whose value is USER@REALM!TOKENID=UUID."),
    Field("ca", Text, "The certificate of the cluster's CA, a file of `keys/`."),
    Field("fingerprint", Text, "Or the SHA-256 of the node's own certificate."),
];

const ACCESS: &[Field] = &[
    Field("user", Text, "Who operators log in as; root when it is not said."),
    Field("identity", Text, "The private key that ssh takes, when it is none of its own."),
    Field("admin_keys", TEXTS, "Public keys of operators, files of `keys/`."),
    Field("management", TEXTS, "Networks that operators come from."),
];

/// `stacks/<project>.toml`.
pub const PROJECT_FILE: Shape = Record(&[&[
    Field("project", PROJECT, "What all envs share."),
    Field("envs", Map(&ENV), "dev, qa, prod: a guest each."),
]]);
/// `[project]`.
pub const PROJECT: Shape = Record(&[PROJECT_ONLY, STACK]);
/// `[envs.NAME]`.
pub const ENV: Shape = Record(&[ENV_ONLY, STACK]);

const PROJECT_ONLY: &[Field] = &[
    Field(
        "kind",
        Text,
        "What a stack of this sort consists of: a folder of `templates/`, or a built-in.",
    ),
    Field("repo", Text, "https://…, ssh://…, or a folder of the workspace."),
    Field("description", Text, "What it is."),
];

const ENV_ONLY: &[Field] = &[
    Field("name", Text, "The guest's name."),
    Field("vmid", Number(100, 999_999_999), "The guest's number in Proxmox."),
    Field("ip", Text, "Its address with the prefix length, such as 10.0.10.101/24."),
    Field("ip6", Text, "Its IPv6 address with the prefix length, besides `ip`; none."),
    Field("branch", Text, "The branch of the repository; `stackc lock` pins it."),
];

/// `stacks/lock.toml`.
pub const LOCK: Shape = Map(&Map(&Record(&[&[
    Field("repo", Text, "The repository."),
    Field("branch", Text, "The branch."),
    Field("commit", HASH, "The commit."),
    Field("tree", HASH, "Its tree."),
]])));

const HASH: Shape = Pattern("^[0-9a-f]{40}$");

/// What the layers of one guest say together.
pub const EXPLAINED: Shape = Record(&[SITE_ONLY, PROJECT_ONLY, ENV_ONLY, STACK]);

/// What the layers of a stack share, as one shape.
pub const LAYER: Shape = Record(&[STACK]);

/// `{ secret = "…" }`, wherever it stands.
pub const SECRET_VALUE: Shape = Record(&[SECRET_FIELDS]);
