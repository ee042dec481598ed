//! A guest as its definitions say → Bundle: every entry with its hash, the manifest with its digest.

use super::sections::{
    firewall::{self, Firewall, rule::Family},
    overlay::{Item, Overlay},
    units::Inputs,
};
use super::source::At;
use crate::model::{
    AptDocument, Bundle, Bytes, DatabasesDocument, Digest, Entry, EntryPath, GuestPath,
    HealthDocument, HooksDocument, Manifest, ProxmoxDocument, ReleaseDocument, Target, canonical,
    document, layout,
};
use std::collections::BTreeMap;

/// A guest as its definitions say, before its parts are bytes with hashes.
pub struct Lowered {
    pub target: Target,
    /// What it is made of that does not depend on the env (design.md §6).
    pub payload: Digest,
    pub overlay: Overlay,
    pub inputs: Inputs,
    pub guest: ProxmoxDocument,
    /// None for a guest that is to have no ufw.
    pub firewall: Option<Firewall>,
    pub firewall_at: At,
    pub health: HealthDocument,
    pub apt: AptDocument,
    pub databases: DatabasesDocument,
    pub hooks: Option<HooksDocument>,
    pub release: Option<ReleaseDocument>,
}

impl Lowered {
    /// Where what will stand on the guest was written.
    pub fn places(&self) -> BTreeMap<GuestPath, At> {
        let rules = [layout::USER_RULES, layout::USER6_RULES];
        let rules = rules
            .map(|path| (path.parse().expect("ufw's files have plain names"), self.firewall_at));
        let items = self.overlay.items.iter().map(|(path, (_, at))| (path.clone(), *at));
        items.chain(rules).collect()
    }

    /// Puts the bundle together.
    pub fn seal(self) -> Bundle {
        let (mut files, mut entries) = (BTreeMap::new(), BTreeMap::new());
        for (name, bytes) in self.documents() {
            let path: EntryPath = name.parse().expect("documents have plain names");
            entries.insert(path.clone(), Entry::Document(Bytes::of(&bytes)));
            files.insert(path, bytes);
        }
        let Self { target, payload, overlay, mut inputs, .. } = self;
        for (on_guest, (item, _)) in overlay.items {
            let path = EntryPath::of_overlay(&on_guest);
            let entry = match item {
                Item::Link { target } => Entry::Link { target },
                Item::Directory { access } => Entry::Directory { access },
                Item::Secret { access, encoder, parts } => Entry::Secret { access, encoder, parts },
                Item::File { class, access, bytes } => {
                    let (unit, hash) = (inputs.own.remove(&on_guest), Bytes::of(&bytes));
                    files.insert(path.clone(), bytes);
                    Entry::File { class, access, bytes: hash, unit }
                }
            };
            entries.insert(path, entry);
        }
        let manifest = Manifest { target, payload, entries, units: inputs.foreign };
        Bundle { digest: Digest::of(&canonical::to_bytes(&manifest)), manifest, files }
    }

    fn documents(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut documents = vec![
            (document::APT, canonical::to_bytes(&self.apt)),
            (document::DATABASES, canonical::to_bytes(&self.databases)),
            (document::HEALTH, canonical::to_bytes(&self.health)),
            (document::PROXMOX, canonical::to_bytes(&self.guest)),
        ];
        if let Some(Firewall { settings, rules, .. }) = &self.firewall {
            let rules = |family| firewall::file::rules_file(family, settings, rules).into_bytes();
            documents.push((document::UFW, canonical::to_bytes(settings)));
            documents.push((document::USER_RULES, rules(Family::V4)));
            documents.push((document::USER6_RULES, rules(Family::V6)));
        }
        let (hooks, release) = (&self.hooks, &self.release);
        documents.extend(hooks.as_ref().map(|it| (document::HOOKS, canonical::to_bytes(it))));
        documents.extend(release.as_ref().map(|it| (document::RELEASE, canonical::to_bytes(it))));
        documents
    }
}
