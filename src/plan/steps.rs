//! The plan: ordered steps, each with its cause.

use super::{
    Documents, FileChange, Live, PlanError, SettingChange, UnitChange, UnitDecision, When,
    difference::{self, FileDifference},
    foreign, found, hooks, leaves, packages, passwords, recreation, release, setting_changes,
    switch::{file_changes, unit_changes},
    units::unread,
};
use crate::model::{
    Bundle, Container, ContainerOptions, DatabaseName, DatabaseServer, Digest, GenerationId,
    GuestPath, OwnedDatabase, ProxmoxDocument, ReleaseId, RuntimeDrift, SecretName, SecretTags,
    SecretsVersion, Sight, Target, UnitName, Vmid, document,
    protocol::{ObservedGuest, PendingTx},
};
use std::collections::{BTreeMap, BTreeSet};

/// Told once, whichever hooks there are.
const HOOKS_STAY: &str = "what hooks did stays";

/// What is to be live.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub bundle: &'a Bundle,
    pub tags: &'a SecretTags,
    pub secrets: SecretsVersion,
    /// A release that is to be taken as it is: that of the generation to go back to.
    pub release: Option<ReleaseId>,
    /// Whether this bundle was live before.
    pub goes_back: bool,
}

/// One step of an activation, with everything that it needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Create,
    Settings(Vec<SettingChange>),
    Grow {
        from_gib: u32,
        to_gib: u32,
    },
    Start,
    Receive,
    /// A line for each file of apt that differs.
    Packages(Vec<String>),
    Accounts,
    Databases,
    Secrets,
    Release,
    Validate,
    Migrate,
    /// A line for each command.
    Hooks(Vec<String>),
    Switch,
    Confirm,
    Network(Box<SettingChange>),
}

/// What a step does to what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    Nothing,
    Reload,
    Restart,
    /// The whole guest comes up.
    Boot,
}

/// A step in a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStep {
    pub step: Step,
    pub cause: String,
    pub effect: Effect,
    /// What an undo and a rollback leave as it is.
    pub stays: Option<String>,
}

/// Everything that an activation would do, in order. Empty: the guest is what its bundle says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub target: Target,
    pub vmid: Vmid,
    /// The wanted bundle; none when the guest is to be as it was found.
    pub digest: Option<Digest>,
    /// The live generation that the plan was made against; none on a guest that stackc has not changed yet.
    pub from: Option<GenerationId>,
    pub from_digest: Option<Digest>,
    pub steps: Vec<PlannedStep>,
    pub files: BTreeMap<GuestPath, FileChange>,
    /// What others have where the bundle's files come, and what differs.
    pub foreign: BTreeMap<GuestPath, Sight>,
    pub foreign_differences: BTreeMap<GuestPath, FileDifference>,
    /// Rules and settings of the firewall that come and go.
    pub firewall: Vec<String>,
    pub units: BTreeMap<UnitName, UnitChange>,
    /// Files that change, and packages' units that read them at their start alone, and run on.
    pub unread: BTreeMap<GuestPath, UnitName>,
    /// Kernel parameters that leave, and have their values of before again.
    pub put_back: Vec<String>,
    /// What the switch runs when the units are up, a line each.
    pub hooks: Vec<String>,
    /// Paths that somebody changed by hand, with what is there.
    pub drift: BTreeMap<GuestPath, String>,
    /// What runs otherwise than the live generation has it.
    pub runtime_drift: RuntimeDrift,
    /// Settings that differ and only take effect when the guest starts again.
    pub waiting: Vec<String>,
    /// A transaction that is not over: what is live now may not stay.
    pub pending: Option<PendingTx>,
}

impl Plan {
    /// Whether there is nothing to do, and nothing under way.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.pending.is_none()
    }
}

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
        pending: guest.and_then(|g| g.pending.clone()),
    };
    if wanted.bundle.is_found() {
        found::plan(&mut plan, wanted, documents, &live, guest);
        return Ok(plan);
    }
    let network = provision(&mut plan, documents, container)?;
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
    documents: &Documents,
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
    recreation::refuse(&plan.target, wanted, options, found)?;
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
    let makes_users = wanted
        .bundle
        .manifest
        .overlay()
        .any(|(path, _)| path.as_str().starts_with("/etc/sysusers.d/"));
    let stays = makes_users.then_some(leaves::USERS_STAY);
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
        add(
            Step::Migrate,
            "the release is another one",
            Some("what a migration did to the app's records stays"),
        );
    }
    if !documents.hooks.before_switch.is_empty() {
        let lines = hooks::lines(&documents.hooks.before_switch);
        let cause = "the bundle's own, on each switch to it; a failure leaves all as it is";
        add(Step::Hooks(lines), cause, Some(HOOKS_STAY));
    }
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

/// The most that happens to a unit.
pub(super) fn effect_on(units: &BTreeMap<UnitName, UnitChange>) -> Effect {
    let effects = units.values().map(|change| effect_of(change.decision));
    effects.max().unwrap_or(Effect::Nothing)
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
    ];
    let reasons = reasons.iter().filter(|(is_so, _)| *is_so).map(|(_, words)| *words);
    reasons.collect::<Vec<_>>().join(", ")
}

fn effect_of(decision: UnitDecision) -> Effect {
    match decision {
        UnitDecision::Reload => Effect::Reload,
        UnitDecision::LeftAlone => Effect::Nothing,
        UnitDecision::Restart
        | UnitDecision::StopThenStart
        | UnitDecision::Start
        | UnitDecision::Stop => Effect::Restart,
    }
}

pub(super) fn step(
    step: Step,
    cause: String,
    effect: Effect,
    stays: Option<String>,
) -> PlannedStep {
    PlannedStep { step, cause, effect, stays }
}
