//! The plan: ordered steps, each with its cause.

use super::{
    Documents, Live, PlanError, SettingChange, When, difference, foreign, found, hooks, leaves,
    packages, passwords, recreation, release, setting_changes,
    step::{Effect, Plan, PlannedStep, Step, Wanted, effect_on, step},
    switch::{file_changes, unit_changes},
    units::unread,
};
use crate::model::{
    Container, ContainerOptions, DatabaseName, DatabaseServer, Manifest, OwnedDatabase,
    ProxmoxDocument, SecretName, SecretTags, document, protocol::ObservedGuest,
};
use std::collections::{BTreeMap, BTreeSet};

/// Told once, whichever hooks there are.
const HOOKS_STAY: &str = "what hooks did stays";

/// Plans the way of one guest to its bundle. `container` and `guest` are what is there; none before it is created.
pub fn plan(
    wanted: &Wanted<'_>,
    documents: &Documents,
    container: Option<&Container>,
    guest: Option<&ObservedGuest>,
) -> Result<Plan, PlanError> {
    let live = guest.map_or_else(Live::nothing, |observed| Live::of(observed, wanted.bundle));
    let mut plan = Plan {
        target: wanted.bundle.manifest.target.clone(),
        vmid: documents.proxmox.vmid,
        digest: wanted.bundle.recorded_digest(),
        from: live.generation.as_ref().map(|g| g.number),
        from_digest: live.generation.as_ref().and_then(|g| g.digest),
        off: guest.is_none() && container.is_some_and(|container| !container.running),
        steps: Vec::new(),
        files: BTreeMap::new(),
        foreign: BTreeMap::new(),
        foreign_differences: BTreeMap::new(),
        firewall: Vec::new(),
        units: BTreeMap::new(),
        unread: BTreeMap::new(),
        put_back: Vec::new(),
        hooks: Vec::new(),
        drift: guest.map(|g| g.drift.clone()).unwrap_or_default(),
        runtime_drift: guest.map(|g| g.runtime_drift.clone()).unwrap_or_default(),
        waiting: Vec::new(),
        kept: Vec::new(),
        pending: guest.and_then(|g| g.pending.clone()),
    };
    if wanted.bundle.is_found() {
        found::plan(&mut plan, wanted, documents, &live, guest);
        return Ok(plan);
    }
    let network = provision(&mut plan, (documents, wanted.goes_back), container)?;
    if plan.off {
        return Ok(plan);
    }
    passwords::refuse_others(wanted, documents, &live)?;
    if guest_changes(wanted, &live, &plan) {
        prepare(&mut plan, wanted, documents, &live, guest);
    }
    plan.steps.extend(network);
    Ok(plan)
}

/// Whether anything differs that only a new generation can change.
pub(super) fn guest_changes(wanted: &Wanted<'_>, live: &Live, plan: &Plan) -> bool {
    live.generation.as_ref().is_none_or(|live| {
        live.digest != wanted.bundle.recorded_digest()
            || live.secrets != wanted.secrets
            || live.tags != *wanted.tags
            || wanted.release.is_some_and(|release| live.release != Some(release))
            || !plan.drift.is_empty()
            || !plan.runtime_drift.is_empty()
    })
}

/// What a new guest is made of, for the one who approves it.
fn size_of(guest: &ProxmoxDocument, options: &ContainerOptions) -> String {
    let template = options.template.rsplit('/').next().unwrap_or(&options.template);
    format!(
        "{} cores, {} MiB, {} GiB on {}, {} on {}, {template}",
        guest.cores, guest.memory_mib, guest.disk_gib, guest.storage, guest.ip, guest.bridge
    )
}

/// Steps about the guest as Proxmox has it. Returns the one that comes last of all.
fn provision(
    plan: &mut Plan,
    (documents, goes_back): (&Documents, bool),
    container: Option<&Container>,
) -> Result<Option<PlannedStep>, PlanError> {
    let options = recreation::container_of(&plan.target, documents)?;
    let wanted = &documents.proxmox;
    let Some(found) = container else {
        let cause = format!("there is no guest {}: {}", wanted.vmid, size_of(wanted, options));
        let stays = "the guest stays when its first activation is undone".to_owned();
        plan.steps.push(step(Step::Create, cause, Effect::Boot, Some(stays)));
        plan.steps.push(step(Step::Start, "it is new".to_owned(), Effect::Boot, None));
        return Ok(None);
    };
    if goes_back {
        // What was live cannot be defined otherwise any more.
        plan.kept = recreation::kept(wanted, options, found);
    } else {
        recreation::refuse(&plan.target, wanted, options, found)?;
    }
    let (last, now): (Vec<_>, Vec<_>) = setting_changes(wanted, options, found)
        .into_iter()
        .partition(|change| change.when == When::AfterConfirm);
    plan.waiting = now
        .iter()
        .filter(|change| change.when == When::NextStart && found.running)
        .map(|change| change.name().to_owned())
        .chain(found.pending.iter().cloned())
        .collect();
    if !now.is_empty() {
        let names: Vec<_> = now.iter().map(SettingChange::name).collect();
        let cause = format!("{} differ in Proxmox", names.join(", "));
        plan.steps.push(step(Step::Settings(now), cause, Effect::Nothing, None));
    }
    if found.disk_gib < wanted.disk_gib {
        let (from_gib, to_gib) = (found.disk_gib, wanted.disk_gib);
        let stays = "a disk that has grown does not shrink again".to_owned();
        let cause = format!("the disk has {from_gib} GiB");
        plan.steps.push(step(Step::Grow { from_gib, to_gib }, cause, Effect::Nothing, Some(stays)));
    }
    if !found.running {
        plan.steps.push(step(Step::Start, "it is stopped".to_owned(), Effect::Boot, None));
    }
    Ok(last.into_iter().next().map(|change| {
        let cause = format!("the network is {}", change.from);
        step(Step::Network(Box::new(change)), cause, Effect::Restart, None)
    }))
}

/// Steps on the guest, slow ones first: nothing of them touches what runs before the switch.
fn prepare(
    plan: &mut Plan,
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    guest: Option<&ObservedGuest>,
) {
    let cause = why(plan, wanted, live);
    let mut add = |kind, cause: &str, stays: Option<&str>| {
        plan.steps.push(step(kind, cause.to_owned(), Effect::Nothing, stays.map(str::to_owned)));
    };
    if !guest.is_some_and(|guest| guest.has_tree) {
        add(Step::Receive, "the guest does not have this bundle", None);
    }
    if packages::touch(wanted, documents, live, guest) {
        let cause = packages::cause(documents, live, guest);
        let files = packages::files(live, &documents.apt).into_iter();
        let files = files.map(|(path, change)| format!("{} {path}", change.sign())).collect();
        add(Step::Packages(files), &cause, Some("packages stay installed"));
    }
    let stays = makes_users(wanted, live).then_some(leaves::USERS_STAY);
    add(Step::Accounts, "users, folders and owners of the new files", stays);
    if ensures_databases(wanted, documents, live) {
        add(Step::Databases, &databases_cause(documents), Some("databases stay"));
    }
    if !guest.is_some_and(|guest| guest.secrets.contains(&wanted.secrets)) {
        let cause = if wanted.goes_back {
            "the guest has lost those of that time: today's take their place"
        } else {
            "the guest does not have this set of secrets"
        };
        add(Step::Secrets, cause, None);
    }
    let release = release::changes(wanted, documents, live);
    if let Some(document) = documents.release.as_ref().filter(|_| release) {
        let commit = document.commit.get(..12).unwrap_or(&document.commit);
        let known = wanted.release.filter(|id| guest.is_some_and(|g| g.releases.contains(id)));
        if known.is_none() {
            let cause = format!("commit {commit} of {} ({})", document.branch, document.repo);
            add(Step::Release, &cause, None);
        }
    }
    add(Step::Validate, "the files that others' programs read", None);
    if release
        && documents.release.as_ref().is_some_and(|r| !r.migrate.is_empty())
        && wanted.release.is_none()
    {
        plan.steps.push(migration(documents, live, guest));
    }
    if !documents.hooks.before_switch.is_empty() {
        let lines = hooks::lines(&documents.hooks.before_switch);
        let cause = "the bundle's own, on each switch to it; a failure leaves all as it is";
        let stays = Some(HOOKS_STAY.to_owned());
        plan.steps.push(step(Step::Hooks(lines), cause.to_owned(), Effect::Nothing, stays));
    }
    switch_over(plan, wanted, documents, live, guest, (cause, release));
}

/// The step that brings what the app keeps to what the new release expects.
fn migration(documents: &Documents, live: &Live, guest: Option<&ObservedGuest>) -> PlannedStep {
    let stops = documents.release.as_ref().is_some_and(|release| release.stop_for_migrate);
    let rest = guest.filter(|_| stops).map(|guest| live.running_of_release(&guest.units));
    let rest = rest.unwrap_or_default();
    let effect = if rest.is_empty() { Effect::Nothing } else { Effect::Restart };
    let stays = "what a migration did to the app's records stays".to_owned();
    step(Step::Migrate { rest }, "the release is another one".to_owned(), effect, Some(stays))
}

/// Whether it has users, or other ones, that the live generation has not.
fn makes_users(wanted: &Wanted<'_>, live: &Live) -> bool {
    let mut files = wanted.bundle.manifest.overlay();
    files.any(|(path, entry)| {
        let is_same = |live: &Manifest| live.overlay().any(|other| other == (path.clone(), entry));
        path.as_str().starts_with("/etc/sysusers.d/")
            && !live.manifest.as_ref().is_some_and(is_same)
    })
}

/// The switch with all that it changes, and its confirm.
fn switch_over(
    plan: &mut Plan,
    wanted: &Wanted<'_>,
    documents: &Documents,
    live: &Live,
    guest: Option<&ObservedGuest>,
    (cause, release): (String, bool),
) {
    plan.hooks = hooks::lines(&documents.hooks.after_switch);
    plan.files = file_changes(wanted, live);
    plan.foreign = guest.map(|g| g.foreign.clone()).unwrap_or_default();
    plan.foreign_differences = foreign::differences(&plan.foreign, wanted.bundle);
    plan.firewall = super::firewall::changes(wanted.bundle, live);
    // A guest that cannot be asked yet is planned as an empty one.
    plan.units = guest.map_or_else(
        || difference::unit_changes(None, wanted.bundle),
        |guest| unit_changes(wanted, documents, live, release, guest),
    );
    if let Some(guest) = guest {
        let manifests = [live.manifest.as_ref(), Some(&wanted.bundle.manifest)];
        let changed = plan.files.keys().chain(plan.drift.keys());
        plan.unread = unread(changed, manifests, &plan.units, &guest.units);
    }
    let effect = guest.map_or(Effect::Nothing, |_| effect_on(&plan.units));
    let found = guest.and_then(|guest| guest.recorded.as_ref()).map(|recorded| &recorded.found);
    plan.put_back = leaves::put_back(live, wanted.bundle, found);
    let mut stays = leaves::stays(&plan.files, live, wanted.bundle, found);
    let said = |words: &String| plan.steps.iter().any(|s| s.stays.as_ref() == Some(words));
    stays.retain(|words| !said(words));
    let told = documents.hooks.before_switch.is_empty() && !plan.hooks.is_empty();
    stays.extend(told.then(|| HOOKS_STAY.to_owned()));
    let stays = (!stays.is_empty()).then(|| stays.join("; "));
    plan.steps.push(step(Step::Switch, cause, effect, stays));
    plan.steps.push(confirm(documents));
}

/// The step that keeps a switch.
pub(super) fn confirm(documents: &Documents) -> PlannedStep {
    let deadline = documents.health.confirm_seconds;
    let cause = format!("over a new connection; without it the guest goes back after {deadline} s");
    step(Step::Confirm, cause, Effect::Nothing, None)
}

/// Whether a database or a role may be missing, or has another password. Nothing drops one, so those of a bundle that was
/// live before are there.
fn ensures_databases(wanted: &Wanted<'_>, documents: &Documents, live: &Live) -> bool {
    let may_be_missing = !wanted.goes_back && !live.has_same(wanted.bundle, document::DATABASES);
    let passwords = documents.databases.passwords();
    documents.databases.all().next().is_some()
        && (may_be_missing || secrets_differ(&passwords, &live.tags(), wanted.tags))
}

fn databases_cause(documents: &Documents) -> String {
    let name = |(server, name, database): (DatabaseServer, &DatabaseName, &OwnedDatabase)| {
        format!("{} {name} of {}", server.name(), database.owner)
    };
    documents.databases.all().map(name).collect::<Vec<_>>().join(", ")
}

/// Whether any of these secrets has another value.
pub fn secrets_differ(
    names: &BTreeSet<SecretName>,
    before: &SecretTags,
    after: &SecretTags,
) -> bool {
    names.iter().any(|name| before.get(name) != after.get(name))
}

fn why(plan: &Plan, wanted: &Wanted<'_>, live: &Live) -> String {
    match &live.generation {
        None => "it is the first generation".to_owned(),
        Some(live) if live.digest.is_none() => "the guest is as it was found".to_owned(),
        Some(live) if live.digest != Some(wanted.bundle.digest) => "the bundle differs".to_owned(),
        Some(live) if live.tags != *wanted.tags => {
            let changed = wanted.tags.iter().filter(|(name, tag)| live.tags.get(name) != Some(tag));
            let names: Vec<_> = changed.map(|(name, _)| name.as_str()).collect();
            format!("secrets differ: {}", names.join(", "))
        }
        Some(_) if !plan.drift.is_empty() || !plan.runtime_drift.is_empty() => what_drifted(plan),
        Some(_) => "the release or the set of secrets differs".to_owned(),
    }
}

fn what_drifted(plan: &Plan) -> String {
    let runtime = &plan.runtime_drift;
    let reasons = [
        (!plan.drift.is_empty(), "files were changed by hand"),
        (runtime.units.values().any(|down| down.by_hand()), "units were stopped by hand"),
        (runtime.failed().next().is_some(), "units failed"),
        (!runtime.firewall.is_empty(), "the kernel's rules are not the bundle's"),
        (!runtime.drop_ins.is_empty(), "drop-ins of others change units"),
        (!runtime.enabled.is_empty(), "units were enabled by hand"),
    ];
    let reasons = reasons.iter().filter(|(is_so, _)| *is_so).map(|(_, words)| *words);
    reasons.collect::<Vec<_>>().join(", ")
}
