//! The testers are tested: each effect of the guest's code is left out in turn, and the model finds it, or it is known to
//! make no difference, with its reason.

use crate::fake::{EACH, Site};
use crate::fault_results::{Results, stops};
use crate::fault_summary::{Sort, Summary, Verdict};
use crate::weak_equivalent::{equivalent_sites, is_of_row, why_equivalent};
use crate::weak_explore::{Depth, Disks, Explorer, Judged};
use crate::weak_stories::{all, change, gc, recovered, undone};
use crate::weak_story::Story;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use std::thread;

/// As many as the machine that this is measured on has processors.
const WORKERS: usize = 2;

/// What is left out: all that keeps or orders something.
const EFFECTS: [&str; 8] = [
    "fsync",
    "sync_dir",
    "sync_all",
    "rename",
    "one step of the rename",
    "exchange",
    "link",
    "write",
];
/// Enough to come by every site.
const FINDING: Depth = Depth { losses: 4, recoveries: 20, again: 1, kills: 60 };
const DEPTH: Depth = Depth { losses: 16, recoveries: 0, again: 0, kills: 0 };
const SEED: u64 = 7;

/// A story with what was judged in it, which all workers share.
struct Told {
    story: Story,
    judged: Judged,
}

impl Told {
    fn new(story: Story) -> Self {
        Self { story, judged: Judged::default() }
    }

    fn explorer(&self, depth: Depth) -> Explorer<'_> {
        Explorer::new(&self.story, depth, SEED, (&self.judged, &Disks::default()))
    }

    /// Every effect that the story's calls come by.
    fn sites(&self) -> BTreeSet<Site> {
        let mut explorer = self.explorer(FINDING);
        let whole = explorer.explore();
        assert_eq!(whole, Ok(()), "{}", self.story.name);
        let is_wanted = |site: &Site| EFFECTS.contains(&site.effect) && self.has_call(&site.verb);
        explorer.seen.into_iter().filter(is_wanted).collect()
    }

    fn has_call(&self, verb: &str) -> bool {
        self.story.steps.iter().any(|step| step.verb() == verb)
    }

    /// What is wrong with a guest whose code lacks the effect; none when nobody finds out.
    fn fault_without(&self, site: &Site) -> Option<String> {
        self.explorer(DEPTH).explore_without(site).err()
    }
}

#[test]
fn the_faults_that_protocols_are_known_for_are_found_on_a_weak_disk() {
    let undone = undone("undone by a person", &["undo"]);
    let [change, gc, recovered, undone] = [change(), gc(), recovered(), undone].map(Told::new);
    for (told, verb, effect, path) in [
        (&change, "begin", "rename", "/var/lib/stackc/tx/TX"),
        (&change, "begin", "write", "/var/lib/stackc/tx/.tmp-TX/before.json"),
        (&change, "begin", "fsync", "/var/lib/stackc/tx/.tmp-TX/before.json"),
        (&change, "begin", "sync_all", "/var/lib/stackc"),
        (&change, "switch", "rename", "/var/lib/stackc/current"),
        (&change, "switch", "sync_dir", "/etc/ssh/sshd_config.d"),
        (&change, "switch", "write", "/var/lib/stackc/tx/TX/phase.new"),
        (&change, "confirm", "link", "/var/lib/stackc/tx/TX/decision"),
        (&recovered, "recover", "rename", "/var/lib/stackc/current"),
        (&undone, "undo", "link", "/var/lib/stackc/tx/TX/decision"),
        (&gc, "gc", "rename", "/var/lib/stackc/secrets/.tmp-gone-DIGEST"),
    ] {
        let time = match (verb, effect) {
            // Who could not decide tries it once more.
            ("undo", "link") => EACH,
            _ if path.ends_with("phase.new") => 3,
            _ => 1,
        };
        let site = Site { verb: verb.to_owned(), effect, path: path.to_owned(), time };
        let fault = told.fault_without(&site);
        assert!(fault.is_some(), "nobody finds out that this is left out: {site}");
    }
}

/// All stories as one worker tells them, which keeps them: what was judged in each is known to all workers.
fn stories(judged: &[Judged]) -> Vec<Told> {
    let told = |(story, judged): (Story, &Judged)| Told { story, judged: judged.clone() };
    all().into_iter().zip(judged).map(told).collect()
}

/// Does the work for each number below this, side by side, with stories of the worker's own.
fn side_by_side(count: usize, judged: &[Judged], work: impl Fn(&[Told], usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let stories = stories(judged);
                let numbers = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
                for number in numbers.take_while(|number| *number < count) {
                    work(&stories, number);
                }
            });
        }
    });
}

/// Every effect with the stories that come by it, by their numbers.
fn by_site(judged: &[Judged]) -> BTreeMap<Site, BTreeSet<usize>> {
    let by_site: Mutex<BTreeMap<Site, BTreeSet<usize>>> = Mutex::default();
    side_by_side(judged.len(), judged, |stories, number| {
        // The last are the longest, and begin first.
        let number = judged.len() - 1 - number;
        let sites = stories[number].sites();
        let mut by_site = by_site.lock().expect("no worker panics with it");
        for site in sites {
            by_site.entry(site).or_default().insert(number);
        }
    });
    by_site.into_inner().expect("no worker panicked")
}

/// The first story is mostly the shortest one, and found by that is enough; none finds it when it makes no difference.
fn is_found(site: &Site, stories: &[Told], numbers: &BTreeSet<usize>) -> bool {
    numbers.iter().any(|number| stories[*number].fault_without(site).is_some())
}

/// The calls to look at, by `STACKC_VERBS=begin,switch`: all of them where it is not set.
fn is_wanted(verb: &str) -> bool {
    let wanted = std::env::var("STACKC_VERBS").ok();
    wanted.is_none_or(|wanted| wanted.split(',').any(|asked| asked == verb))
}

/// What the table says of an effect must be so: whoever is in it is not found, and who is not, is.
fn verdict(site: &str, is_found: bool) -> Result<Verdict, String> {
    match (is_found, why_equivalent(site)) {
        (true, None) => Ok(Verdict::Found),
        (false, Some(_)) => Ok(Verdict::Equivalent),
        (false, None) => Err(format!("nobody finds out: {site}")),
        (true, Some(why)) => Err(format!("it is found, and the table says that {why}: {site}")),
    }
}

fn add(results: &mut Results, site: &str, verdict: &Result<Verdict, String>) {
    let (verb, effect) = site.split_once(": ").expect("a site has a verb");
    let effect = EFFECTS.iter().find(|name| effect.starts_with(&format!("{name} ")));
    let sort = Sort {
        fault: format!("left out: {}", effect.expect("an effect is one of them")),
        verb: verb.to_owned(),
        on: "a model of POSIX".to_owned(),
        size: String::new(),
    };
    if let (Ok(Verdict::Equivalent), Some(why)) = (verdict, why_equivalent(site)) {
        results.summary.equivalents.insert(site.to_owned(), why.to_owned());
    }
    let problem = verdict.as_ref().err().map(String::as_str);
    let verdict = verdict.as_ref().copied().unwrap_or(Verdict::Failed);
    if let Some(problem) = problem {
        eprintln!("{problem}");
    }
    results.add(&sort, verdict, problem, &site);
}

#[test]
#[ignore = "takes many minutes: some hundred effects, each left out in the stories that come by it"]
fn every_effect_that_is_left_out_is_found_or_known_to_make_no_difference() {
    let what = "The testers are tested: each effect of the guest's code is left out in turn";
    let again = "cargo test --test it every_effect_that_is_left_out -- --ignored";
    let results = Mutex::new(Results::new("weak-mutants", Summary::new(what, again, Some(SEED))));
    let judged: Vec<Judged> = all().iter().map(|_| Judged::default()).collect();
    let sites: Vec<_> =
        by_site(&judged).into_iter().filter(|(site, _)| is_wanted(&site.verb)).collect();
    side_by_side(sites.len(), &judged, |stories, number| {
        if stops(&results) {
            return;
        }
        let (site, numbers) = &sites[number];
        let verdict = verdict(&site.to_string(), is_found(site, stories, numbers));
        add(&mut results.lock().expect("nobody panics with it"), &site.to_string(), &verdict);
    });
    let mut results = results.into_inner().expect("no worker panicked");
    let sites: BTreeSet<String> = sites.iter().map(|(site, _)| site.to_string()).collect();
    for row in equivalent_sites().filter(|row| !sites.iter().any(|site| is_of_row(site, row))) {
        if row.split_once(": ").is_some_and(|(verb, _)| is_wanted(verb)) {
            add(&mut results, row, &Err(format!("no story comes by it: {row}")));
        }
    }
    results.finish(20);
}
