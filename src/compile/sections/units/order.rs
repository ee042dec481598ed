//! Units that wait for each other: systemd drops one of them at boot, with a line in its log.

use super::{Unit, unit::UNITS};
use crate::compile::{
    report::{Code, Mistake},
    sections::overlay::{Item, Overlay},
    source::At,
    view::View,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// All that these start is started together at boot.
const AT_BOOT: [&str; 5] =
    ["multi-user.target", "basic.target", "sockets.target", "timers.target", "paths.target"];

/// What each unit starts after, with the place that says so.
type Order<'u> = BTreeMap<&'u str, BTreeMap<&'u str, At>>;

/// Reports each circle of units that are all started at boot.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit]) {
    let order = in_circles(order(units, &at_boot(overlay)));
    let mut told = BTreeSet::new();
    for first in order.keys() {
        if told.contains(first) {
            continue;
        }
        let Some(circle) = circle(&order, first) else { continue };
        told.extend(circle.iter().map(|(unit, ..)| *unit));
        report(stack, &circle);
    }
}

fn at_boot(overlay: &Overlay) -> BTreeSet<&str> {
    let started = overlay.items.iter().filter_map(|(path, (item, _))| {
        let (folder, unit) = path.as_str().strip_prefix(UNITS)?.split_once('/')?;
        let target = folder.strip_suffix(".wants")?;
        (matches!(item, Item::Link { .. }) && AT_BOOT.contains(&target)).then_some(unit)
    });
    started.collect()
}

fn order<'u>(units: &'u [Unit], started: &BTreeSet<&str>) -> Order<'u> {
    let mut order = Order::new();
    for unit in units {
        let own = unit.name.as_str();
        for directive in unit.directives().filter(|d| d.section == "Unit") {
            for other in directive.value.split_whitespace() {
                let (later, earlier) = match directive.key {
                    "After" => (own, other),
                    "Before" => (other, own),
                    _ => continue,
                };
                if later != earlier && started.contains(later) && started.contains(earlier) {
                    order.entry(later).or_default().entry(earlier).or_insert(directive.at);
                }
            }
        }
    }
    order
}

/// Without the units that are in no circle, nor between two.
fn in_circles(order: Order<'_>) -> Order<'_> {
    reversed(&stuck(reversed(&stuck(order))))
}

/// Only units that start after a circle, or in one: all others start when those before them have started.
fn stuck(mut order: Order<'_>) -> Order<'_> {
    let mut waiting: BTreeMap<&str, usize> =
        order.iter().map(|(unit, earlier)| (*unit, earlier.len())).collect();
    let later = reversed(&order);
    let mut ready: Vec<&str> =
        later.keys().copied().filter(|unit| !waiting.contains_key(unit)).collect();
    while let Some(unit) = ready.pop() {
        for next in later.get(unit).into_iter().flat_map(BTreeMap::keys) {
            let left = waiting.get_mut(next).expect("what starts after a unit waits for it");
            *left -= 1;
            if *left == 0 {
                ready.push(next);
            }
        }
    }
    let is_stuck = |unit: &&str| waiting.get(unit).is_some_and(|left| *left > 0);
    order.retain(|unit, _| is_stuck(unit));
    for earlier in order.values_mut() {
        earlier.retain(|unit, _| is_stuck(unit));
    }
    order
}

fn reversed<'u>(order: &Order<'u>) -> Order<'u> {
    let mut reversed = Order::new();
    for (later, before) in order {
        for (earlier, at) in before {
            reversed.entry(*earlier).or_default().insert(*later, *at);
        }
    }
    reversed
}

/// A shortest way from a unit back to itself: each unit, what it starts after, and where that is said.
fn circle<'u>(order: &Order<'u>, first: &'u str) -> Option<Vec<(&'u str, &'u str, At)>> {
    let mut came: BTreeMap<&str, (&str, At)> = BTreeMap::new();
    let mut ways = VecDeque::from([first]);
    while let Some(unit) = ways.pop_front().filter(|_| !came.contains_key(first)) {
        for (earlier, at) in order.get(unit).into_iter().flatten() {
            if !came.contains_key(earlier) {
                came.insert(earlier, (unit, *at));
                ways.push_back(earlier);
            }
        }
    }
    let mut way = Vec::new();
    let mut here = first;
    while way.is_empty() || here != first {
        let (unit, at) = *came.get(here)?;
        way.push((unit, here, at));
        here = unit;
    }
    way.reverse();
    Some(way)
}

fn report(stack: &View<'_>, circle: &[(&str, &str, At)]) {
    let [(unit, earlier, at), others @ ..] = circle else { return };
    let rest: Vec<_> = others.iter().map(|(_, earlier, _)| format!("`{earlier}`")).collect();
    let title = format!(
        "`{unit}` starts after `{earlier}`, and that after {}: systemd drops one of them at boot",
        rest.join(", and that after ")
    );
    let mut mistake = Mistake::new(Code::OrderCircle, *at, title);
    for (unit, earlier, at) in others {
        mistake = mistake.also(*at, format!("`{unit}` starts after `{earlier}`"));
    }
    stack.report(mistake.help("take out one of these `after` or `before`"));
}
