//! The names of a template, looked up in what the template sees.

use super::{
    Scope,
    names::{Event, Name},
};
use serde_json::Value;
use std::{collections::BTreeMap, ops::Range};

/// A variable of a loop or of `set`: the values that it may have, when they are known.
struct Local<'a> {
    name: &'a str,
    values: Option<Vec<&'a Value>>,
}

/// The names that do not exist.
pub fn unknown(events: &[Event], scope: &Scope) -> Vec<Name> {
    let mut locals: Vec<Vec<Local<'_>>> = vec![Vec::new()];
    let mut unknown = Vec::new();
    for event in events {
        match event {
            Event::Name(name) => {
                let path: Vec<_> = name.path.split('.').collect();
                if look_up(&path, &locals, scope).is_err() {
                    unknown.push(name.clone());
                }
            }
            Event::Loop { variables, over, .. } => {
                let values = over.as_ref().and_then(|path| {
                    let path: Vec<_> = path.iter().map(String::as_str).collect();
                    look_up(&path, &locals, scope).ok().flatten()
                });
                locals.push(bind(variables, values));
            }
            Event::LoopEnd { .. } => {
                locals.pop();
            }
            Event::Set { name, .. } => {
                if let Some(inner) = locals.last_mut() {
                    inner.push(Local { name, values: None });
                }
            }
        }
    }
    unknown
}

fn bind<'a>(variables: &'a [String], over: Option<Vec<&'a Value>>) -> Vec<Local<'a>> {
    let elements = over.map(|values| {
        values
            .into_iter()
            .flat_map(|value| match value {
                Value::Array(items) => items.iter().collect::<Vec<_>>(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            })
            .collect()
    });
    let mut locals: Vec<_> = variables.iter().map(|name| Local { name, values: None }).collect();
    if let Some(last) = locals.last_mut() {
        last.values = elements;
    }
    locals
}

/// The values of a path, when they are known; an error when it does not exist.
fn look_up<'a>(
    path: &[&str],
    locals: &[Vec<Local<'a>>],
    scope: &'a Scope,
) -> Result<Option<Vec<&'a Value>>, ()> {
    let (root, rest) = path.split_first().ok_or(())?;
    let local = locals.iter().rev().flatten().find(|local| local.name == *root);
    let roots = match local {
        Some(Local { values: None, .. }) => return Ok(None),
        Some(Local { values: Some(values), .. }) => values.clone(),
        None => vec![scope.get(*root).ok_or(())?],
    };
    let below = |value: &'a Value| rest.iter().try_fold(value, |value, key| value.get(key));
    roots.into_iter().map(|value| below(value).ok_or(())).collect::<Result<_, _>>().map(Some)
}

/// The paths that a stretch of a template names, those of loop variables as what their loop walks.
pub fn within(events: &[Event], stretch: &Range<usize>) -> Vec<String> {
    let mut walked: BTreeMap<&str, String> = BTreeMap::new();
    let mut found = Vec::new();
    for event in events {
        match event {
            Event::Loop { variables, over: Some(over), .. } => {
                walked.extend(variables.iter().map(|name| (name.as_str(), over.join("."))));
            }
            Event::Name(name) if name.span.start < stretch.end && stretch.start < name.span.end => {
                found.push(walked.get(name.path.as_str()).unwrap_or(&name.path).clone());
            }
            _ => {}
        }
    }
    found
}

/// Every path of a scope, for suggestions.
pub fn paths(scope: &Scope) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in scope {
        found.push(name.clone());
        if let Value::Object(map) = value {
            found.extend(map.keys().map(|key| format!("{name}.{key}")));
        }
    }
    found
}
