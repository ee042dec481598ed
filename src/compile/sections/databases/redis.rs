//! An instance of Redis: a configuration and a unit of its own, beside the package's server, which does not run.
//!
//! Debian's own template `redis-server@.service` reads `/etc/redis/redis-%i.conf` and lets every instance write to one
//! `/var/lib/redis`. `/etc/redis` belongs to the group `redis`, so nothing of root's may lie there; and a unit of a package
//! is not stopped when it leaves the definitions. So the instance has the template's name and a unit of its own.

use super::declared_ports;
use crate::{
    compile::{
        report::{Code, Mistake},
        schema::EVICTIONS,
        sections::{
            overlay::{Item, Overlay, root},
            ports::{REDIS_PORT, Taken},
        },
        source::At,
        template::is_template,
        view::View,
    },
    model::{
        Access, DatabaseName, Encoder, FileClass, GuestPath, Mode, Part, SecretName, UnitName,
    },
};
use std::{collections::BTreeMap, fmt::Write as _};

const UNITS: &str = "/etc/systemd/system";

/// The instances so far.
pub(super) struct Instances {
    ports: BTreeMap<u32, At>,
    /// What other servers of the guest listen on.
    others: Vec<Taken>,
}

/// What is said of one.
struct Instance {
    name: DatabaseName,
    port: u32,
    memory_mib: Option<u32>,
    eviction: &'static str,
    persistent: bool,
    password: Option<SecretName>,
}

impl Instances {
    pub(super) fn new(others: Vec<Taken>) -> Self {
        Self { ports: BTreeMap::new(), others }
    }

    pub(super) fn add(
        &mut self,
        stack: &View<'_>,
        name: &str,
        view: &View<'_>,
        overlay: &mut Overlay,
    ) {
        let Some(instance) = read(name, view) else { return };
        let is_first = self.ports.is_empty();
        self.check_port(stack, view, &instance);
        let (unit, config) = (instance.unit(), instance.config_path());
        let text = instance.unit_text(&config);
        overlay.add_text(&format!("{UNITS}/{unit}"), Mode::FILE, text, view.at, view);
        let wanted = format!("{UNITS}/multi-user.target.wants/{unit}");
        overlay.add_link(&wanted, format!("../{unit}"), view.at, view);
        overlay.add(config, instance.config(), view.at, view);
        if is_first {
            // The package's server would take the usual port at the next boot.
            let masked = format!("{UNITS}/redis-server.service");
            overlay.add_link(&masked, "/dev/null".to_owned(), view.at, view);
        }
    }

    fn check_port(&mut self, stack: &View<'_>, view: &View<'_>, instance: &Instance) {
        let Instance { name, port, .. } = instance;
        let node = view.node("port");
        let at = node.map_or(view.at, |node| node.at);
        // A port that is read from `ports` is that very one.
        let is_read = node.and_then(|node| node.text()).is_some_and(is_template);
        let declared = declared_ports(stack).remove(&i64::from(*port)).filter(|_| !is_read);
        let first = self.ports.insert(*port, at).or(declared.map(|(_, at)| at));
        let other = self.others.iter().find(|taken| u32::from(taken.port) == *port);
        let (title, places) = match (first, other) {
            (Some(first), _) => {
                (format!("Redis `{name}` has a port that is taken: {port}"), Some(first))
            }
            (None, Some(other)) => {
                (format!("Redis `{name}` has the port {port} of {}", other.by), other.at)
            }
            (None, None) => return,
        };
        let mistake = Mistake::new(Code::SamePort, at, title).help("set another `port`");
        view.report(places.into_iter().fold(mistake, |mistake, at| mistake.also(at, "taken here")));
    }
}

fn read(name: &str, view: &View<'_>) -> Option<Instance> {
    let evictions = EVICTIONS.map(|word| (word, word));
    let name = view.lowering.parse(name, view.at);
    let port = view.number_or("port", REDIS_PORT);
    let memory_mib = view.number("memory_mib");
    let eviction = view.word_or("eviction", &evictions, "noeviction");
    Some(Instance {
        name: name?,
        port: port?,
        memory_mib: memory_mib.map(|mib| mib.value),
        eviction: eviction?,
        persistent: view.boolean("persistent").unwrap_or(true),
        password: super::password(view),
    })
}

impl Instance {
    fn unit(&self) -> UnitName {
        let name = format!("redis-server@{}.service", self.name);
        name.parse().expect("a database's name is plain")
    }

    fn config_path(&self) -> GuestPath {
        format!("/etc/redis-{}.conf", self.name).parse().expect("a database's name is plain")
    }

    /// The file; one with a password is for root and Redis alone.
    fn config(&self) -> Item {
        let text = self.settings();
        match &self.password {
            None => Item::File {
                class: FileClass::Linked,
                access: Access { mode: Mode::FILE, owner: root(), group: root() },
                bytes: text.into_bytes(),
            },
            Some(secret) => Item::Secret {
                access: Access {
                    mode: "0640".parse().expect("it is a mode"),
                    owner: root(),
                    group: "redis".parse().expect("it is a group's name"),
                },
                encoder: Encoder::Redis,
                parts: vec![
                    Part::Literal(format!("{text}requirepass ")),
                    Part::Secret(secret.clone()),
                    Part::Literal("\n".to_owned()),
                ],
            },
        }
    }

    /// Source: redis.conf of Redis 7. A log file of no name is the journal.
    fn settings(&self) -> String {
        let Self { name, port, eviction, .. } = self;
        let mut text = format!(
            "bind 127.0.0.1 -::1\nport {port}\nprotected-mode yes\nlogfile \"\"\ndir /var/lib/redis-{name}\n"
        );
        if let Some(mib) = self.memory_mib {
            let bytes = u64::from(mib) << 20;
            writeln!(text, "maxmemory {bytes}").expect("text takes all");
        }
        writeln!(text, "maxmemory-policy {eviction}").expect("text takes all");
        text + if self.persistent { "appendonly yes\n" } else { "appendonly no\nsave \"\"\n" }
    }

    /// As the package's template confines it, with a folder of its own.
    fn unit_text(&self, config: &GuestPath) -> String {
        let name = &self.name;
        format!(
            "[Unit]
Description=Redis {name}
After=network.target

[Service]
Type=notify
User=redis
Group=redis
ExecStart=/usr/bin/redis-server {config} --supervised systemd --daemonize no
Restart=on-failure
RestartSec=2
TimeoutStopSec=60
LimitNOFILE=65535
StateDirectory=redis-{name}
StateDirectoryMode=0750
UMask=0077

CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"
        )
    }
}
