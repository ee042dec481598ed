//! One guest: its merged layers → its bundle.

use super::{
    layers,
    lock::{self, Pinned},
    report::{Code, Mistake},
    schema,
    seal::Lowered,
    sections::{
        accounts, apt, conffiles, databases, files, firewall, folders, guest, health, homes, hooks,
        identity::{Claims, Identity, Written},
        ignored, links, log_rotation,
        logins::{self, Login},
        overlay::Overlay,
        owners, ports, release, shells,
        site::SiteFacts,
        system,
        units::{self, Makers, Packages},
        variables,
    },
    source::define::Definitions,
    source::{At, Files},
    template::scope::{self, Scopes, plain_table},
    template::{Scope, Templates},
    view::View,
};
use crate::model::{
    BUNDLE_BYTES_MAX, BranchName, Digest, ENTRIES_MAX, FILE_BYTES_MAX, ProxmoxDocument,
    ReleaseDocument, Target, canonical,
};
use serde_json::json;
use std::{cell::RefCell, collections::BTreeMap};

/// Whether a release without its pin is a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pins {
    Needed,
    /// `stackc lock` is going to make them.
    Ignored,
}

/// What all guests share.
pub struct Shared<'a> {
    pub definitions: &'a Definitions,
    pub files: &'a Files,
    pub templates: &'a Templates,
    pub site: &'a SiteFacts,
    pub pins: Pins,
}

/// What a guest is made from.
pub struct Source<'a> {
    pub target: &'a Target,
    pub env: &'a layers::Env<'a>,
    pub written: &'a Written,
}

/// Where the app of a guest comes from: what `stackc lock` resolves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    pub repo: String,
    pub branch: BranchName,
    pub subfolder: String,
}

/// What came out for one guest.
pub struct Outcome {
    /// There unless something is missing; worth nothing when there are mistakes.
    pub lowered: Option<Lowered>,
    pub branch: Option<Branch>,
    /// What no other guest may have.
    pub claims: Claims,
    pub mistakes: Vec<Mistake>,
}

/// Compiles a guest.
pub fn compile(shared: &Shared<'_>, source: &Source<'_>) -> Outcome {
    let (mut claims, mut mistakes) = (source.written.claims(), Vec::new());
    let Some(stack) = source.env.stack(&mut mistakes) else {
        // The kind that is not there has been told; all else would only follow from that.
        return Outcome { lowered: None, branch: None, claims, mistakes };
    };
    let mistakes = RefCell::new(mistakes);
    let scopes = Scopes { shared, source, stack: &stack, mistakes: &mistakes };
    let secret_names = scope::secret_names(&stack);
    let scope = scopes.full(&secret_names);
    let lowering = scopes.lowering(&scope, &secret_names);
    let stack = lowering.view(schema::LAYER, &stack);
    let branch = branch(&stack, source);
    let guest = source.written.identity().and_then(|identity| {
        let own_file = source.env.at.file;
        let reading = guest::Reading { identity: &identity, site: shared.site, own_file };
        guest::read(&stack, &reading, &mut claims)
    });
    let lowered = lower(shared, source, &stack, (&scope, guest), branch.as_ref());
    Outcome { lowered, branch, claims, mistakes: mistakes.into_inner() }
}

fn branch(stack: &View<'_>, source: &Source<'_>) -> Option<Branch> {
    let written = source.env.below.project;
    let project = stack.lowering.table(schema::PROJECT, written.at, &written.table);
    let env = stack.lowering.table(schema::ENV, source.env.at, source.env.table);
    let Some(repo) = project.text("repo") else {
        if let Some(branch) = env.node("branch") {
            let title = "a branch of no repository";
            env.report(
                Mistake::new(Code::BranchWithoutRepo, branch.at, title)
                    .help("add `repo` to `[project]`"),
            );
        } else if project.node("repo").is_none() {
            release::check_repo_is_named(stack, project.at);
        }
        return None;
    };
    let is_readable = check_repo(&project, &repo.value, repo.at);
    let branch = env.need::<BranchName>("branch")?.value;
    if !is_readable {
        return None;
    }
    let subfolder = stack.table("release").text("subfolder");
    let subfolder = subfolder.map_or_else(String::new, |text| text.value);
    Some(Branch { repo: repo.value, branch, subfolder })
}

/// Whether stackc reads such a repository; no pin of another one is to be told.
fn check_repo(project: &View<'_>, repo: &str, at: At) -> bool {
    let remote = ["https://", "ssh://"].iter().any(|scheme| {
        repo.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('-'))
    });
    let has_password = repo
        .split_once("://")
        .and_then(|(_, rest)| rest.split('/').next()?.rsplit_once('@'))
        .is_some_and(|(user, _)| user.contains(':'));
    let folder = !repo.contains(':')
        && !repo.starts_with(['/', '-'])
        && !repo.is_empty()
        && repo.split('/').all(|part| !["", ".", ".."].contains(&part));
    if has_password {
        let title = "a repository's address must not have a password";
        let help = "let git take it from a credential helper or an SSH key";
        project.report(Mistake::new(Code::PasswordInAddress, at, title).help(help));
    } else if !remote && !folder {
        let title = format!("`{repo}` is no repository that stackc reads");
        let help = "write https://…, ssh://…, or a folder of the workspace without `..`";
        project.report(Mistake::new(Code::BadRepo, at, title).help(help));
    }
    !has_password && (remote || folder)
}

/// The pin that belongs to a branch.
fn pin(
    shared: &Shared<'_>,
    source: &Source<'_>,
    stack: &View<'_>,
    branch: &Branch,
) -> Option<Pinned> {
    if shared.pins == Pins::Ignored {
        return None;
    }
    let target = source.target;
    let at = source.env.table.get("branch").map_or(source.env.at, |member| member.node.at);
    let Some((pin_at, table)) = shared.definitions.pins.get(target) else {
        let title =
            format!("the branch `{}` of `{target}` is not pinned to a commit", branch.branch);
        stack.report(
            Mistake::new(Code::NotPinned, at, title).help(format!("run `stackc lock {target}`")),
        );
        return None;
    };
    let pin = lock::pinned(*pin_at, table, &mut stack.lowering.mistakes.borrow_mut())?;
    if pin.repo != branch.repo || pin.branch != branch.branch.as_str() {
        let title = format!("the pin of `{target}` is for `{}` of `{}`", pin.branch, pin.repo);
        let help = format!("run `stackc lock {target}`");
        stack.report(
            Mistake::new(Code::StalePin, *pin_at, title).also(at, "another is wanted").help(help),
        );
        return None;
    }
    Some(pin)
}

fn lower(
    shared: &Shared<'_>,
    source: &Source<'_>,
    stack: &View<'_>,
    (scope, guest): (&Scope, Option<ProxmoxDocument>),
    branch: Option<&Branch>,
) -> Option<Lowered> {
    let mut overlay = Overlay::default();
    let env_file = variables::env_file(stack, &mut overlay);
    links::add(stack, &mut overlay);
    files::add(stack, scope, &mut overlay);
    accounts::add(stack, &shared.definitions.keys, &mut overlay);
    system::add(stack, guest::Image::of(guest.as_ref()), &mut overlay);
    let written = units::add(stack, &mut overlay);
    log_rotation::add(stack, &mut overlay);
    let links = release::add_links(stack, &mut overlay);
    let own = source.written.identity().iter().flat_map(Identity::addresses).collect::<Vec<_>>();
    let firewall = firewall::read(stack, &shared.site.management, &own);
    let origin = branch.map(|branch| release::Origin {
        repo: branch.repo.clone(),
        branch: branch.branch.to_string(),
        pin: pin(shared, source, stack, branch),
    });
    let release = release::read(stack, origin, env_file);
    let apt = apt::read(stack, &shared.definitions.keys);
    let databases = databases::read(stack, &mut overlay);
    let hooks = hooks::read(stack);
    let health = health::read(stack, guest.as_ref());
    let packages = Packages::of(&apt, guest.as_ref());
    let units = units::gather(&overlay, &written, shared.files);
    let makers = Makers::new(stack, &overlay, &units, &packages);
    units::check(&makers, &written);
    release::check_shared(stack, &units);
    shells::check(&makers);
    let user = shared.site.site.as_ref().map_or("root", |site| site.access.user.as_str());
    let (management, admin_keys) = (&shared.site.management, &shared.site.admin_keys);
    logins::check(&makers, &Login { user, own: &own, management, admin_keys });
    check(stack, &overlay, &packages);
    if let Some(options) = guest.as_ref().and_then(ProxmoxDocument::container) {
        guest::check_mounts(stack, &overlay, &options.mounts);
        if !options.nesting {
            units::check_nesting(stack, &units);
        }
    }
    Some(Lowered {
        target: source.target.clone(),
        payload: payload(source, release.as_ref(), &apt.packages),
        inputs: units::inputs(&overlay, &units, &links),
        overlay,
        guest: guest?,
        firewall: firewall?.where_there_is_one(stack),
        firewall_at: stack.table("firewall").at,
        health: health?,
        apt,
        databases,
        hooks,
        release,
    })
}

/// What is wrong with the whole that none of its parts could tell.
fn check(stack: &View<'_>, overlay: &Overlay, packages: &Packages) {
    links::check(stack, overlay);
    overlay.check_tree(&mut stack.lowering.mistakes.borrow_mut());
    conffiles::check(stack, overlay, packages);
    folders::check(stack, overlay, packages);
    ignored::check(stack, overlay);
    log_rotation::check(stack, overlay, packages);
    ports::check(stack, overlay);
    homes::check(stack, overlay);
    owners::check_secrets(stack, overlay);
    check_sizes(stack, overlay);
}

fn check_sizes(stack: &View<'_>, overlay: &Overlay) {
    let mut total = 0;
    for (path, (item, at)) in &overlay.items {
        let size = item.size();
        total += size;
        if size > FILE_BYTES_MAX {
            let title = format!("`{path}` has {size} bytes; a file of a bundle has at most 1 MiB");
            let help = "let the app bring it: a release has no such limit";
            stack.report(Mistake::new(Code::FileTooBig, *at, title).help(help));
        }
    }
    if total > BUNDLE_BYTES_MAX || overlay.items.len() > ENTRIES_MAX {
        let title = format!("the bundle is too big: at most 64 MiB and {ENTRIES_MAX} entries");
        let help = "let the app bring its data: a release has no such limit";
        stack.report(Mistake::new(Code::BundleTooBig, stack.at, title).help(help));
    }
}

/// SHA-256 over what does not depend on the env (design.md §6).
fn payload(
    source: &Source<'_>,
    release: Option<&ReleaseDocument>,
    packages: &BTreeMap<crate::model::PackageName, String>,
) -> Digest {
    let layers = source.env.below;
    let commands = release.map(|release| (&release.build, &release.migrate, &release.build_env));
    Digest::of(&canonical::to_bytes(&json!({
        "kind": layers.kind_files,
        // As text: a definition may have numbers that canonical JSON has not.
        "project": plain_table(&layers.project.table).to_string(),
        "tree": release.map(|release| &release.tree),
        "commands": commands,
        "packages": packages,
    })))
}
