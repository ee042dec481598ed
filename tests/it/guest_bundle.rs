//! Small bundles for a guest, and the switches to them.

use crate::guest_fixture::name;
use stackc::model::protocol::SecretFile;
use stackc::model::*;
use std::collections::BTreeMap;

/// A bundle, and what belongs to it.
pub struct Made {
    pub bundle: Bundle,
    pub health: HealthDocument,
    pub hooks: HooksDocument,
    pub secrets: BTreeMap<GuestPath, SecretFile>,
    pub secrets_version: SecretsVersion,
}

fn access(mode: &str) -> Access {
    Access { mode: name(mode), owner: name("root"), group: name("root") }
}

pub fn health(confirm_seconds: u32) -> HealthDocument {
    let unit = Probe::Unit { unit: name("app.service") };
    let probes = BTreeMap::from([("app".to_owned(), unit)]);
    HealthDocument { probes, window_seconds: 0, start_seconds: 0, confirm_seconds }
}

pub fn rules(prefix: &str, version: u32) -> String {
    format!(
        "*filter\n:{prefix}-user-input - [0:0]\n-A {prefix}-user-input -p tcp --dport 22 -j ACCEPT\n-A {prefix}-user-input -p tcp --dport 300{version} -j ACCEPT\nCOMMIT\n"
    )
}

/// Hooks by name, each a command of root's.
pub fn hooks(commands: &[(&str, &[&str])]) -> BTreeMap<String, Hook> {
    let hook = |argv: &[&str]| Hook {
        argv: argv.iter().map(|&word| word.to_owned()).collect(),
        user: name("root"),
        timeout_seconds: 20,
    };
    commands.iter().map(|(name, argv)| ((*name).to_owned(), hook(argv))).collect()
}

/// A bundle of one version of a small app: its number is in every file, and one file is only in this version.
pub fn make(version: u32, confirm_seconds: u32) -> Made {
    let only = format!("/etc/profile.d/only-{version}.sh");
    let files = [
        (
            "/etc/systemd/system/app.service",
            FileClass::Linked,
            "0644",
            format!("[Service]\nExecStart=/usr/local/bin/app\n# {version}\n"),
        ),
        ("/usr/local/bin/app", FileClass::Linked, "0755", format!("#!/bin/sh\necho {version}\n")),
        (
            "/etc/ssh/sshd_config.d/10-stackc.conf",
            FileClass::Copied,
            "0600",
            format!("# version {version}\n"),
        ),
        (&only, FileClass::Linked, "0644", format!("# {version}\n")),
    ];
    let rules = [rules("ufw", version), rules("ufw6", version)];
    seal(version, &files, rules, health(confirm_seconds))
}

/// A bundle of these files, with a firewall, a unit that is wanted at boot, and a secret.
pub fn seal(
    version: u32,
    overlay: &[(&str, FileClass, &str, String)],
    [v4, v6]: [String; 2],
    health: HealthDocument,
) -> Made {
    let mut entries = BTreeMap::new();
    let mut files = BTreeMap::new();
    let ufw = UfwDocument {
        enabled: true,
        ipv6: true,
        logging: "low".to_owned(),
        incoming: "drop".to_owned(),
        outgoing: "accept".to_owned(),
        routed: "drop".to_owned(),
    };
    for (path, bytes) in [
        (document::HEALTH, canonical::to_bytes(&health)),
        (document::UFW, canonical::to_bytes(&ufw)),
        (document::USER_RULES, v4.into_bytes()),
        (document::USER6_RULES, v6.into_bytes()),
    ] {
        entries.insert(name(path), Entry::Document(Bytes::of(&bytes)));
        files.insert(name(path), bytes);
    }
    for (path, class, mode, text) in overlay {
        let path = EntryPath::of_overlay(&name(path));
        let (bytes, class) = (Bytes::of(text.as_bytes()), *class);
        let file = Entry::File { class, access: access(mode), bytes, unit: None };
        entries.insert(path.clone(), file);
        files.insert(path, text.clone().into_bytes());
    }
    let wants = "/etc/systemd/system/multi-user.target.wants/app.service";
    let link = Entry::Link { target: "../app.service".to_owned() };
    entries.insert(EntryPath::of_overlay(&name(wants)), link);
    let folder = Entry::Directory { access: access("0750") };
    entries.insert(EntryPath::of_overlay(&name("/etc/app")), folder);
    let secret_path: GuestPath = name("/etc/app/env");
    let parts = vec![Part::Variable { key: "TOKEN".to_owned(), secret: name("app/token") }];
    let secret = Entry::Secret { access: access("0600"), encoder: Encoder::Env, parts };
    entries.insert(EntryPath::of_overlay(&secret_path), secret);
    let target = Target { project: name("shop"), env: name("dev") };
    let manifest =
        Manifest { target, payload: Digest::of(b"payload"), entries, units: BTreeMap::new() };
    let bytes = canonical::to_bytes(&manifest);
    let tags = BTreeMap::from([(name("app/token"), Digest::of(&version.to_le_bytes()))]);
    let file = SecretFile { access: access("0600"), text: format!("TOKEN=t{version}\n") };
    Made {
        secrets_version: SecretsVersion::of(&tags, &manifest),
        bundle: Bundle { digest: Digest::of(&bytes), manifest, files },
        health,
        hooks: HooksDocument::default(),
        secrets: BTreeMap::from([(secret_path, file)]),
    }
}

impl Made {
    /// The same with IPv6 filtered by ufw, or shut.
    pub fn set_ipv6(&mut self, ipv6: bool) {
        let path: EntryPath = name(document::UFW);
        let ufw: UfwDocument =
            canonical::from_slice(&self.bundle.files[&path]).expect("it is ufw's");
        self.set_document(document::UFW, canonical::to_bytes(&UfwDocument { ipv6, ..ufw }));
    }

    /// Puts one more document into the bundle, or another text into one.
    pub fn set_document(&mut self, path: &str, bytes: Vec<u8>) {
        let entry = Entry::Document(Bytes::of(&bytes));
        self.bundle.manifest.entries.insert(name(path), entry);
        self.bundle.files.insert(name(path), bytes);
        self.bundle.digest = Digest::of(&canonical::to_bytes(&self.bundle.manifest));
    }

    /// Another text for a file of the overlay.
    pub fn set_file(&mut self, path: EntryPath, text: &str) {
        let Some(Entry::File { bytes, .. }) = self.bundle.manifest.entries.get_mut(&path) else {
            panic!("`{path}` is no file");
        };
        *bytes = Bytes::of(text.as_bytes());
        self.bundle.files.insert(path, text.as_bytes().to_vec());
        self.bundle.digest = Digest::of(&canonical::to_bytes(&self.bundle.manifest));
    }

    pub fn set_health(&mut self, health: HealthDocument) {
        self.set_document(document::HEALTH, canonical::to_bytes(&health));
        self.health = health;
    }

    pub fn set_hooks(&mut self, hooks: HooksDocument) {
        self.set_document(document::HOOKS, canonical::to_bytes(&hooks));
        self.hooks = hooks;
    }

    /// The bundle as the archive that `receive` reads: the manifest first, then every entry.
    pub fn archive(&self) -> Vec<u8> {
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut tar = tar::Builder::new(gzip);
        let manifest = canonical::to_bytes(&self.bundle.manifest);
        append(&mut tar, document::MANIFEST, tar::EntryType::Regular, None, &manifest);
        for (path, entry) in &self.bundle.manifest.entries {
            let bytes = self.bundle.files.get(path).map(Vec::as_slice).unwrap_or_default();
            match entry {
                Entry::Secret { .. } => {}
                Entry::Link { target } => {
                    append(&mut tar, path.as_str(), tar::EntryType::Symlink, Some(target), &[]);
                }
                Entry::Directory { .. } => {
                    append(&mut tar, path.as_str(), tar::EntryType::Directory, None, &[]);
                }
                _ => append(&mut tar, path.as_str(), tar::EntryType::Regular, None, bytes),
            }
        }
        tar.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory takes it all")
    }

    /// Everything that this version owns on the guest.
    pub fn ledger(&self) -> Ledger {
        let mut paths = BTreeMap::new();
        for (path, entry) in self.bundle.manifest.overlay() {
            let below = |base: &str| format!("{base}{path}");
            let placed = match entry {
                Entry::File { class: FileClass::Linked, .. } => {
                    Placed::Link { target: below(layout::CURRENT_OVERLAY) }
                }
                Entry::File { access, bytes, .. } => {
                    Placed::Copy { sha256: bytes.sha256, access: access.clone() }
                }
                Entry::Secret { .. } => Placed::Link { target: below(layout::CURRENT_SECRETS) },
                Entry::Link { target } => Placed::Link { target: target.clone() },
                Entry::Directory { access } => Placed::Directory { access: access.clone() },
                Entry::Document(_) => unreachable!("a document is not in the overlay"),
            };
            paths.insert(path.clone(), placed);
        }
        for (path, file) in [
            (layout::USER_RULES, document::USER_RULES),
            (layout::USER6_RULES, document::USER6_RULES),
        ] {
            let sha256 = Digest::of(&self.bundle.files[&name::<EntryPath>(file)]);
            paths.insert(name(path), Placed::Copy { sha256, access: access("0640") });
        }
        let keys = BTreeMap::from([("ENABLED".to_owned(), "yes".to_owned())]);
        paths.insert(name(layout::UFW_CONF), Placed::Keys { keys });
        if let Some(keys) = self.ufw_defaults() {
            paths.insert(name(layout::UFW_DEFAULTS), Placed::Keys { keys });
        }
        Ledger { paths }
    }

    /// Only where IPv6 is shut: a folder that stands for a guest has no such file.
    fn ufw_defaults(&self) -> Option<BTreeMap<String, String>> {
        let bytes = &self.bundle.files[&name::<EntryPath>(document::UFW)];
        let ufw: UfwDocument = canonical::from_slice(bytes).expect("it is ufw's");
        (!ufw.ipv6).then(|| BTreeMap::from([("IPV6".to_owned(), "no".to_owned())]))
    }

    /// The switch to this version as generation `number`, from what the guest owns now.
    pub fn switch(&self, tx: &str, from: u64, number: u64, owned: &Ledger) -> Switch {
        let ledger = self.ledger();
        let remove = owned.paths.keys().rev().filter(|path| !ledger.paths.contains_key(*path));
        let place =
            ledger.paths.iter().filter(|(path, placed)| owned.paths.get(*path) != Some(placed));
        let app = vec![name("app.service")];
        let first = from == 0;
        let reload = vec![name("ssh.service")];
        Switch {
            tx: name(tx),
            nonce: Nonce(format!("nonce of {tx}")),
            from: GenerationId(from),
            generation: Generation {
                number: GenerationId(number),
                digest: Some(self.bundle.digest),
                release: None,
                secrets: self.secrets_version,
                tags: BTreeMap::new(),
                parent: None,
                cause: GenerationCause::Activate,
                by: "ops@desk".to_owned(),
                at: "2026-11-22T12:00:00Z".to_owned(),
                outcome: Outcome::Pending,
                proxmox: None,
            },
            placement: Placement {
                remove: remove.cloned().collect(),
                place: place.map(|(path, placed)| (path.clone(), placed.clone())).collect(),
            },
            ledger,
            units: UnitActions {
                stop: if first { Vec::new() } else { app.clone() },
                daemon_reload: true,
                reload: reload.clone(),
                restart: Vec::new(),
                start: app.clone(),
            },
            undo_units: UnitActions {
                stop: app.clone(),
                daemon_reload: true,
                reload,
                restart: Vec::new(),
                start: if first { Vec::new() } else { app },
            },
            firewall: FirewallAction::Apply,
            hooks: self.hooks.after_switch.clone(),
            health: self.health.clone(),
        }
    }
}

pub fn append<W: std::io::Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    kind: tar::EntryType,
    target: Option<&str>,
    bytes: &[u8],
) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    match target {
        Some(target) => tar.append_link(&mut header, path, target),
        None => tar.append_data(&mut header, path, bytes),
    }
    .expect("memory takes it all");
}
