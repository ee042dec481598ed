//! Generation 0, the guest as it was found: an empty bundle, and the plan of the way there. Everything that stackc placed
//! leaves, and nothing has to be prepared for that.

use super::{
    Documents, Live, Plan, Step, Wanted, firewall, leaves, packages,
    step::{effect_on, step},
    steps::{confirm, guest_changes},
    switch::{file_changes, unit_changes},
};
use crate::model::{
    AptDocument, Bundle, Bytes, DatabasesDocument, Digest, Entry, EntryPath, HealthDocument,
    Manifest, ProxmoxDocument, ReleaseDocument, Target, canonical, document,
    protocol::ObservedGuest,
};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

const CAUSE: &str =
    "the guest as it was found: what stackc placed leaves, what it took the place of returns";

const BY_ROOT: &str = "; keys and sudo rules that stackc placed leave: from then on root gets in, by the key of the guest's creation";

impl Bundle {
    /// The guest as it was found, as a bundle to plan towards: nothing of it is placed, and no store ever holds it. Its two
    /// documents say how the way there is judged, and where the guest is.
    pub fn found(target: Target, proxmox: &ProxmoxDocument, health: &HealthDocument) -> Self {
        let documents = [
            (document::HEALTH, canonical::to_bytes(health)),
            (document::PROXMOX, canonical::to_bytes(proxmox)),
        ];
        let files: BTreeMap<EntryPath, _> =
            documents.into_iter().map(|(name, bytes)| (path_of(name), bytes)).collect();
        let entry = |(path, bytes): (&EntryPath, &Vec<u8>)| {
            (path.clone(), Entry::Document(Bytes::of(bytes)))
        };
        let entries = files.iter().map(entry).collect();
        let (payload, units) = (Digest::of(b""), BTreeMap::new());
        let manifest = Manifest { target, payload, entries, units };
        Self { digest: Digest::of(&canonical::to_bytes(&manifest)), manifest, files }
    }

    /// Whether this is the guest as it was found. The payload of whatever is compiled is that of something.
    pub fn is_found(&self) -> bool {
        self.manifest.payload == Digest::of(b"")
    }

    /// What a generation of it records; none for the guest as it was found.
    pub fn recorded_digest(&self) -> Option<Digest> {
        (!self.is_found()).then_some(self.digest)
    }
}

fn path_of(document: &str) -> EntryPath {
    document.parse().expect("a document's name is a path of a bundle")
}

/// Adds the steps, unless the guest is there already.
pub(super) fn plan(
    plan: &mut Plan,
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    guest: Option<&ObservedGuest>,
) {
    let Some(guest) = guest.filter(|_| guest_changes(wanted, live, plan)) else { return };
    plan.files = file_changes(wanted, live);
    let of_apt = packages::files(live, &documents.apt).into_iter();
    plan.files.extend(of_apt.filter_map(|(path, change)| Some((path.parse().ok()?, change))));
    plan.firewall = firewall::changes(wanted.bundle, live);
    if guest.recorded.as_ref().is_some_and(|recorded| recorded.found.firewall) {
        plan.firewall.push("+ firewall the kernel's rules as they were found".to_owned());
    }
    plan.units = unit_changes(wanted, documents, live, live.release().is_some(), guest);
    let effect = effect_on(&plan.units);
    let found = guest.recorded.as_ref().map(|recorded| &recorded.found);
    plan.put_back = leaves::put_back(live, wanted.bundle, found);
    let mut stay = stays(live);
    let left = leaves::stays(&plan.files, live, wanted.bundle, found);
    stay.extend(left.into_iter().filter(|words| words != leaves::USERS_STAY));
    plan.steps.push(step(Step::Switch, CAUSE.to_owned(), effect, Some(stay.join("; "))));
    let mut confirm = confirm(documents);
    if takes_way_in(live) {
        confirm.cause.push_str(BY_ROOT);
    }
    plan.steps.push(confirm);
}

/// Whether users get in by files that leave.
fn takes_way_in(live: &Live) -> bool {
    let ways = ["/etc/ssh/authorized_keys.d/", "/etc/sudoers.d/"];
    live.ledger.paths.keys().any(|path| ways.iter().any(|way| path.as_str().starts_with(way)))
}

/// What generations have brought and none takes away.
fn stays(live: &Live) -> Vec<String> {
    let apt: AptDocument = read(live, document::APT).unwrap_or_default();
    let databases: DatabasesDocument = read(live, document::DATABASES).unwrap_or_default();
    let release: Option<ReleaseDocument> = read(live, document::RELEASE);
    let has_users = |manifest: &Manifest| {
        manifest.overlay().any(|(path, _)| path.as_str().starts_with("/etc/sysusers.d/"))
    };
    let told = [
        (!apt.packages.is_empty(), "packages stay installed"),
        (live.manifest.as_ref().is_some_and(has_users), leaves::USERS_STAY),
        (databases.all().next().is_some(), "databases stay"),
        (release.is_some_and(|release| !release.shared.is_empty()), "what releases share stays"),
        (true, "settings in Proxmox stay"),
    ];
    told.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned()).collect()
}

/// What the live bundle says; none also when this version of stackc cannot read it.
fn read<T: DeserializeOwned>(live: &Live, name: &str) -> Option<T> {
    serde_json::from_str(live.documents.get(name)?).ok()
}
