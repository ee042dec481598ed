//! What the schema of one file leaves to the compiler, and why. Only these mistakes may be unknown to an editor.

/// Kinds of mistakes that it cannot find, by why.
pub const CODES: &[(&str, &[&str])] = &[
    (
        "two values of one guest, of which another layer may say one",
        &[
            "below-a-file",
            "below-anothers-folder",
            "branch-without-repo",
            "case-twins",
            "declared-twice",
            "gateway-elsewhere",
            "ignored-file",
            "masked-unit",
            "keys-exclude",
            "keys-nobody-reads",
            "low-port",
            "needs-nesting",
            "no-env-file",
            "not-executable",
            "one-disk-source",
            "operators-shut-out",
            "order-circle",
            "other-kinds-key",
            "package-not-declared",
            "path-twice",
            "ports-need-protocol",
            "probe-elsewhere",
            "probe-shut",
            "rule-twice",
            "same-database",
            "same-port",
            "secret-in-template",
            "shared-release",
            "two-passwords",
            "unknown-account",
            "unknown-unit",
            "unmade-file",
        ],
    ),
    ("two guests", &["same-identity"]),
    (
        "other files of the workspace",
        &[
            "bad-certificate",
            "bad-public-key",
            "kind-circle",
            "missing-file",
            "not-pinned",
            "nothing-to-remove",
            "stale-pin",
            "unknown-kind",
            "unknown-template",
            "unknown-variable",
        ],
    ),
    (
        "the text of a template, or what it makes",
        &[
            "no-template-here",
            "not-known-yet",
            "template-bounds",
            "template-fails",
            "template-syntax",
            "undefined-name",
        ],
    ),
    (
        "the text of a unit or of a table of cron, which has a grammar of its own",
        &[
            "before-recovery",
            "ignored-line",
            "no-section",
            "refused-unit",
            "unknown-directive",
            "unknown-section",
        ],
    ),
    (
        "the tables of what Debian and stackc own",
        &["foreign-path", "link-at-boot", "shared-folder", "system-account"],
    ),
    (
        "what becomes of the value on the guest, with others beside it",
        &["ambiguous-value", "secret-for-all", "writable-by-all"],
    ),
];

/// A mistake of a case, by how its message begins.
pub type Place = (&'static str, &'static str);

/// Mistakes of kinds that a schema finds elsewhere, by why it cannot find these.
pub const PLACES: &[(&str, &[Place])] = &[
    (
        "two values of one guest",
        &[("links_in_circles", "the link `"), ("ports_of_others", "the guest has no interface")],
    ),
    ("the name of a file", &[("project_of_no_name", "`9 lives` is not a project name")]),
    (
        "no level of it is refused before the document is read",
        &[
            ("e4_names_of_many_parts", "this nests too deep"),
            ("e4_too_deep", "this nests too deep"),
        ],
    ),
    (
        "another layer may say it",
        &[
            ("other_content", "an entry has either `template` or `text`"),
            ("app_from_nowhere", "`repo` is missing: the kind builds an app"),
            ("apt", "`suites` is missing"),
            ("apt", "`uris` is missing"),
            ("apt", "a pin of no package does nothing"),
            ("apt", "`pin` is missing"),
            ("apt", "`priority` is missing"),
            ("databases", "`owner` is missing"),
            ("e3_addresses_of_repositories", "`branch` is missing"),
            ("e3_words_that_shells_read", "`branch` is missing"),
            ("homes", "`repo` is missing: the kind builds an app"),
            ("hooks", "`when` is missing"),
            ("hooks", "`run` is missing"),
            ("log_rotation", "`paths` is missing"),
            ("log_rotation", "`user` is missing"),
            ("no_pin", "`release.user` is missing"),
            ("paths", "the entry has no content"),
            ("ports", "`repo` is missing: the kind builds an app"),
            ("templates", "`repo` is missing: the kind builds an app"),
            ("units_of_text", "the unit says nothing"),
            ("values_that_templates_read", "`repo` is missing: the kind builds an app"),
        ],
    ),
    (
        "another layer may say other `components`",
        &[("apt", "its suites need components"), ("apt", "an exact path has no components")],
    ),
    (
        "the text of a source, which has a grammar of its own",
        &[
            ("texts_of_sources", "`Types: deb` continues no field"),
            ("texts_of_sources", "a source of packages has no field"),
            ("texts_of_sources", "a source of packages needs Types"),
            ("texts_of_sources", "a source has the field `Types` twice"),
            ("apt", "a source of packages has no field `Signed`"),
            ("details", "`deb https://packages.example.org bookworm"),
        ],
    ),
    (
        "which of two numbers is greater, an expression can only say by listing all pairs",
        &[("cron", "`0 0 * * fri-mon` is no schedule of cron")],
    ),
    (
        "two fields of one schedule, and the days that a month has",
        &[("schedules_that_never_come", "")],
    ),
    (
        "a name is reserved by `engine`, which another layer may say",
        &[
            ("databases", "`template1` is a database of the server itself"),
            ("databases", "`pg_monitor` is a role of the server itself"),
        ],
    ),
    (
        "a key is for one `engine`, which another layer may say",
        &[
            ("databases", "`memory_mib` is for Redis, and means nothing"),
            ("databases", "`owner` is for PostgreSQL and MariaDB, and"),
        ],
    ),
    (
        "the entry's name is the database's only where no layer says `name`",
        &[("databases", "`Not plain` is not a database name")],
    ),
    (
        "two values of one rule, of which another layer may say one",
        &[
            ("details", "a rule from nowhere does nothing"),
            ("rules_that_clash", "a rule from IPv4 to IPv6, or the other way"),
        ],
    ),
    (
        "arithmetic with the prefix length",
        &[
            ("guest_addresses", "`10.0.10.0/24` is the network itself, and no"),
            ("guest_addresses", "`10.0.10.255/24` is the broadcast address"),
            ("guest_addresses", "`2001:db8::/64` is the network itself, and no"),
            ("guest_addresses", "`192.168.1.0/24` is the network itself, and"),
            ("many_at_once", "`10.0.10.255/24` is the broadcast address"),
        ],
    ),
    (
        "two values of one guest, of which another layer may say one",
        &[
            ("guest_addresses", "an MTU of 1279 is too small for"),
            ("guest_addresses", "an MTU of 1000 is too small for"),
            ("guest_kinds", "`129` is not a number from 0 to 128"),
            ("guest_kinds", "`262145` is not a number from 1 to 262144"),
            ("guest_kinds", "the least memory, 4096 MiB, is more than all,"),
            ("system", "a container cannot set `vm.swappiness`: its"),
            ("systemd_of_debian_12", "`notify-reload` is no word of systemd's for"),
            ("systemd_of_debian_12", "`disconnected` is no boolean of systemd, which"),
        ],
    ),
    (
        "two values of one guest, and the tables of what Debian and stackc own",
        &[
            ("lines_that_readers_change", "the bundle has no `/etc/nobody-declares-it`"),
            ("places_of_others", "nothing can be mounted at `/var/lib/systemd`"),
            ("places_of_others", "nothing can be mounted at `/var/tmp`"),
            ("folders_of_debian", "`/etc/ssh` cannot be a"),
            ("homes", "the bundle's `/opt/tool/run` lies"),
            ("guest_mounts", "nothing can be mounted at `/etc`: the guest's"),
            ("guest_mounts", "nothing can be mounted at `/etc/app`: the"),
            ("guest_mounts", "nothing can be mounted at `/var/lib`: apt's"),
            ("guest_mounts", "nothing can be mounted at"),
            ("guest_mounts", "`mp0` at `/srv/files/cache` would be hidden"),
            ("guest_mounts", "`mp2` and `mp1` are both mounted at"),
            ("guest_mounts", "`mp3` is mounted at `/opt/tool/conf`, and"),
            ("guest_mounts", "`mp4` is mounted at `/opt/tool/conf/more`,"),
            ("homes", "`/srv/app` is a user's home and an entry of"),
            ("homes", "the home `/srv/app/backend/home` lies below"),
            ("homes", "the home `/srv/data/home` lies below"),
            ("homes", "`/var/lib` cannot be a user's home"),
            ("homes", "`/var/lib/stackc/home` cannot be a user's home"),
            ("homes", "two users have the home `/home/twin`"),
            ("homes", "the homes `/home/twin/within` and"),
        ],
    ),
    (
        "engines of regular expressions do not agree on characters beyond U+FFFF",
        &[
            ("hostile_texts", "a text cannot have the character U+F5CA2"),
            ("variables_of_no_process", "the value of `NO_CHARACTER` has U+FFFE"),
        ],
    ),
    (
        "what a directive of `options` holds, or another unit starts, is systemd's matter",
        &[
            ("options_beside_keys", "`etc/default/x` in `EnvironmentFile` is"),
            ("options_beside_keys", "`srv` in `WorkingDirectory` is"),
            ("options_beside_keys", "`var/lib/x` in `ReadWritePaths` is"),
            ("options_beside_keys", "systemd ignores `/var/lib/x` in"),
            ("units_that_nobody_makes", "`beat.timer` never fires: it counts"),
        ],
    ),
    (
        "two values of one entry, of which another layer may say one",
        &[
            ("keys_without_effect", "`secrets` has no effect: no `{{ secrets.NAME"),
            ("keys_without_effect", "`persistent` has no effect without"),
            ("what_would_break_on_a_guest", "the program gets `$PORT` as it stands"),
            ("what_would_break_on_a_guest", "the program gets `%i` as it stands"),
            ("keys_without_effect", "`user` has no effect on a socket that is no"),
            ("keys_without_effect", "`mode` has no effect on a socket that is no"),
            ("units_by_keys", "`writes` opens a strict sandbox, and there is"),
        ],
    ),
    (
        "a list of all zones in each schema would be longer than the rest of it",
        &[
            ("system", "`Europe/Berlim` is no time zone"),
            ("numbers_and_ports", "`Somewhere far from here` is no time zone"),
        ],
    ),
    (
        "the text of a table of cron, which has a grammar of its own",
        &[("unit_needs", "cron can read no job in `15 25 * * * root")],
    ),
    (
        "the text of a unit, which has a grammar of its own",
        &[
            ("lines_that_readers_change", "`many` is no number of systemd"),
            ("units_by_keys", "`[Install]` has no effect: stackc links units"),
            ("units_in_templates", "`every day` is no calendar event of systemd,"),
            ("units_in_templates", "`bin/serve` in `ExecStart` is no absolute path"),
            ("units_of_text", "`onshot` is no word of systemd's for `Type`,"),
            ("units_of_text", "`perhaps` is no boolean of systemd, which"),
            ("units_of_text", "`5 fortnights` is no span of time of systemd,"),
            ("units_of_text", "`99` is no mode of systemd, which would"),
            ("units_of_text", "`bin/run` in `ExecStart` is no absolute path"),
            ("units_of_text", "a quote in `ExecStop` is never closed"),
            ("units_of_text", "`[Install]` has no effect: stackc links units"),
            ("units_of_text", "`*/5` is no calendar event of systemd, which"),
            ("units_of_text", "`Frday 10:00` is no calendar event of"),
        ],
    ),
    (
        "the kind's own file has the variable's type",
        &[
            ("values_that_templates_read", "the kind's variable `npm_ci` is text, not a"),
            ("values_that_templates_read", "the kind's variable `logs` is text, not a"),
        ],
    ),
    (
        "what a line of a unit can hold is the writer's matter",
        &[
            ("lines_that_readers_change", "systemd takes away blanks at both ends"),
            ("lines_that_readers_change", "an empty line of a unit takes back"),
        ],
    ),
    (
        "a template makes it",
        &[
            ("limits_of_templates", "`one/two` is not a usable path"),
            ("numbers_and_ports", "`x` is not a port"),
            ("lines_that_readers_change", "cron reads lines of at most"),
            ("variables_of_no_process", "`LONG` with its value is longer"),
            ("values_that_templates_read", "`Mars/../Phobos/x` is not a usable path"),
            ("values_that_templates_read", "`dev day` is no schedule of cron"),
        ],
    ),
];
