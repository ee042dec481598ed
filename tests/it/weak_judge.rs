//! Whether a guest that booted is whole: on exactly one generation, with all that belongs to it, and able to go on.

use crate::guest_bundle::Made;
use crate::guest_fixture::{caller, identity, input, name};
use crate::weak_guest::{Picture, WeakGuest};
use crate::weak_story::{
    Again, Allowed, NEXT_TX, PAUSE, Step, Story, TX, activation, sending, switching,
};
use serde::de::DeserializeOwned;
use stackc::guest::{Answer, GuestFs, Ids};
use stackc::model::protocol::{
    AbandonRequest, FetchReply, FetchRequest, HistoryReply, HistoryRequest, ObserveRequest,
    ObservedGuest, RefusalCode, ResultRequest,
};
use stackc::model::{
    Bundle, Digest, GenerationId, Outcome, Phase, Placement, Switch, TxState, layout,
};
use std::collections::BTreeSet;

fn ask<T: DeserializeOwned>(
    guest: &mut WeakGuest,
    verb: &str,
    request: &impl serde::Serialize,
) -> Result<T, String> {
    match guest.call(&[verb], &input(request, &[])) {
        Answer::Reply(value) => Ok(serde_json::from_value(value).expect("the protocol parses")),
        other => Err(format!("`{verb}` is refused: {other:?}")),
    }
}

pub fn observe(guest: &mut WeakGuest, digest: Digest) -> Result<ObservedGuest, String> {
    let (units, packages) = (BTreeSet::from([name("app.service")]), BTreeSet::new());
    let digest = Some(digest);
    let (identity, paths) = (identity(), BTreeSet::new());
    ask(guest, "observe", &ObserveRequest { identity, digest, units, packages, paths })
}

/// Which of the two a picture is. What looks the same before and after is what it must be.
fn which(story: &Story, picture: &Picture, allowed: Allowed) -> Result<bool, String> {
    match (*picture == story.old, *picture == story.new) {
        (true, true) => Ok(allowed == Allowed::New),
        (true, _) => Ok(false),
        (_, true) => Ok(true),
        _ => Err(format!("torn: {}", differences(picture, &story.old, &story.new))),
    }
}

fn differences(found: &Picture, old: &Picture, new: &Picture) -> String {
    let paths: BTreeSet<&String> = found.keys().chain(old.keys()).chain(new.keys()).collect();
    let line = |path: &&String| {
        let [is, was, will] = [found, old, new].map(|p| p.get(*path).map(String::as_str));
        (is != was || is != will).then(|| format!("\n  {path}: {is:?}, old {was:?}, new {will:?}"))
    };
    paths.iter().filter_map(line).collect()
}

/// What was said before a guest is judged, or done by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Before {
    /// It was told how the transaction ended.
    pub told: bool,
    /// It has recovered, or has never lost its power.
    pub settled: bool,
}

/// Judges a guest. Returns whether it is on the new generation.
///
/// # Errors
/// What is wrong with it.
pub fn judge(
    story: &Story,
    guest: &mut WeakGuest,
    allowed: Allowed,
    before: Before,
) -> Result<bool, String> {
    let is_new = which(story, &guest.picture(), allowed)?;
    if !allowed.has(is_new) {
        let found = if is_new { "the new" } else { "the old" };
        return Err(format!("it is on {found} generation, and may be on {allowed:?} only"));
    }
    if before.settled {
        none_left(guest)?;
        runs(story, guest, is_new)?;
    }
    let is_switched = matches!(story.again, Again::Activate { .. } | Again::GoBack { .. });
    if is_switched && (before.settled || before.told) {
        ended(guest, is_new, before.told)?;
    }
    agrees(story, guest, is_new, before)?;
    has_all(story, guest, is_new)?;
    Ok(is_new)
}

/// Every bundle and every found file that must be there.
fn has_all(story: &Story, guest: &mut WeakGuest, is_new: bool) -> Result<(), String> {
    for made in story.kept.iter().chain(is_new.then_some(&story.goal)) {
        has_whole(guest, made)?;
    }
    for (path, text) in story.found.iter().filter(|_| is_new) {
        let kept = guest.fs.read(&format!("{}/found{path}", layout::STATE)).unwrap_or_default();
        if kept != text.as_bytes() {
            return Err(format!("`{path}` was found there, and is not kept"));
        }
    }
    Ok(())
}

fn none_left(guest: &mut WeakGuest) -> Result<(), String> {
    let left = guest.leftovers();
    if left.is_empty() { Ok(()) } else { Err(format!("left over: {left:?}")) }
}

/// The transaction has the outcome that the files show, with a reason. One that never began has none.
fn ended(guest: &mut WeakGuest, is_new: bool, was_told: bool) -> Result<(), String> {
    let request = ResultRequest { tx: name(TX), wait_seconds: 0 };
    let state: TxState = match guest.call(&["result"], &input(&request, &[])) {
        Answer::Reply(value) => serde_json::from_value(value).expect("the protocol parses"),
        Answer::Refused(_) if !is_new && !was_told => return Ok(()),
        other => return Err(format!("`result` is refused: {other:?}")),
    };
    let wanted = if is_new { Phase::Confirmed } else { Phase::Undone };
    if state.phase != wanted || state.failure.is_none() != is_new {
        return Err(format!("it is not {wanted:?} but {state:?}"));
    }
    Ok(())
}

/// What ran before is started again when recovery went back: by then the service manager knows the new generation's units.
fn runs(story: &Story, guest: &WeakGuest, is_new: bool) -> Result<(), String> {
    let (ran, jobs) = (story.old["running"].starts_with("app active"), &guest.memory.state.jobs);
    let has = |names: &[&str]| jobs.iter().any(|job| names.contains(&job.as_str()));
    let went_back = has(&["daemon-reload"]);
    let starts = has(&["start app.service", "startlater app.service"]);
    if !is_new && ran && went_back && !starts {
        return Err(format!("the app is not started again: {jobs:?}"));
    }
    Ok(())
}

/// Pointer, record, ledger and journal say the same.
fn agrees(
    story: &Story,
    guest: &mut WeakGuest,
    is_new: bool,
    before: Before,
) -> Result<(), String> {
    let observed = observe(guest, story.goal.bundle.digest)?;
    let is_damaged = matches!(story.again, Again::Call(_)) && !is_new;
    if !is_damaged && !observed.drift.is_empty() {
        return Err(format!("it drifts: {:?}", observed.drift));
    }
    if before.settled
        && let Some(pending) = observed.pending
    {
        return Err(format!("a transaction is open after recovery: {pending:?}"));
    }
    let picture = if is_new { &story.new } else { &story.old };
    let live =
        observed.live.map(|generation| format!("Some(\"generations/{}\")", generation.number));
    if picture["current"] != live.unwrap_or_else(|| "None".to_owned()) {
        return Err(format!("`current` is {}, and another one is told", picture["current"]));
    }
    let request = HistoryRequest { identity: identity() };
    let history: HistoryReply = ask(guest, "history", &request)?;
    let last = history.generations.last().map(|generation| generation.outcome);
    if (before.settled || before.told) && last == Some(Outcome::Pending) {
        return Err("the last generation is pending when all is over".to_owned());
    }
    if is_new && last != Some(Outcome::Confirmed) {
        return Err(format!("the live generation is {last:?}"));
    }
    Ok(())
}

/// Every byte of the bundle is there, and every secret file with its access.
fn has_whole(guest: &mut WeakGuest, made: &Made) -> Result<(), String> {
    let digest = made.bundle.digest;
    let request = FetchRequest { identity: identity(), digest, after: None };
    let FetchReply { manifest, files, .. } = ask(guest, "fetch", &request)?;
    if manifest.and_then(|manifest| Bundle::prove(digest, manifest, files)).is_none() {
        return Err(format!("the bundle {} is not what it was", digest.short()));
    }
    for (path, file) in &made.secrets {
        let at = format!("{}/secrets/{}{path}", layout::STATE, made.secrets_version);
        let ids = Ids { uid: 0, gid: 0, mode: file.access.mode.bits() };
        let there = guest.fs.stat(&at).ok().flatten().map(|stat| stat.ids);
        let text = guest.fs.read(&at).unwrap_or_default();
        if there != Some(ids) || text != file.text.as_bytes() {
            return Err(format!("`{at}` is not the secret file: {there:?}"));
        }
    }
    Ok(())
}

/// The story has done what it is for.
///
/// # Errors
/// What it has not.
pub fn ends(story: &Story, guest: &mut WeakGuest) -> Result<(), String> {
    match &story.again {
        Again::Remove(_, gone) => gone.iter().try_for_each(|made| is_gone(guest, made)),
        Again::Call(_) => has_whole(guest, &story.goal),
        Again::Activate { .. } | Again::GoBack { .. } => Ok(()),
    }
}

/// The same is asked for again, ends on the new generation, and stays there.
///
/// # Errors
/// What is in its way.
pub fn converges(story: &Story, guest: &mut WeakGuest, is_new: bool) -> Result<(), String> {
    let wanted = match &story.again {
        Again::Call(step) => {
            step.run(guest)?;
            story.new.clone()
        }
        Again::Remove(step, gone) => {
            for made in gone {
                is_sent(&mut guest.fork(), made)?;
            }
            step.run(guest)?;
            for made in gone {
                is_gone(guest, made)?;
                is_sent(guest, made)?;
            }
            story.new.clone()
        }
        Again::Activate { switch } => {
            let wanted = activate_again(story, switch, guest, is_new)?;
            none_left(guest)?;
            wanted
        }
        Again::GoBack { ways, found } => {
            let [from_old, from_new] = ways;
            let way = if is_new { from_new } else { from_old };
            go_back(story, guest, way, found)?
        }
    };
    // A confirm that was answered survives whatever happens to the disk.
    let after = guest.boot(guest.fs.disk().cut_hard());
    let (mut after, _) =
        after.map_err(|fault| format!("after the same again and a power cut: {fault}"))?;
    let found = after.picture();
    if found != wanted {
        let found = differences(&found, &wanted, &wanted);
        return Err(format!("after the same again and a power cut: {found}"));
    }
    let is_kept = is_new || !matches!(story.again, Again::GoBack { .. });
    if is_kept { has_whole(&mut after, &story.goal) } else { Ok(()) }
}

fn is_gone(guest: &mut WeakGuest, made: &Made) -> Result<(), String> {
    let tree = format!("{}/store/{}", layout::STATE, made.bundle.digest);
    let secrets = format!("{}/secrets/{}", layout::STATE, made.secrets_version);
    let mut there = |path: &String| guest.fs.stat(path).ok().flatten().is_some();
    match [tree, secrets].into_iter().find(|path| there(path)) {
        Some(path) => Err(format!("`{path}` is still there")),
        None => Ok(()),
    }
}

/// A bundle is whole when it was sent, whatever was left of it.
fn is_sent(guest: &mut WeakGuest, made: &Made) -> Result<(), String> {
    for step in sending(made, NEXT_TX) {
        step.run(guest)?;
    }
    has_whole(guest, made)
}

/// The same switch by another transaction, from what is live now.
fn next(story: &Story, guest: &mut WeakGuest, first: &Switch) -> Result<Switch, String> {
    let observed = observe(guest, story.goal.bundle.digest)?;
    let live = observed.live.map_or(GenerationId::FOUND, |generation| generation.number);
    let mut switch = Switch { tx: name(NEXT_TX), from: live, ..first.clone() };
    switch.generation.number = GenerationId(observed.last_number.0 + 1);
    Ok(switch)
}

/// Takes these steps, and returns the picture that must be there then.
fn take(
    guest: &mut WeakGuest,
    steps: &[Step],
    number: GenerationId,
    files: &Picture,
) -> Result<Picture, String> {
    steps.iter().try_for_each(|step| step.run(guest))?;
    let mut wanted = files.clone();
    wanted.insert("current".to_owned(), format!("Some(\"generations/{number}\")"));
    let found = guest.picture();
    if found == wanted { Ok(wanted) } else { Err(differences(&found, &wanted, &wanted)) }
}

/// Activates the goal by a new transaction.
fn activate_again(
    story: &Story,
    first: &Switch,
    guest: &mut WeakGuest,
    is_new: bool,
) -> Result<Picture, String> {
    let mut switch = next(story, guest, first)?;
    if is_new {
        switch.placement = Placement::default();
    }
    take(guest, &activation(&story.goal, &switch), switch.generation.number, &story.new)
}

/// What stackc changed goes, and what was found is there again.
fn go_back(
    story: &Story,
    guest: &mut WeakGuest,
    way: &Switch,
    found: &Picture,
) -> Result<Picture, String> {
    let switch = next(story, guest, way)?;
    take(guest, &switching(&switch), switch.generation.number, found)
}

/// Another run is refused while one is between two of its calls, also when the pause was long.
///
/// # Errors
/// When it is let in.
pub fn keeps_others_out(guest: &WeakGuest) -> Result<(), String> {
    let mut beside = guest.whole();
    beside.memory.uptime += PAUSE;
    let request = AbandonRequest { caller: caller(NEXT_TX) };
    match beside.call(&["abandon"], &input(&request, &[])) {
        Answer::Refused(refusal) if refusal.code == RefusalCode::Busy => Ok(()),
        other => Err(format!("another run is let in: {other:?}")),
    }
}
