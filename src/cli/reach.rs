//! Which guests words mean for the verbs that look and go back. They need no definitions that compile: what is built in
//! `out/`, and the marks in Proxmox, do as well.

use super::{
    fleet::Fleet,
    output,
    workspace::{self, Workspace},
};
use crate::{
    activate::{Failed, Found, find},
    compile::{self, Report, Sources, Survey, Told},
    model::{Bundle, Digest, Target, Vmid},
    plan::Documents,
    store::read_sources,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::ExitCode,
};

/// What the workspace says of a target today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Definition {
    /// The bundle that it compiles to.
    Compiles(Box<Bundle>),
    /// The first mistake in its way, in one line.
    Broken(String),
    /// It is in no definition, or no longer.
    Absent,
}

impl Definition {
    /// What of it stands in documents for programs: a word, the wanted digest, the mistake.
    pub fn told(&self) -> (&'static str, Option<Digest>, Option<&str>) {
        match self {
            Self::Compiles(bundle) => ("compiles", Some(bundle.digest), None),
            Self::Broken(mistake) => ("broken", None, Some(mistake)),
            Self::Absent => ("absent", None, None),
        }
    }
}

/// A target, and what is known of it before its guest is asked.
#[derive(Debug)]
pub struct Sought {
    pub target: Target,
    pub definition: Definition,
    place: Place,
}

/// Where a guest is thought to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Its last bundle or its definition says so; none: it is to be searched for.
    Said(Option<Vmid>),
    /// Every guest was listed, and none has its mark.
    Nowhere,
}

impl Sought {
    /// The number at which its guest is thought to be.
    pub fn vmid(&self) -> Option<Vmid> {
        match self.place {
            Place::Said(vmid) => vmid,
            Place::Nowhere => None,
        }
    }

    /// Looks at its guest.
    pub fn look(&self, fleet: &Fleet) -> Result<Found, Failed> {
        match self.place {
            Place::Said(vmid) => {
                let progress = fleet.progress(&self.target);
                fleet.with_seams(&progress, |seams| find(seams, &self.target, vmid))
            }
            Place::Nowhere => Ok(Found::nothing()),
        }
    }
}

/// The targets that words mean; without words every one that is defined or has a guest.
///
/// # Errors
/// With the exit code, after the errors have been printed.
pub fn seek(
    fleet: &Fleet,
    workspace: &Workspace,
    words: &[String],
) -> Result<Vec<Sought>, ExitCode> {
    let local = Local::read(workspace);
    let mut known = local.tags();
    known.extend(built(fleet, words).map(|target| (target, BTreeSet::new())));
    let marks = if words.is_empty() || !words.iter().all(|word| names_one(word, &known)) {
        list_marks(fleet)
    } else {
        None
    };
    for (target, _) in marks.iter().flatten() {
        known.entry(target.clone()).or_default();
    }
    let chosen = workspace::select(words, &known)?;
    Ok(chosen.into_iter().map(|target| local.sought(fleet, target, marks.as_deref())).collect())
}

/// Whether a word is one known target's whole name, so that the other guests need not be listed.
fn names_one(word: &str, known: &BTreeMap<Target, BTreeSet<String>>) -> bool {
    known.keys().any(|target| target.to_string() == word)
}

/// The targets that words name in full and that were built here, whatever the definitions say now.
fn built<'a>(fleet: &'a Fleet, words: &'a [String]) -> impl Iterator<Item = Target> + 'a {
    let targets = words.iter().filter_map(|word| {
        let (project, env) = word.split_once('/')?;
        Some(Target { project: project.parse().ok()?, env: env.parse().ok()? })
    });
    targets.filter(|target| last_built(fleet, target).is_some())
}

/// The last bundle of a target in `out/`. What cannot be read there is as good as lost: it is a cache.
fn last_built(fleet: &Fleet, target: &Target) -> Option<Bundle> {
    fleet.store.get(&fleet.store.latest(target).ok()??).ok()
}

/// Every guest with a mark. Guests on a node that does not answer cannot be listed; those that are known by number are
/// reached all the same.
fn list_marks(fleet: &Fleet) -> Option<Vec<(Target, Vmid)>> {
    match fleet.marks() {
        Ok(marks) => Some(marks),
        Err(error) => {
            output::tell("warning: guests that are in no definition may be missing here\n");
            output::tell(&output::because(&error));
            None
        }
    }
}

/// What the workspace itself says, as far as it can be read.
struct Local {
    survey: Survey,
    /// Why nothing of it can be read.
    unreadable: Option<String>,
}

impl Local {
    fn read(workspace: &Workspace) -> Self {
        match read_sources(workspace.path()) {
            Ok(files) => Self { survey: compile::survey(&Sources { files }), unreadable: None },
            Err(error) => Self { survey: Survey::default(), unreadable: Some(error.to_string()) },
        }
    }

    fn tags(&self) -> BTreeMap<Target, BTreeSet<String>> {
        let guests = self.survey.guests.iter();
        let tags = |bundle: &Option<Bundle>| bundle.as_ref().map(workspace::tags_of);
        guests.map(|(target, bundle)| (target.clone(), tags(bundle).unwrap_or_default())).collect()
    }

    fn sought(&self, fleet: &Fleet, target: Target, marks: Option<&[(Target, Vmid)]>) -> Sought {
        let definition = self.definition(&target);
        let said = self.said(fleet, &target);
        let place = match marks.map(|marks| numbers(marks, &target)) {
            Some(marked) if marked.is_empty() => Place::Nowhere,
            Some(marked) if marked.len() == 1 => Place::Said(marked.first().copied()),
            _ => Place::Said(said),
        };
        Sought { target, definition, place }
    }

    fn definition(&self, target: &Target) -> Definition {
        let mistake = |of: fn(&Report, &Target) -> Option<Told>| {
            self.survey.report.as_ref().and_then(|report| of(report, target))
        };
        let broken = |mistake: Told| Definition::Broken(mistake.to_string());
        match (&self.unreadable, self.survey.guests.get(target)) {
            (Some(error), _) => Definition::Broken(error.clone()),
            (None, Some(Some(bundle))) => Definition::Compiles(Box::new(bundle.clone())),
            (None, Some(None)) => mistake(Report::about)
                .map_or_else(|| Definition::Broken("see `stackc check`".to_owned()), broken),
            (None, None) => mistake(Report::hides).map_or(Definition::Absent, broken),
        }
    }

    /// The number that the last build of a target has, or else its definition.
    fn said(&self, fleet: &Fleet, target: &Target) -> Option<Vmid> {
        let built = last_built(fleet, target);
        let bundle = built.as_ref().or_else(|| self.survey.guests.get(target)?.as_ref())?;
        Documents::of(bundle).ok().map(|documents| documents.proxmox.vmid)
    }
}

fn numbers(marks: &[(Target, Vmid)], target: &Target) -> Vec<Vmid> {
    let own = marks.iter().filter(|(marked, _)| marked == target);
    own.map(|(_, vmid)| *vmid).collect()
}
