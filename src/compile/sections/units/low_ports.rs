//! Ports below 1024, which only root opens, or who has the capability: capabilities(7).

use super::{Directive, Unit};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::{
            overlay::{Item, Overlay},
            ports,
        },
        source::At,
        view::View,
    },
    model::unit_words,
};

/// The parameter that lets everybody open some of them.
const PARAMETER: &str = "ip_unprivileged_port_start";
const FIRST_FREE: u16 = 1024;

/// Reports a service that is told a port in `PORT`, is asked there by a probe, and surely cannot open it.
pub fn check(stack: &View<'_>, overlay: &Overlay, units: &[Unit]) {
    if is_lowered(stack, overlay) {
        return;
    }
    for unit in units.iter().filter(|unit| unit.is_a(".service") && unit.is_whole) {
        let is_changed = units.iter().any(|other| other.is_drop_in && other.name == unit.name);
        let Some(user) = powerless(unit).filter(|_| !is_changed) else { continue };
        let Some((port, at)) = told(stack, unit) else { continue };
        if port < FIRST_FREE && ports::is_service(stack, port.into()) && !has_socket(units) {
            let title =
                format!("`{}` is told the port {port}, which `{user}` may not open", unit.name);
            let help = "take a port above 1023, or give the unit `AmbientCapabilities` and `CapabilityBoundingSet`, both of them CAP_NET_BIND_SERVICE";
            stack.report(Mistake::new(Code::LowPort, at, title).help(help));
        }
    }
}

/// Whether somebody says where the ports begin that everybody may open.
fn is_lowered(stack: &View<'_>, overlay: &Overlay) -> bool {
    let mut parameters = stack.table("system").table("sysctl").table.keys();
    let mut files = overlay.items.values();
    parameters.any(|name| name.contains(PARAMETER))
        || files.any(|(item, _)| match item {
            Item::File { bytes, .. } => String::from_utf8_lossy(bytes).contains(PARAMETER),
            _ => false,
        })
}

/// The user of a unit that has no capability, and no command that is exempt from that.
fn powerless(unit: &Unit) -> Option<&str> {
    let user = unit.last("Service", "User")?.value;
    let is_named = !["root", "0"].contains(&user) && !user.contains('%');
    let mut bounds = unit.assignments().filter(|d| d.key == "CapabilityBoundingSet").peekable();
    let is_bound = bounds.peek().is_some() && bounds.all(|bound| bound.value.is_empty());
    let mut directives = unit.directives();
    let is_plain = directives.all(|Directive { key, value, .. }| match key {
        "AmbientCapabilities" | "PAMName" => false,
        key => !key.starts_with("Exec") || value.starts_with('/'),
    });
    (is_named && is_bound && is_plain).then_some(user)
}

/// The port that a unit's environment has; none when a file of variables may have another one.
fn told(stack: &View<'_>, unit: &Unit) -> Option<(u16, At)> {
    let env_file = stack.table("env_file").text("path").map(|path| path.value);
    let mut files = unit.directives().filter(|d| d.key == "EnvironmentFile");
    let is_elsewhere = stack.table("env_vars").table.contains_key("PORT")
        || files.any(|file| Some(file.value) != env_file.as_deref());
    let ports = unit.directives().filter(|d| d.key == "Environment").filter_map(|directive| {
        let words = unit_words(directive.value)?;
        let port = words.iter().rev().find_map(|word| word.strip_prefix("PORT="))?;
        Some((port.parse().ok()?, directive.at))
    });
    ports.last().filter(|_| !is_elsewhere)
}

/// Whether a socket may open a port for a service.
fn has_socket(units: &[Unit]) -> bool {
    units.iter().any(|unit| unit.is_a(".socket"))
}
