//! The testers are tested: each effect of the guest's code is left out in turn, and the model finds it, or it is known to
//! make no difference, with its reason.

use crate::fake::Site;
use crate::fault_results::Results;
use crate::fault_summary::{Sort, Summary, Verdict};
use crate::weak_equivalent::why_equivalent;
use crate::weak_explore::{Depth, Explorer, Judged};
use crate::weak_story::{Story, all, change, gc, recovered, undone};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

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

/// A story with what was judged in it.
struct Told {
    story: Story,
    judged: Judged,
}

impl Told {
    fn new(story: Story) -> Rc<Self> {
        Rc::new(Self { story, judged: Judged::default() })
    }

    /// Every effect that the story's calls come by.
    fn sites(&self) -> BTreeSet<Site> {
        let mut explorer = Explorer::new(&self.story, FINDING, SEED, &self.judged);
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
        let mut explorer = Explorer::new(&self.story, DEPTH, SEED, &self.judged);
        explorer.explore_without(site).err()
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
        (&undone, "undo", "rename", "/var/lib/stackc/current"),
        (&gc, "gc", "rename", "/var/lib/stackc/secrets/.tmp-gone-DIGEST"),
    ] {
        let site = Site { verb: verb.to_owned(), effect, path: path.to_owned() };
        let fault = told.fault_without(&site);
        assert!(fault.is_some(), "nobody finds out that this is left out: {site}");
    }
}

/// Every effect with the stories that come by it.
fn by_site() -> BTreeMap<Site, Vec<Rc<Told>>> {
    let mut by_site: BTreeMap<Site, Vec<Rc<Told>>> = BTreeMap::new();
    for told in all().into_iter().map(Told::new) {
        for site in told.sites() {
            by_site.entry(site).or_default().push(told.clone());
        }
    }
    by_site
}

/// The first story is the one that is about the call; the last is mostly the whole activation.
fn is_found(site: &Site, stories: &[Rc<Told>]) -> bool {
    let both = [stories.first(), stories.last()];
    both.into_iter().flatten().any(|told| told.fault_without(site).is_some())
}

/// The calls to look at, by `STACKC_VERBS=begin,switch`: all of them where it is not set.
fn is_wanted(site: &Site) -> bool {
    let wanted = std::env::var("STACKC_VERBS").ok();
    wanted.is_none_or(|wanted| wanted.split(',').any(|verb| verb == site.verb))
}

#[test]
#[ignore = "takes many minutes: some hundred effects, each left out in two stories"]
fn every_effect_that_is_left_out_is_found_or_known_to_make_no_difference() {
    let what = "The testers are tested: each effect of the guest's code is left out in turn";
    let again = "cargo test --test it every_effect_that_is_left_out -- --ignored";
    let mut results = Results::new("weak-mutants", Summary::new(what, again, Some(SEED)));
    for (site, stories) in by_site().iter().filter(|(site, _)| is_wanted(site)) {
        if results.stops() {
            break;
        }
        let verdict = match (is_found(site, stories), why_equivalent(site)) {
            (true, _) => Verdict::Found,
            (false, Some(why)) => {
                results.summary.equivalents.insert(site.to_string(), why.to_owned());
                Verdict::Equivalent
            }
            (false, None) => Verdict::Failed,
        };
        let sort = Sort {
            fault: format!("left out: {}", site.effect),
            verb: site.verb.clone(),
            on: "a model of POSIX".to_owned(),
            size: String::new(),
        };
        let problem = (verdict == Verdict::Failed).then(|| format!("nobody finds out: {site}"));
        results.add(&sort, verdict, problem.as_deref(), &site.to_string());
    }
    results.finish(20);
}
