//! Definitions in Proxmox's own words.

use crate::model::{Container, HostKey, Mark, Parameters, Setting, property::digit};
use std::collections::BTreeSet;

/// Settings as parameters of `PUT …/config`; whatever is taken away stands in one `delete`, separated by commas.
pub(super) fn parameters(container: &Container, settings: &[Setting]) -> Parameters {
    let all = settings.iter().map(|setting| parameter(container, setting));
    let (gone, mut set): (Parameters, Parameters) = all.partition(|(key, _)| key == "delete");
    if !gone.is_empty() {
        let keys: Vec<String> = gone.into_iter().map(|(_, key)| key).collect();
        set.push(("delete".to_owned(), keys.join(",")));
    }
    set
}

fn parameter(container: &Container, setting: &Setting) -> (String, String) {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    match setting {
        Setting::Hostname(name) => pair("hostname", name.to_string()),
        Setting::Cores(n) => pair("cores", n.to_string()),
        Setting::CpuLimit(limit) => pair("cpulimit", limit.clone()),
        Setting::CpuUnits(n) => pair("cpuunits", n.to_string()),
        Setting::MemoryMib(n) => pair("memory", n.to_string()),
        Setting::SwapMib(n) => pair("swap", n.to_string()),
        Setting::OnBoot(on) => pair("onboot", digit(*on)),
        Setting::Startup(startup) => pair("startup", startup.to_string()),
        Setting::Protection(on) => pair("protection", digit(*on)),
        Setting::Nesting(on) => pair("features", format!("nesting={}", digit(*on))),
        Setting::Nameservers(list) if list.is_empty() => pair("delete", "nameserver".to_owned()),
        Setting::Nameservers(list) => {
            let list: Vec<_> = list.iter().map(ToString::to_string).collect();
            pair("nameserver", list.join(" "))
        }
        Setting::SearchDomain(domain) => pair("searchdomain", domain.clone()),
        Setting::Tags(tags) => pair("tags", join(tags)),
        Setting::Unset(key) => pair("delete", (*key).to_owned()),
        Setting::Description(notes) => pair("description", description(container, notes)),
        Setting::Network(network) => pair("net0", network.of_container("eth0")),
        Setting::Interface(name, Some(network)) => {
            pair(&name.slot(), network.of_container(name.as_str()))
        }
        Setting::Interface(name, None) => pair("delete", name.slot()),
    }
}

/// The whole description of a guest that is ours: notes, then the host key's line, then the mark. Without these two it is
/// nobody's.
fn description(container: &Container, notes: &str) -> String {
    let own = [
        container.host_key.as_ref().map(HostKey::line),
        container.mark.as_ref().map(Mark::to_string),
    ];
    let own: Vec<_> = own.into_iter().flatten().collect();
    let parts = [notes.to_owned(), own.join("\n")].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join("\n\n")
}

/// What a fresh guest lacks: its host key's line in the description, and its tags.
pub(super) fn introduction(
    container: &Container,
    host_key: HostKey,
    tags: &BTreeSet<String>,
) -> Parameters {
    let known = Container { host_key: Some(host_key), ..container.clone() };
    parameters(
        &known,
        &[Setting::Description(container.notes.clone()), Setting::Tags(tags.clone())],
    )
}

fn join(tags: &BTreeSet<String>) -> String {
    tags.iter().map(String::as_str).collect::<Vec<_>>().join(";")
}
