//! Layers: what a stronger one makes of a weaker one.

use super::Shape::{self, Named};
use crate::compile::{
    report::{Code, Mistake},
    source::{At, Member, Node, Table, Value},
};

/// Lays a stronger layer over a weaker one: tables merge by key, everything else replaces, `false` removes an entry.
pub fn merge(shape: Shape, weak: &mut Table, strong: &Table, mistakes: &mut Vec<Mistake>) {
    for (key, member) in strong {
        let Some(child) = shape.child(key) else { continue };
        if matches!((shape, &member.node.value), (Named(..), Value::Boolean(false))) {
            if weak.remove(key).is_none() {
                mistakes.push(nothing_to_remove(key, member.node.at));
            }
            continue;
        }
        match (weak.get_mut(key), child.chosen(&member.node.value)) {
            (Some(below), Some(child)) => merge_node(child, &mut below.node, member, mistakes),
            (None, Some(child)) if member.node.table().is_some() => {
                let mut fresh = Node { at: member.node.at, value: Value::Table(Table::new()) };
                merge_node(child, &mut fresh, member, mistakes);
                weak.insert(key.clone(), Member { key: member.key, node: fresh });
            }
            _ => {
                weak.insert(key.clone(), member.clone());
            }
        }
    }
}

fn merge_node(shape: Shape, weak: &mut Node, strong: &Member, mistakes: &mut Vec<Mistake>) {
    match (&mut weak.value, &strong.node.value) {
        (Value::Table(below), Value::Table(above)) => {
            merge(shape, below, above, mistakes);
            weak.at = strong.node.at;
        }
        (_, Value::Table(above)) => {
            *weak = Node { at: strong.node.at, value: Value::Table(Table::new()) };
            if let Value::Table(below) = &mut weak.value {
                merge(shape, below, above, mistakes);
            }
        }
        _ => *weak = strong.node.clone(),
    }
}

fn nothing_to_remove(key: &str, at: At) -> Mistake {
    Mistake::new(
        Code::NothingToRemove,
        at,
        format!("no weaker layer has an entry `{key}` that `false` could remove"),
    )
    .help("leave the line out, or write \"false\" in quotes where you mean the text")
}
