//! The tools of a Debian machine, asked about what was compiled: `check --tools`. The guest asks its own again before a switch.

mod ask;

pub use ask::Tool;

use crate::{
    compile::{Compiled, Made},
    guest::judge::{self, DropIns, Judge},
    model::{self, Bundle, Digest, GuestPath, Target, document, layout},
};
use ask::{Answer, Desk, Subject};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io,
};

/// What the tools say of all bundles together.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// In the order of guests and paths.
    pub faults: Vec<Fault>,
    /// Tools that judged something.
    pub asked: BTreeSet<Tool>,
    /// Tools that could not be asked, with the reason.
    pub unasked: BTreeMap<Tool, String>,
    /// How many files were judged.
    pub judged: usize,
}

/// A file that a tool refuses.
#[derive(Debug)]
pub struct Fault {
    pub guest: Target,
    pub path: GuestPath,
    pub tool: Tool,
    pub said: String,
    /// Where it comes from.
    pub made: Option<Made>,
}

/// Asks the tools about every file that they would read on a guest. What stands the same at the same path of several guests is
/// asked about once.
pub fn judge(compiled: &Compiled) -> io::Result<Verdicts> {
    let desk = Desk::open()?;
    let mut verdicts = Verdicts::default();
    let mut known: BTreeMap<(GuestPath, Subject, Digest), Option<String>> = BTreeMap::new();
    for (guest, bundle) in &compiled.guests {
        for (path, subject, bytes) in questions(bundle) {
            let tool = subject.tool();
            if verdicts.unasked.contains_key(&tool) {
                continue;
            }
            let question = (path, subject, Digest::of(&bytes));
            if !known.contains_key(&question) {
                let fault = match desk.ask(&question.1, &question.0, &bytes)? {
                    Answer::Fine => None,
                    Answer::Refused(said) => Some(said),
                    Answer::Unable(why) => {
                        verdicts.unasked.insert(tool, why);
                        continue;
                    }
                };
                known.insert(question.clone(), fault);
            }
            verdicts.asked.insert(tool);
            verdicts.judged += 1;
            if let Some(said) = &known[&question] {
                let (guest, path, said) = (guest.clone(), question.0, said.clone());
                let made = compiled.made(&guest, &path);
                verdicts.faults.push(Fault { guest, path, tool, said, made });
            }
        }
    }
    Ok(verdicts)
}

/// The files of a bundle that a tool reads, by their path on the guest.
fn questions(bundle: &Bundle) -> Vec<(GuestPath, Subject, Cow<'_, [u8]>)> {
    let rules = [
        (document::USER_RULES, layout::USER_RULES, Subject::RULES),
        (document::USER6_RULES, layout::USER6_RULES, Subject::RULES6),
    ];
    let rules = rules.into_iter().filter_map(|(name, path, subject)| {
        let bytes = bundle.files.get(&name.parse().ok()?)?;
        Some((path.parse().ok()?, subject, Cow::from(bytes)))
    });
    let drop_ins = DropIns::among(bundle.manifest.overlay().map(|(path, _)| path));
    let files = bundle.manifest.entries.iter().filter_map(|(path, entry)| {
        let bytes = bundle.files.get(path)?;
        matches!(entry, model::Entry::File { .. }).then_some((path.on_guest()?, bytes))
    });
    let files = files.flat_map(|(path, bytes)| {
        let whole = Subject::of(&path, bytes, &drop_ins);
        let whole = whole.map(|subject| (path.clone(), subject, Cow::from(bytes)));
        let jobs = judge::jobs(&path, bytes).into_iter().map(move |(shell, job)| {
            let subject = Subject::File(Judge::Shell(shell));
            (path.clone(), subject, Cow::from(job.into_bytes()))
        });
        whole.into_iter().chain(jobs)
    });
    files.chain(rules).collect()
}

impl Verdicts {
    /// For people: what is refused, the same of several guests once, and what was not asked.
    pub fn text(&self) -> String {
        let mut told: BTreeMap<_, Vec<String>> = BTreeMap::new();
        for Fault { guest, path, tool, said, made } in &self.faults {
            told.entry((path, *tool, said, made)).or_default().push(guest.to_string());
        }
        let fault = |((path, tool, said, made), guests): (
            (_, Tool, &String, &Option<Made>),
            Vec<String>,
        )| {
            let said = said.replace('\n', "\n  | ");
            let (tool, guests) = (tool.program(), guests.join(", "));
            let made =
                made.as_ref().map(|made| format!("  = made at {made}\n")).unwrap_or_default();
            format!("error[{tool}]: {tool} refuses `{path}` of {guests}\n  | {said}\n{made}\n")
        };
        let unasked = self.unasked.values().map(|why| format!("not checked: {why}\n"));
        told.into_iter().map(fault).chain(unasked).collect()
    }
}
