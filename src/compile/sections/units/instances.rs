//! Instances of templates: a template itself is never started.

use super::{Unit, unit::UNITS};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::overlay::{Item, Overlay},
        view::View,
    },
    model::GuestPath,
};

/// Reports templates of timers of which nothing names an instance; an app and hooks may start one.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit]) {
    if ["release", "hooks"].iter().any(|key| stack.node(key).is_some()) {
        return;
    }
    for timer in units.iter().filter(|unit| unit.is_a(".timer") && !unit.is_drop_in) {
        if timer.is_template() && !has_instance(overlay, timer) {
            let title = format!("`{}` never fires: nothing starts an instance of it", timer.name);
            let mistake = Mistake::new(Code::NoEffect, timer.at, title);
            stack.report(mistake.help(help(timer)));
        }
    }
}

/// Whether anything but the template itself may start an instance of it.
fn has_instance(overlay: &Overlay, timer: &Unit) -> bool {
    let (stem, _) = timer.name.as_str().split_once("@.").unwrap_or_default();
    let begin = format!("{stem}@");
    let names = |path: &GuestPath, item: &Item| match item {
        // A target that wants a template starts the instance that is named after the target.
        Item::Link { .. } => path.as_str().contains(&format!("/{begin}")),
        Item::File { bytes, .. } => String::from_utf8_lossy(bytes).contains(&begin),
        Item::Secret { .. } => true,
        Item::Directory { .. } => false,
    };
    let others = overlay.items.iter().filter(|(path, _)| **path != timer.path);
    others.into_iter().any(|(path, (item, _))| names(path, item))
}

fn help(unit: &Unit) -> String {
    let instance = unit.name.as_str().replace("@.", "@INSTANCE.");
    format!(
        "start an instance by `links`: `{UNITS}timers.target.wants/{instance}` to `{UNITS}{}`",
        unit.name
    )
}
