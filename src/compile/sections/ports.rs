//! `ports`: what the services of a guest listen on.

use crate::compile::{
    report::{Code, Mistake},
    source::{At, Value},
    view::View,
};
use std::collections::BTreeMap;

/// Reports a port that two services have: the second to start would not come up.
pub fn check(stack: &View<'_>) {
    let mut seen: BTreeMap<i64, (&str, At)> = BTreeMap::new();
    for (name, _, node) in stack.entries("ports") {
        let Value::Integer(port) = node.value else { continue };
        if let Some(other) = seen.insert(port, (name, node.at)) {
            stack.report(twice(port, other, (name, node.at)));
        }
    }
}

/// The stronger layer is told first: its file comes later.
fn twice(port: i64, one: (&str, At), two: (&str, At)) -> Mistake {
    let (weak, strong) = if one.1 < two.1 { (one, two) } else { (two, one) };
    let title = format!("`{}` and `{}` have the same port {port}", strong.0, weak.0);
    Mistake::new(Code::SamePort, strong.1, title)
        .label("again here")
        .also(weak.1, "first here")
        .help("two services of a guest cannot listen on one port: give one of them another")
}
