//! What a workspace says that need not be whole: enough to look at guests and to go back.

use super::{
    Mistake, Report, Sources, Workspace,
    guest::Pins,
    sections::site as site_file,
    source::{
        Files,
        define::{self, Definitions},
    },
};
use crate::model::{Bundle, Site, Target};
use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

/// Every target that is defined, with its bundle unless a mistake is in the way, and the mistakes.
#[derive(Debug, Default)]
pub struct Survey {
    pub guests: BTreeMap<Target, Option<Bundle>>,
    pub report: Option<Report>,
}

/// Compiles what can be compiled.
pub fn survey(sources: &Sources) -> Survey {
    let workspace = Workspace::read(sources);
    let outcome = workspace.compile(Pins::Needed);
    let mut guests = targets(&workspace.definitions);
    let Workspace { files, mut mistakes, .. } = workspace;
    mistakes.extend(outcome.mistakes);
    let report = (!mistakes.is_empty()).then(|| Report::new(files, mistakes));
    // What was compiled in spite of a mistake is not what the author meant.
    let is_meant =
        |target: &Target| report.as_ref().is_none_or(|report| report.about(target).is_none());
    let lowered = outcome.guests.into_values().filter_map(|guest| guest.lowered);
    let sealed = super::sealed(lowered.filter(|guest| is_meant(&guest.target)));
    guests.extend(sealed.into_iter().map(|(target, bundle)| (target, Some(bundle))));
    Survey { guests, report }
}

fn targets(definitions: &Definitions) -> BTreeMap<Target, Option<Bundle>> {
    let projects = definitions.projects.iter();
    let targets = projects.flat_map(|(name, project)| {
        let target = |env| Target { project: name.clone(), env };
        project.envs.keys().cloned().map(target)
    });
    targets.map(|target| (target, None)).collect()
}

/// Reads how the operator reaches a site, out of `stacks/site.toml` and the certificates alone.
///
/// # Errors
/// With the mistakes of the sections `proxmox` and `access`, and of a file that is no TOML; no other matters.
pub fn site(sources: &Sources) -> Result<Site, Report> {
    let (mut files, mut mistakes) = (Files::default(), Vec::new());
    let leads_there = |name: &str| name == "stacks/site.toml" || name.starts_with("keys/");
    let sources = sources.files.iter().filter(|(name, _)| leads_there(name));
    let sources = sources.map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    let is_way = |section: &str| ["proxmox", "access"].contains(&section);
    let definitions = define::define(&sources, is_way, &mut files, &mut mistakes);
    let workspace = Workspace { definitions, files: Arc::new(files), mistakes: Vec::new() };
    let templates = workspace.templates(&mut mistakes);
    let mistakes: RefCell<Vec<Mistake>> = RefCell::new(mistakes);
    let site = workspace.site(&templates, &mistakes, site_file::reach);
    let mistakes = mistakes.into_inner();
    match site.filter(|_| mistakes.is_empty()) {
        Some(site) => Ok(site),
        None => Err(Report::new(workspace.files, mistakes)),
    }
}
