//! Text to definitions to model to bundle. Pure: no files, no clock, no environment.
//!
//! `define` reads and checks every file, the layers are merged, `guest` renders one guest after the other (in parallel) and
//! seals its bundle. Nothing stops at the first mistake: a pass reports all of them.

mod explain;
mod guest;
mod layers;
mod lock;
mod made;
mod report;
mod schema;
mod seal;
mod sections;
mod source;
mod survey;
mod template;
pub mod text;
mod view;

pub use explain::{ExplainError, Explanation, Key, Line, explain, written};
pub use guest::Branch;
pub use lock::{Pinned, lock_text};
pub use made::Made;
pub use report::{Code, Mistake, Report, Told};
pub use schema::{SchemaOf, keys, reference, schema};
pub use sections::{env_file, units};
pub use survey::{Survey, site, survey};

use crate::model::{Bundle, GuestPath, Site, Target};
use guest::Pins;
use rayon::prelude::*;
use seal::Lowered;
use sections::{
    identity::{self, Written},
    site,
};
use source::{
    At, Files, Node, Table,
    define::{self, Definitions},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use template::{Rendering, Scope, Templates};
use view::Lowering;

/// Everything that a build reads: files of the workspace by their path relative to it, with `/`.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    pub files: BTreeMap<String, Vec<u8>>,
}

/// What a workspace compiles to.
pub struct Compiled {
    pub site: Site,
    pub guests: BTreeMap<Target, Bundle>,
    /// What the author should know though everything compiles.
    pub warnings: Option<Report>,
    /// Where what stands on each guest was written.
    places: BTreeMap<Target, BTreeMap<GuestPath, At>>,
    workspace: Workspace,
}

/// Compiles a whole workspace: every guest, or every mistake.
pub fn compile(sources: &Sources) -> Result<Compiled, Report> {
    let workspace = Workspace::read(sources);
    let outcome = workspace.compile(Pins::Needed);
    let mut mistakes = workspace.mistakes.clone();
    mistakes.extend(outcome.mistakes);
    let warnings = workspace.warnings(&outcome.guests);
    let Some(site) = outcome.site.filter(|_| mistakes.is_empty()) else {
        return Err(Report::new(workspace.files, mistakes));
    };
    let lowered: Vec<_> = outcome.guests.into_values().filter_map(|guest| guest.lowered).collect();
    let places = lowered.iter().map(|guest| (guest.target.clone(), guest.places()));
    Ok(Compiled {
        site,
        places: places.collect(),
        guests: sealed(lowered.into_iter()),
        warnings: Report::of_warnings(&workspace.files, warnings),
        workspace,
    })
}

/// Sealing finds no mistake, so it is left until there is none.
fn sealed(guests: impl Iterator<Item = Lowered>) -> BTreeMap<Target, Bundle> {
    let seal = |guest: Lowered| (guest.target.clone(), guest.seal());
    let guests: Vec<_> = guests.collect();
    guests.into_par_iter().map(seal).collect::<Vec<_>>().into_iter().collect()
}

/// The branch of every guest that has an app: what `stackc lock` pins. Mistakes in the pins that are there do not matter.
pub fn branches(sources: &Sources) -> Result<BTreeMap<Target, Branch>, Report> {
    let workspace = Workspace::read(sources);
    let outcome = workspace.compile(Pins::Ignored);
    let mut mistakes = workspace.mistakes;
    let lock_file = workspace.definitions.lock_file;
    mistakes.retain(|mistake| Some(mistake.at().file) != lock_file);
    mistakes.extend(outcome.mistakes);
    if !mistakes.is_empty() {
        return Err(Report::new(workspace.files, mistakes));
    }
    let guests = outcome.guests.into_iter();
    Ok(guests.filter_map(|(target, guest)| Some((target, guest.branch?))).collect())
}

/// What `stacks/lock.toml` says now; an error when it has a mistake.
pub fn pins(sources: &Sources) -> Result<BTreeMap<Target, Pinned>, Report> {
    let Workspace { definitions, files, mut mistakes } = Workspace::read(sources);
    mistakes.retain(|mistake| Some(mistake.at().file) == definitions.lock_file);
    let pins = lock::all(&definitions, &mut mistakes);
    if mistakes.is_empty() { Ok(pins) } else { Err(Report::new(files, mistakes)) }
}

/// A workspace that was read, not yet understood.
struct Workspace {
    definitions: Definitions,
    files: Arc<Files>,
    mistakes: Vec<Mistake>,
}

/// Everything that came out of it.
struct Outcome {
    site: Option<Site>,
    /// Without their mistakes.
    guests: BTreeMap<Target, guest::Outcome>,
    /// Those of the guests, too.
    mistakes: Vec<Mistake>,
}

impl Workspace {
    fn read(sources: &Sources) -> Self {
        let (mut files, mut mistakes) = (Files::default(), Vec::new());
        let definitions = define::define(&sources.files, |_| true, &mut files, &mut mistakes);
        Self { definitions, files: Arc::new(files), mistakes }
    }

    /// Whether a file that others build on cannot be read: then most of what compiling finds would only follow from that.
    fn lacks_layer(&self) -> bool {
        let mut hidden = self.mistakes.iter().filter_map(Mistake::hidden_file);
        hidden.any(|file| {
            file == self.definitions.site_file || self.files.name(file).ends_with("/kind.toml")
        })
    }

    fn warnings(&self, guests: &BTreeMap<Target, guest::Outcome>) -> Vec<Mistake> {
        let with_branch = guests.iter().filter(|(_, guest)| guest.branch.is_some());
        let with_branch = with_branch.map(|(target, _)| target).collect();
        let mut warnings = lock::unused(&self.definitions, &with_branch);
        warnings.extend(define::unread(&self.definitions));
        warnings
    }

    fn compile(&self, pins: Pins) -> Outcome {
        if self.lacks_layer() {
            return Outcome { site: None, guests: BTreeMap::new(), mistakes: Vec::new() };
        }
        let mistakes = RefCell::new(Vec::new());
        let (site, guests) = self.prepared(pins, &mistakes, |shared, sources| {
            let compile = |(target, source): (&Target, &guest::Source<'_>)| {
                (target.clone(), guest::compile(shared, source))
            };
            sources.par_iter().map(compile).collect::<Vec<_>>()
        });
        let mut guests: BTreeMap<_, _> = guests.into_iter().collect();
        let mut mistakes = mistakes.into_inner();
        for guest in guests.values_mut() {
            mistakes.append(&mut guest.mistakes);
        }
        let claims = guests.iter().map(|(target, guest)| (target, &guest.claims));
        identity::check_unique(claims, &mut mistakes);
        Outcome { site, guests, mistakes }
    }

    /// Does something with all guests once the layers that they share are merged.
    fn prepared<T>(
        &self,
        pins: Pins,
        mistakes: &RefCell<Vec<Mistake>>,
        with: impl FnOnce(&guest::Shared<'_>, &BTreeMap<Target, guest::Source<'_>>) -> T,
    ) -> (Option<Site>, T) {
        let templates = self.templates(&mut mistakes.borrow_mut());
        let facts = self.site(&templates, mistakes, site::read);
        let merged = layers::merge(self, &mut mistakes.borrow_mut());
        let envs = layers::envs(&merged);
        let written = self.identities(&envs, &templates, mistakes);
        let shared = guest::Shared {
            definitions: &self.definitions,
            files: &self.files,
            templates: &templates,
            site: &facts,
            pins,
        };
        let source = |(target, env)| {
            (Target::clone(target), guest::Source { target, env, written: &written[target] })
        };
        let done = with(&shared, &envs.iter().map(source).collect());
        (facts.site, done)
    }

    /// Every template of the workspace and the built-in kinds, read once.
    fn templates(&self, mistakes: &mut Vec<Mistake>) -> Templates {
        let mut texts = BTreeMap::new();
        let definitions = &self.definitions;
        for table in self.tables() {
            template::texts_of_table(table, &mut texts);
        }
        let is_template = |(name, _): &(&String, _)| !name.ends_with("kind.toml");
        let files = definitions.templates.iter().filter(is_template);
        let files = files.map(|(name, file)| (name.clone(), *file, self.files.text(*file)));
        Templates::read(&files.collect::<Vec<_>>(), &texts, &self.files, mistakes)
    }

    fn tables(&self) -> impl Iterator<Item = &Table> {
        let projects = self.definitions.projects.values();
        let envs = projects.clone().flat_map(|project| project.envs.values().map(|(_, t)| t));
        let kinds = self.definitions.kinds.values().map(|kind| &kind.table);
        let projects = projects.map(|project| &project.table);
        kinds.chain([&self.definitions.site]).chain(projects).chain(envs)
    }

    /// Reads the site with one of `site`'s functions.
    fn site<T>(
        &self,
        templates: &Templates,
        mistakes: &RefCell<Vec<Mistake>>,
        read: impl FnOnce(&Definitions, &Node, &Lowering<'_>) -> T,
    ) -> T {
        let at = At::start_of(self.definitions.site_file);
        let root = Node { at, value: source::Value::Table(Table::new()) };
        let (names, secret_names) = (Scope::new(), BTreeSet::new());
        let target = placeholder();
        let lowering = self.lowering(&target, templates, mistakes, (&names, &secret_names));
        read(&self.definitions, &root, &lowering)
    }

    fn lowering<'a>(
        &'a self,
        target: &'a Target,
        templates: &'a Templates,
        mistakes: &'a RefCell<Vec<Mistake>>,
        (names, secret_names): (&'a Scope, &'a BTreeSet<String>),
    ) -> Lowering<'a> {
        let rendering = Rendering::new(names, secret_names);
        let stack = view::empty();
        Lowering { target, files: &self.files, templates, rendering, stack, mistakes }
    }

    fn identities(
        &self,
        envs: &BTreeMap<Target, layers::Env<'_>>,
        templates: &Templates,
        mistakes: &RefCell<Vec<Mistake>>,
    ) -> BTreeMap<Target, Written> {
        let (names, secret_names) = (Scope::new(), BTreeSet::new());
        let read = |(target, env): (&Target, &layers::Env<'_>)| {
            let lowering = self.lowering(target, templates, mistakes, (&names, &secret_names));
            (target.clone(), identity::read(&lowering.table(schema::ENV, env.at, env.table)))
        };
        envs.iter().map(read).collect()
    }
}

/// The site belongs to no guest; nothing of it is rendered for one.
fn placeholder() -> Target {
    Target { project: "x".parse().expect("a project name"), env: "x".parse().expect("an env name") }
}
