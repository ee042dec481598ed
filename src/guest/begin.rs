//! `begin`: everything that can fail without an effect, then the switch is started apart from the connection.

use super::Guest;
use super::before::{self, Before};
use super::error::GuestError;
use super::fs::GuestFs;
use super::system::Alarm;
use super::{
    copies, door, firewall, found, generation, health, hooks, journal, recover, release, secrets,
    staging, store, switch, undo,
};
use crate::model::protocol::{Caller, Done};
use crate::model::{
    FirewallAction, GenerationId, HealthDocument, Phase, Probe, Switch, UnitName, document,
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether this very switch is at work or over, so that a repeated `begin` has nothing to do. Needs no lock: a switch
/// at work holds it for as long as a unit may take to start.
pub fn has_begun(fs: &mut dyn GuestFs, switch: &Switch) -> Result<bool, GuestError> {
    if journal::record(fs, &switch.tx)?.is_some() {
        return Ok(true);
    }
    let pending = journal::is_pending(fs, &switch.tx)?;
    Ok(pending
        && journal::switch(fs, &switch.tx)? == *switch
        && journal::phase(fs, &switch.tx)? > Phase::Begun)
}

/// Starts the switch on the guest, which then needs nobody. Again with the same transaction: changes nothing.
pub fn begin(guest: &mut Guest, caller: &Caller, switch: &Switch) -> Result<Done, GuestError> {
    let tx = &switch.tx;
    if caller.tx != *tx {
        return Err(GuestError::Unfit("the caller's transaction is not the switch's".to_owned()));
    }
    if journal::record(guest.fs, tx)?.is_some() {
        return Ok(Done { already: true });
    }
    if !journal::is_pending(guest.fs, tx)? {
        undo::settle(guest)?;
        check(guest, switch)?;
        recover::install(guest)?;
        generation::write_found(guest.fs, switch)?;
        hooks::check_ran(guest, switch)?;
        // Hooks have run since: what they did to the way in goes back with the switch.
        let early = door::early::read(guest, tx)?;
        if let Some((door, texts, _)) = &early {
            door.files.restore_placed(guest.fs, switch, texts)?;
        }
        let mut before = look(guest, switch)?;
        let (mut door, texts) = match early {
            Some((door, texts, rules)) => {
                before.rules = rules;
                (door, texts)
            }
            None => door::look(guest)?,
        };
        door.files.leave_to(&before);
        found::note(guest.fs, switch, &before)?;
        journal::publish(guest.fs, switch, &before, (&door, &texts))?;
    } else if journal::switch(guest.fs, tx)? != *switch {
        return Err(GuestError::Unfit(format!("transaction `{tx}` is another switch")));
    }
    let already =
        journal::phase(guest.fs, tx)? > Phase::Begun || journal::decision(guest.fs, tx)?.is_some();
    if !already && let Err(error) = start(guest, switch) {
        undo::give_up(guest, tx, &error)?;
        return Err(error);
    }
    Ok(Done { already })
}

/// Makes what the switch only has to rename, and starts it. A failure here leaves nothing: the transaction is undone.
fn start(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    let before = journal::before(guest.fs, &switch.tx)?;
    let owned = generation::ledger(guest.fs, switch.from)?;
    copies::keep(guest.fs, switch, &owned)?;
    keep_rules(guest, switch, &before)?;
    copies::note(guest.fs, &switch.tx)?;
    staging::prepare(guest.fs, switch, &before, &owned)?;
    generation::write(guest.fs, switch)?;
    // From here on there is always somebody who undoes it: first the alarm of its hooks, then its own.
    guest.system.arm(&switch.tx, Alarm::Switch, switch::alarm_after(switch, &before))?;
    door::early::forget(guest)?;
    Ok(guest.system.start_switch(&switch.tx)?)
}

/// Keeps the kernel's rules when a hand has changed what the switch loads anew. An undo keeps what it finds by other names.
fn keep_rules(guest: &mut Guest, switch: &Switch, before: &Before) -> Result<(), GuestError> {
    let Some(live) = generation::digest(guest.fs, switch.from)? else { return Ok(()) };
    let (rules, loads) = (&before.rules, switch.firewall == FirewallAction::Apply);
    if !loads || firewall::drift(guest, &live, rules)?.is_empty() {
        return Ok(());
    }
    let texts =
        [("iptables-save.overwritten", &*rules.v4), ("ip6tables-save.overwritten", &*rules.v6)];
    copies::keep_texts(guest.fs, &switch.tx, &texts)
}

/// Refuses whatever would not end in a whole generation.
fn check(guest: &mut Guest, switch: &Switch) -> Result<(), GuestError> {
    let live = generation::live_number(guest.fs)?;
    if switch.from != live {
        return Err(GuestError::Stale { planned: switch.from, live });
    }
    let last = generation::last_number(guest.fs)?;
    let number = switch.generation.number;
    if number <= last {
        return Err(GuestError::Raced { number: last });
    }
    check_parts(guest.fs, switch)?;
    before::check_one_file_system(guest.fs, switch)?;
    store::check_room(guest.fs, 0)
}

/// The tree, the release and the secrets of the new generation are there, whole.
fn check_parts(fs: &mut dyn GuestFs, switch: &Switch) -> Result<(), GuestError> {
    let generation = &switch.generation;
    // The guest as it was found is made of nothing that is in the store.
    let Some(digest) = generation.digest else { return Ok(()) };
    let manifest = store::verify(fs, &digest)?;
    store::verify_owners(fs, &digest, &manifest)?;
    let missing = |what: String| Err(GuestError::Unfit(format!("{what}; prepare it first")));
    if let Some(fault) = secrets::fault(fs, generation.secrets)? {
        return missing(format!("secrets `{}`: {fault}", generation.secrets.0.short()));
    }
    match generation.release {
        Some(id) if !release::is_built(fs, id)? => {
            missing(format!("release `{}` is not built", id.0.short()))
        }
        _ => Ok(()),
    }
}

/// Takes down what the guest is before the switch.
fn look(guest: &mut Guest, switch: &Switch) -> Result<Before, GuestError> {
    let units: Vec<UnitName> = unit_names(switch).into_iter().collect();
    let rules = guest.system.save_firewall()?;
    let old = live_health(guest, switch.from)?;
    let failing = health::failing(guest, &old.probes)?;
    let is_shared = |name: &String| switch.health.probes.get(name) == old.probes.get(name);
    Ok(Before {
        boot_id: guest.system.boot_id()?,
        live: generation::live(guest.fs)?,
        tree_fault: generation::tree_fault(guest.fs, switch.from)?,
        paths: before::look(guest.fs, switch)?,
        created: before::missing_folders(guest.fs, switch)?,
        units: guest.system.units(&units)?,
        failing_probes: failing.keys().filter(|name| is_shared(name)).cloned().collect(),
        passing_probes: passing(&old.probes, &failing),
        start_seconds: old.start_seconds,
        rules,
    })
}

fn unit_names(switch: &Switch) -> BTreeSet<UnitName> {
    let mut names = BTreeSet::new();
    for actions in [&switch.units, &switch.undo_units] {
        for list in [&actions.stop, &actions.reload, &actions.restart, &actions.start] {
            names.extend(list.iter().cloned());
        }
    }
    names.extend(switch.health.probes.values().filter_map(|probe| match probe {
        Probe::Unit { unit } => Some(unit.clone()),
        _ => None,
    }));
    names
}

fn passing(
    probes: &BTreeMap<String, Probe>,
    failing: &BTreeMap<String, String>,
) -> BTreeMap<String, Probe> {
    let passes = |name: &String| !failing.contains_key(name);
    let passing = probes.iter().filter(|(name, _)| passes(name));
    passing.map(|(name, probe)| (name.clone(), probe.clone())).collect()
}

/// How the live generation is judged; the guest as it was found has no probes.
fn live_health(guest: &mut Guest, from: GenerationId) -> Result<HealthDocument, GuestError> {
    let health = match generation::digest(guest.fs, from)? {
        None => None,
        Some(digest) => store::document(guest.fs, &digest, document::HEALTH)?,
    };
    let none = HealthDocument {
        probes: BTreeMap::new(),
        window_seconds: 0,
        start_seconds: 0,
        confirm_seconds: 0,
    };
    Ok(health.unwrap_or(none))
}
