//! Sources → Definitions: every file read, checked against the schema, and put in its place.

use super::{At, FileId, Files, Member, Node, Table, Value, builtin};
use crate::{
    compile::{
        report::{Code, Mistake},
        schema::{self, Shape},
    },
    model::{EnvName, ProjectName, Target},
};
use std::collections::BTreeMap;

/// The most bytes of a file of definitions or a template.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Where the pins are.
const LOCK_FILE: &str = "stacks/lock.toml";

/// What the authors wrote.
pub struct Definitions {
    pub site: Table,
    pub site_file: FileId,
    pub projects: BTreeMap<ProjectName, Project>,
    /// By folder: `templates/x/` or `builtin:x/`.
    pub kinds: BTreeMap<String, Kind>,
    pub pins: BTreeMap<Target, (At, Table)>,
    pub lock_file: Option<FileId>,
    /// Files that look like definitions and are none.
    pub unread: BTreeMap<String, FileId>,
    /// Template files by name, with their text's file.
    pub templates: BTreeMap<String, FileId>,
    /// Public files: keys and certificates.
    pub keys: BTreeMap<String, String>,
}

/// `stacks/<project>.toml`.
pub struct Project {
    pub at: At,
    pub table: Table,
    pub envs: BTreeMap<EnvName, (At, Table)>,
}

/// A kind's own layer, without what it extends.
pub struct Kind {
    pub table: Table,
    pub extends: Option<(String, At)>,
}

/// Reads all sources; of the site only these sections.
pub fn define(
    sources: &BTreeMap<String, Vec<u8>>,
    sections: impl Fn(&str) -> bool,
    files: &mut Files,
    mistakes: &mut Vec<Mistake>,
) -> Definitions {
    let mut reader = Reader { files, mistakes, seen: BTreeMap::new() };
    reader.add_builtin();
    for (name, bytes) in sources {
        reader.add(name, bytes);
    }
    let kinds = reader.kinds();
    let (site_file, site) = reader.site(sections);
    Definitions {
        site,
        site_file,
        projects: reader.projects(),
        kinds,
        pins: reader.pins(),
        unread: reader.select(is_unread),
        lock_file: reader.seen.get(LOCK_FILE).copied(),
        templates: reader.select(is_template_file),
        keys: reader.keys(),
    }
}

struct Reader<'a> {
    files: &'a mut Files,
    mistakes: &'a mut Vec<Mistake>,
    seen: BTreeMap<String, FileId>,
}

impl Reader<'_> {
    fn add_builtin(&mut self) {
        for (name, text) in builtin::FILES {
            let id = self.files.add(name, text);
            self.seen.insert((*name).to_owned(), id);
        }
    }

    fn add(&mut self, name: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        // Editors of other systems put it first; it is no part of the text.
        let id = self.files.add(name, text.strip_prefix('\u{feff}').unwrap_or(&text));
        if let Err(error) = std::str::from_utf8(bytes) {
            let title = format!("`{name}` is not UTF-8");
            let help = "save it as UTF-8, or take it out of the workspace";
            let start = error.valid_up_to();
            let at = At::new(id, start..start + '\u{fffd}'.len_utf8());
            self.mistakes.push(Mistake::new(Code::NotUtf8, at, title).help(help).hides_file());
        }
        if is_template_file(name)
            && !name.ends_with("/kind.toml")
            && let Some((start, c)) = super::refused_character(self.files.text(id))
        {
            self.mistakes.push(super::refused(At::new(id, start..start + c.len_utf8()), c));
        }
        // Pins are no author's text and grow with every env; who reads the file bounds it.
        if bytes.len() > SOURCE_BYTES_MAX && name != LOCK_FILE {
            let title = format!("`{name}` is too big: a source has at most 1 MiB");
            let help = "split it, or keep what is no definition elsewhere";
            self.mistakes
                .push(Mistake::new(Code::SourceTooBig, At::start_of(id), title).help(help));
        }
        self.seen.insert(name.to_owned(), id);
    }

    fn select(&self, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, FileId> {
        let chosen = self.seen.iter().filter(|(name, _)| wanted(name));
        chosen.map(|(name, id)| (name.clone(), *id)).collect()
    }

    fn keys(&self) -> BTreeMap<String, String> {
        let keys = self.select(|name| name.starts_with("keys/"));
        keys.into_iter().map(|(name, id)| (name, self.files.text(id).to_owned())).collect()
    }

    fn parse(&mut self, file: FileId, shape: Shape) -> Table {
        self.parse_some(file, shape, |_| true)
    }

    /// Reads these keys of a file and leaves the others unchecked.
    fn parse_some(
        &mut self,
        file: FileId,
        shape: Shape,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Table {
        if self.mistakes.iter().any(|mistake| mistake.hidden_file() == Some(file)) {
            // It is no text: what a parser makes of it says nothing more.
            return Table::new();
        }
        let mut table = super::parse(file, self.files.text(file), self.mistakes);
        table.retain(|key, _| wanted(key));
        schema::check_table(shape, &mut table, self.mistakes);
        table
    }

    fn kinds(&mut self) -> BTreeMap<String, Kind> {
        let suffix = "/kind.toml";
        let mut kinds = BTreeMap::new();
        for (name, file) in self.select(|name| is_template_file(name) && name.ends_with(suffix)) {
            let folder = name.trim_end_matches("kind.toml").to_owned();
            let mut table = self.parse(file, schema::KIND);
            table.remove("description");
            let extends = table.remove("extends").and_then(|member| {
                member.node.text().map(|text| (text.to_owned(), member.node.at))
            });
            kinds.insert(folder, Kind { table, extends });
        }
        kinds
    }

    fn site(&mut self, sections: impl Fn(&str) -> bool) -> (FileId, Table) {
        let name = "stacks/site.toml";
        if let Some(file) = self.seen.get(name).copied() {
            return (file, self.parse_some(file, schema::SITE, sections));
        }
        let file = self.files.add(name, "");
        self.mistakes.push(
            Mistake::new(Code::NoSite, At::start_of(file), "there is no `stacks/site.toml`")
                .help("write it: where Proxmox is, and who may get in; or name another workspace: `-C DIR`")
                .hides_file(),
        );
        (file, Table::new())
    }

    fn projects(&mut self) -> BTreeMap<ProjectName, Project> {
        let mut projects = BTreeMap::new();
        for (name, file) in self.select(is_project_file) {
            let stem = name.trim_start_matches("stacks/").trim_end_matches(".toml");
            match stem.parse::<ProjectName>() {
                Ok(project) => {
                    let read = self.project(file);
                    projects.insert(project, read);
                }
                Err(error) => {
                    let mistake = Mistake::of_value(Code::BadName, At::start_of(file), &error);
                    self.mistakes.push(mistake.label("the file's name"));
                }
            }
        }
        projects
    }

    fn project(&mut self, file: FileId) -> Project {
        let mut is_stray = false;
        let mut table = self.parse_some(file, schema::PROJECT_FILE, |key| {
            is_stray |= schema::is_meant_for_project(key);
            true
        });
        let at = table.get("project").map_or(At::start_of(file), |member| member.key);
        let envs = take_table(&mut table, "envs").unwrap_or_default();
        let envs = self.envs(envs);
        let project = table.remove("project").map(|member| member.node.value);
        let table = match project {
            Some(Value::Table(table)) => Some(table),
            Some(_) => None,
            None if is_stray => None,
            None => {
                let title = "the file has no table `[project]`";
                let help = "add `[project]` with `kind = \"…\"`";
                self.mistakes.push(Mistake::new(Code::NoProject, at, title).help(help));
                None
            }
        };
        Project { at, table: table.unwrap_or_else(without_kind), envs }
    }

    fn envs(&mut self, table: Table) -> BTreeMap<EnvName, (At, Table)> {
        let mut envs = BTreeMap::new();
        for (name, Member { key, node }) in table {
            match (name.parse::<EnvName>(), node.value) {
                (Ok(env), Value::Table(table)) => {
                    envs.insert(env, (key, table));
                }
                (Err(error), _) => {
                    self.mistakes.push(Mistake::of_value(Code::BadName, key, &error));
                }
                _ => {}
            }
        }
        envs
    }

    fn pins(&mut self) -> BTreeMap<Target, (At, Table)> {
        let Some(file) = self.seen.get(LOCK_FILE).copied() else {
            return BTreeMap::new();
        };
        let mut pins = BTreeMap::new();
        let told = self.mistakes.len();
        let table = self.parse(file, schema::LOCK);
        for mistake in self.mistakes.split_off(told) {
            self.mistakes.push(mistake.help(RELOCK));
        }
        for (project, member) in table {
            let Value::Table(envs) = member.node.value else { continue };
            for (env, Member { key, node }) in envs {
                match (project.parse(), env.parse(), node.value) {
                    (Ok(project), Ok(env), Value::Table(table)) => {
                        pins.insert(Target { project, env }, (key, table));
                    }
                    (Err(error), ..) | (_, Err(error), _) => {
                        self.mistakes
                            .push(Mistake::new(Code::BadPin, key, error.to_string()).help(RELOCK));
                    }
                    _ => {}
                }
            }
        }
        pins
    }
}

/// What stands for a project that cannot be read: its kind is wrong, and that is told.
fn without_kind() -> Table {
    let at = At::start_of(FileId::default());
    let node = Node { at, value: Value::Wrong };
    Table::from([("kind".to_owned(), Member { key: at, node })])
}

/// What mends a lockfile.
const RELOCK: &str = "run `stackc lock`, which writes this file";

fn take_table(table: &mut Table, key: &str) -> Option<Table> {
    match table.remove(key)?.node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn is_template_file(name: &str) -> bool {
    name.starts_with("templates/") || name.starts_with("builtin:")
}

fn is_project_file(name: &str) -> bool {
    let stem = name.strip_prefix("stacks/").and_then(|name| name.strip_suffix(".toml"));
    stem.is_some_and(|stem| !stem.contains('/') && !["site", "lock"].contains(&stem))
}

/// Files that look like definitions and are read by nothing.
pub fn unread(definitions: &Definitions) -> Vec<Mistake> {
    let told = |(name, file): (&String, &FileId)| {
        Mistake::new(Code::UnreadFile, At::start_of(*file), format!("nothing reads `{name}`")).label("unread").help(
            "definitions are `stacks/NAME.toml`, in no folder below and with these very letters",
        )
    };
    definitions.unread.iter().map(told).collect()
}

/// Whether a file looks like definitions, but is in a folder below `stacks` or ends in `.TOML`.
fn is_unread(name: &str) -> bool {
    let is_toml = name.to_lowercase().ends_with(".toml");
    let known = ["stacks/site.toml", LOCK_FILE].contains(&name) || is_project_file(name);
    name.starts_with("stacks/") && is_toml && !known
}
