//! `stackc history --diff`: two generations of a guest side by side.

use super::{
    diff::{document, painted},
    failures::show_failure,
    fleet::Fleet,
    history::why,
    output,
    reach::Sought,
};
use crate::{
    activate::{Compared, Failed, compare},
    model::{Digest, Generation, GenerationId, Target},
    plan::difference::{self, Mark},
};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Compares and prints. Each guest numbers its own generations, so that it is one guest's.
pub fn show(
    fleet: &Fleet,
    sought: &[Sought],
    numbers: [GenerationId; 2],
    is_json: bool,
) -> Result<ExitCode, ExitCode> {
    let [sought] = sought else {
        return Err(output::usage("--diff compares generations of one guest: name one target"));
    };
    let compared = look(fleet, sought, numbers)
        .map_err(|failed| ExitCode::from(show_failure(&sought.target, &failed)))?;
    if is_json {
        output::print_json(&json(&sought.target, &compared));
    } else {
        output::print_coloured(&lines(&sought.target, &compared).map(painted).collect::<String>());
    }
    Ok(ExitCode::SUCCESS)
}

fn look(fleet: &Fleet, sought: &Sought, numbers: [GenerationId; 2]) -> Result<Compared, Failed> {
    let kept = |digest: &Digest| fleet.store.get(digest).ok();
    compare(&sought.target, &kept, &mut sought.look(fleet)?, numbers)
}

/// As it is printed.
pub fn lines(target: &Target, compared: &Compared) -> impl Iterator<Item = (Mark, String)> {
    let [from, to] = &compared.generations;
    let title = format!("== {target}  generation {} -> generation {}", from.number, to.number);
    let head = [(Mark::Heading, title), record(from), record(to)];
    let secrets = compared.secrets.iter();
    let secrets = secrets.map(|name| (Mark::Changed, format!("  ~ secret {name}: another value")));
    let secrets: Vec<_> = secrets.collect();
    let same = compared.is_empty().then(|| (Mark::Around, "  nothing differs".to_owned()));
    // Their digests stand above already.
    let rest = difference::lines(&compared.difference).into_iter().skip(1);
    head.into_iter().chain(same).chain(secrets).chain(rest)
}

fn record(generation: &Generation) -> (Mark, String) {
    let digest = generation.digest.map_or_else(|| "no bundle".to_owned(), |digest| digest.short());
    let Generation { number, at, by, .. } = generation;
    (Mark::Around, format!("  {number}: {digest}, {at}, {by}, {}", why(generation)))
}

fn json(target: &Target, compared: &Compared) -> Value {
    let [from, to] = &compared.generations;
    let found = document(&compared.difference);
    json!({
        "target": target.to_string(),
        "from": from,
        "to": to,
        "secrets": compared.secrets,
        "subjects": found["subjects"],
        "units": found["units"],
        "files": found["files"],
    })
}
