//! Definitions by lot: items that come, go, and change, one or a few from one version to the next.

use crate::dice::Dice;
use std::collections::BTreeMap;

/// Something that definitions can have, in one of several ways.
struct Item {
    name: &'static str,
    /// An item without which it makes no sense.
    needs: Option<&'static str>,
    ways: &'static [&'static str],
}

const fn item(name: &'static str, ways: &'static [&'static str]) -> Item {
    Item { name, needs: None, ways }
}

const fn with(name: &'static str, needs: &'static str, ways: &'static [&'static str]) -> Item {
    Item { name, needs: Some(needs), ways }
}

const ITEMS: &[Item] = &[
    item(
        "a file of class A",
        &[
            "[project.files.note]\npath = \"/etc/own/note\"\ntext = \"one\\n\"\n",
            "[project.files.note]\npath = \"/etc/own/note\"\ntext = \"two\\n\"\n",
            "[project.files.note]\npath = \"/etc/own/note\"\ntext = \"two\\n\"\nmode = \"0640\"\ngroup = \"adm\"\n",
            "[project.files.note]\npath = \"/etc/own/note\"\ntext = \"two\\n\"\nclass = \"B\"\n",
        ],
    ),
    item(
        "a file of class B",
        &[
            "[project.files.copy]\npath = \"/etc/copies/of/own/copy\"\nclass = \"B\"\ntext = \"one\\n\"\n",
            "[project.files.copy]\npath = \"/etc/copies/of/own/copy\"\nclass = \"B\"\ntext = \"one\\n\"\nmode = \"0600\"\nowner = \"appuser\"\n",
            "[project.files.copy]\npath = \"/etc/copies/of/another\"\nclass = \"B\"\ntext = \"one\\n\"\n",
        ],
    ),
    item(
        "a file where somebody has one",
        &[
            "[project.files.theirs]\npath = \"/etc/theirs.conf\"\ntext = \"ours\\n\"\n",
            "[project.files.theirs]\npath = \"/etc/theirs.conf\"\ntext = \"ours again\\n\"\nclass = \"B\"\n",
        ],
    ),
    item(
        "secret files",
        &[
            "[project.files.word]\npath = \"/etc/own/word\"\nsecret = \"exact/word\"\n[project.env_file]\npath = \"/etc/own/env\"\n[project.env_vars]\nA = 1\nWORD = { secret = \"exact/word\" }\n",
            "[project.files.word]\npath = \"/etc/own/word\"\nsecret = \"exact/word\"\nowner = \"appuser\"\n[project.env_file]\npath = \"/etc/own/env\"\nmode = \"0640\"\ngroup = \"adm\"\n[project.env_vars]\nA = 2\nWORD = { secret = \"exact/word\" }\n",
            "[project.files.word]\npath = \"/etc/own/word\"\ntext = \"a {{ secrets.word }} b\\n\"\nsecrets = { word = { secret = \"exact/word\" } }\n",
        ],
    ),
    item(
        "folders",
        &[
            "[project.directories.top]\npath = \"/srv/own\"\n[project.directories.own]\npath = \"/srv/own/data\"\nowner = \"appuser\"\nmode = \"0750\"\n",
            "[project.directories.top]\npath = \"/srv/own\"\nmode = \"0711\"\n[project.directories.own]\npath = \"/srv/own/data\"\n",
            "[project.directories.top]\npath = \"/srv/own\"\n",
        ],
    ),
    item(
        "a link",
        &[
            "[project.links.own]\npath = \"/usr/local/bin/own\"\ntarget = \"/usr/bin/true\"\n",
            "[project.links.own]\npath = \"/usr/local/bin/own\"\ntarget = \"/usr/bin/false\"\n",
        ],
    ),
    item(
        "a service",
        &[
            "[project.services.own-runs]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n",
            "[project.services.own-runs]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\ndescription = \"Sleeps\"\n",
            "[project.services.own-runs]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nenvironment.A = 1\n",
            "[project.services.own-runs]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nexec_stop = [\"/usr/bin/true\"]\nenvironment.A = 2\n",
        ],
    ),
    with(
        "a service that requires it",
        "a service",
        &[
            "[project.services.own-requires]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nrequires = [\"own-runs.service\"]\nafter = [\"own-runs.service\"]\n",
            "[project.services.own-requires]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\noptions.Unit.BindsTo = \"own-runs.service\"\nafter = [\"own-runs.service\"]\n",
            "[project.services.own-requires]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\noptions.Unit.PartOf = \"own-runs.service\"\n",
            "[project.services.own-requires]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nwants = [\"own-runs.service\"]\n",
        ],
    ),
    item(
        "a service that reads a file",
        &[
            "[project.services.own-reads]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nreads = [\"/etc/own/read\"]\n[project.files.read]\npath = \"/etc/own/read\"\ntext = \"1\\n\"\n",
            "[project.services.own-reads]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nreads = [\"/etc/own/read\"]\n[project.files.read]\npath = \"/etc/own/read\"\ntext = \"2\\n\"\n",
        ],
    ),
    item(
        "a service that is reloaded",
        &[
            "[project.services.own-reloads]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nexec_reload = [\"/usr/bin/true\"]\n[project.files.reload]\npath = \"/etc/own/reload\"\ntext = \"1\\n\"\nreload = [\"own-reloads.service\"]\n",
            "[project.services.own-reloads]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nexec_reload = [\"/usr/bin/true\"]\n[project.files.reload]\npath = \"/etc/own/reload\"\ntext = \"2\\n\"\nreload = [\"own-reloads.service\"]\n",
        ],
    ),
    with(
        "a service with the env file",
        "secret files",
        &[
            "[project.services.own-env]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nreads = [\"/etc/own/word\"]\n",
        ],
    ),
    item(
        "a oneshot",
        &[
            "[project.services.own-once]\ntype = \"oneshot\"\nexec = [\"/usr/bin/true\"]\n",
            "[project.services.own-once]\ntype = \"oneshot\"\nexec = [\"/usr/bin/true\"]\noptions.Service.RemainAfterExit = true\n",
            "[project.services.own-once]\ntype = \"oneshot\"\nexec = [\"/usr/bin/echo\", \"a\"]\noptions.Service.RemainAfterExit = true\n",
        ],
    ),
    item(
        "a service that nothing starts",
        &[
            "[project.services.own-off]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nwanted_by = []\n",
            "[project.services.own-off]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nenvironment.A = 1\nwanted_by = []\n",
            "[project.services.own-off]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n",
        ],
    ),
    item(
        "a template with an instance",
        &[
            "[project.services.\"own-many@\"]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n[project.links.many]\npath = \"/etc/systemd/system/multi-user.target.wants/own-many@one.service\"\ntarget = \"/etc/systemd/system/own-many@.service\"\n",
            "[project.services.\"own-many@\"]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nenvironment.A = 1\n[project.links.many]\npath = \"/etc/systemd/system/multi-user.target.wants/own-many@one.service\"\ntarget = \"/etc/systemd/system/own-many@.service\"\n",
            "[project.services.\"own-many@\"]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n",
        ],
    ),
    item(
        "a socket",
        &[
            "[project.services.own-listens]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n[project.sockets.own-listens]\nlisten = \"/run/own.sock\"\n",
            "[project.services.own-listens]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\n[project.sockets.own-listens]\nlisten = \"/run/other.sock\"\n",
            "[project.services.own-listens]\nexec = [\"/usr/bin/sleep\", \"infinity\"]\nenvironment.A = 1\n[project.sockets.own-listens]\nlisten = \"/run/other.sock\"\n",
        ],
    ),
    item(
        "a timer",
        &[
            "[project.services.own-tick]\ntype = \"oneshot\"\nexec = [\"/usr/bin/true\"]\n[project.timers.own-tick]\non_calendar = \"*-01-01 04:00:00\"\n",
            "[project.services.own-tick]\ntype = \"oneshot\"\nexec = [\"/usr/bin/true\"]\n[project.timers.own-tick]\non_calendar = \"*-01-01 05:00:00\"\n",
        ],
    ),
    item(
        "a drop-in for a package's unit",
        &[
            "[project.drop_ins.own]\nunit = \"cron.service\"\noptions.Service.Environment = \"A=1\"\n",
            "[project.drop_ins.own]\nunit = \"cron.service\"\noptions.Service.Environment = \"A=2\"\n",
        ],
    ),
    with(
        "a drop-in for a service",
        "a service",
        &[
            "[project.drop_ins.nice]\nunit = \"own-runs.service\"\noptions.Service.Nice = 5\n",
            "[project.drop_ins.nice]\nunit = \"own-runs.service\"\noptions.Service.Nice = 6\n",
        ],
    ),
    item(
        "a mask",
        &[
            "[project.links.mask]\npath = \"/etc/systemd/system/logrotate.timer\"\ntarget = \"/dev/null\"\n",
        ],
    ),
    item(
        "a job of cron",
        &[
            "[project.cron.own]\nschedule = \"0 4 1 1 *\"\nuser = \"appuser\"\nrun = \"true\"\n",
            "[project.cron.own]\nschedule = \"0 5 1 1 *\"\nuser = \"root\"\nrun = \"true\"\n",
        ],
    ),
    item(
        "the system",
        &[
            "[project.system]\ntimezone = \"Europe/Berlin\"\n",
            "[project.system]\njournal_max_mib = 100\n",
            "[project.system]\nsysctl = { \"net.core.somaxconn\" = 2048 }\n",
            "[project.system]\nsysctl = { \"net.core.somaxconn\" = 1024, \"net/ipv4/tcp_rmem\" = \"4096 131072 6291456\" }\ntimezone = \"Asia/Tokyo\"\n",
        ],
    ),
    item(
        "lines of tmpfiles.d",
        &[
            "[project.files.folders]\npath = \"/etc/tmpfiles.d/own.conf\"\ntext = \"d /var/lib/own-made 0750 appuser appuser -\\nd /run/own-made 0755 root root -\\n\"\n",
            "[project.files.folders]\npath = \"/etc/tmpfiles.d/own.conf\"\ntext = \"d /var/lib/own-made 0700 root root -\\nd /var/lib/own-more 0755 root root -\\n\"\n",
        ],
    ),
    item(
        "a user",
        &[
            "[project.users.deploy]\nkeys = [\"keys/deploy.pub\"]\n",
            "[project.users.deploy]\nkeys = [\"keys/deploy.pub\", \"keys/ops.pub\"]\nsudo = [\"/usr/bin/id *\"]\n",
            "[project.users.deploy]\nsudo = true\ngroups = [\"uploads\"]\n",
        ],
    ),
    item("a group", &["[project.groups.crew]\ngid = 2000\n"]),
    item("a log", &["[project.log_rotation.own]\npaths = \"/var/log/own.log\"\nevery = \"day\"\n"]),
    item(
        "a setting of sshd",
        &[
            "[project.files.sshd-own]\npath = \"/etc/ssh/sshd_config.d/20-own.conf\"\ntext = \"MaxAuthTries 5\\n\"\n",
            "[project.files.sshd-own]\npath = \"/etc/ssh/sshd_config.d/20-own.conf\"\ntext = \"MaxAuthTries 4\\n\"\n",
        ],
    ),
    item(
        "the firewall's settings",
        &[
            "[project.firewall]\nlogging = \"medium\"\n",
            "[project.firewall]\nincoming = \"reject\"\nrouted = \"reject\"\n",
            "[project.firewall]\nipv6 = false\n",
            "[project.firewall]\nenabled = false\n",
            "[project.firewall]\nlogging = \"off\"\noutgoing = \"reject\"\n[project.firewall.rules.out]\ndirection = \"out\"\n",
        ],
    ),
    item(
        "a rule",
        &[
            "[project.firewall.rules.own]\nport = 8123\nprotocol = \"tcp\"\n",
            "[project.firewall.rules.own]\nport = 8123\nprotocol = \"tcp\"\ncomment = \"own\"\n",
            "[project.firewall.rules.own]\nport = 8124\naction = \"limit\"\nprotocol = \"tcp\"\n",
            "[project.firewall.rules.own]\nport = 8123\nprotocol = \"tcp\"\norder = 60\n",
        ],
    ),
    item(
        "another rule",
        &[
            "[project.firewall.rules.six]\nport = \"6000:6007\"\nprotocol = \"udp\"\nfrom = \"fd00::/8\"\naction = \"deny\"\n",
            "[project.firewall.rules.six]\nport = 8123\nprotocol = \"tcp\"\nfrom = \"10.9.0.0/16\"\naction = \"reject\"\n",
            "[project.firewall.rules.six]\nport = 8123\nprotocol = \"tcp\"\nfrom = \"10.9.0.0/16\"\naction = \"reject\"\norder = 70\n",
        ],
    ),
    item(
        "a pin",
        &[
            "[project.apt.pins.own]\npackages = [\"nodejs\"]\npin = \"version *\"\npriority = -1\n",
            "[project.apt.pins.own]\npackages = [\"npm\"]\npin = \"version *\"\npriority = -1\n",
        ],
    ),
    item(
        "hooks",
        &[
            "[project.hooks.own]\nwhen = \"after_switch\"\nrun = [\"/usr/bin/touch\", \"/run/own.hook\"]\n",
            "[project.hooks.own]\nwhen = \"before_switch\"\nrun = [\"/usr/bin/touch\", \"/run/own.hook\"]\n",
        ],
    ),
    item("a package", &["[project.packages]\njq = true\n", "[project.packages]\nrsync = true\n"]),
];

/// What definitions have, each item in which way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drawn {
    ways: BTreeMap<usize, usize>,
    /// The value of the secret that they name.
    pub word: usize,
}

impl Drawn {
    /// One step further: a few items come, go or change.
    pub fn step(&mut self, dice: &mut Dice) {
        let count = if dice.one_in(4) { 12 } else { 1 + dice.roll(6) };
        for _ in 0..count {
            let number = dice.roll(ITEMS.len());
            if dice.one_in(3) {
                self.ways.remove(&number);
            } else {
                self.ways.insert(number, dice.roll(ITEMS[number].ways.len()));
            }
        }
        if dice.one_in(5) {
            self.word += 1;
        }
    }

    pub fn secret(&self) -> String {
        format!("word-{}", self.word)
    }

    /// The items that are there with what they need.
    fn items(&self) -> impl Iterator<Item = (&Item, &usize)> {
        let items = self.ways.iter().map(|(number, way)| (&ITEMS[*number], way));
        let has = |name| self.ways.keys().any(|number| ITEMS[*number].name == name);
        items.filter(move |(item, _)| item.needs.is_none_or(has))
    }

    pub fn text(&self) -> String {
        self.items().map(|(item, way)| item.ways[*way]).collect()
    }

    /// What they have, in words.
    pub fn words(&self) -> String {
        let words = self.items().map(|(item, way)| format!("{} {way}", item.name));
        words.collect::<Vec<_>>().join(", ")
    }
}
