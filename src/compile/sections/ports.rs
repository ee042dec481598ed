//! `ports`: what the services of a guest listen on, and what Debian and databases listen on besides.

use super::{
    firewall::admission::SSH_PORT,
    overlay::{Item, Overlay},
};
use crate::compile::{
    report::{Code, Mistake},
    source::{At, Value},
    view::View,
};
use std::collections::BTreeMap;

/// A port that is taken before any service of the definition starts.
pub struct Taken {
    pub port: u16,
    pub by: String,
    /// Where it was declared; nowhere what Debian starts itself.
    pub at: Option<At>,
}

/// Servers of databases: where they listen when nobody says, and the folder whose files may say otherwise.
const SERVERS: [(&str, u16, &str); 2] =
    [("postgresql", 5432, "/etc/postgresql/"), ("mariadb", 3306, "/etc/mysql/")];
/// Redis's own.
pub const REDIS_PORT: u32 = 6379;

/// The ports that declared databases of some engines have. All of them listen on the loopback addresses.
pub fn of_databases(stack: &View<'_>, overlay: &Overlay, engines: &[&str]) -> Vec<Taken> {
    let taken = |(name, view): (&str, View<'_>)| {
        let engine = view.text("engine").map_or("postgresql".to_owned(), |engine| engine.value);
        let server = SERVERS.iter().find(|(server, ..)| *server == engine);
        let port = match server {
            Some((_, port, _)) => *port,
            None => u16::try_from(view.number_or("port", REDIS_PORT)?).ok()?,
        };
        let is_said = server.is_some_and(|(.., folder)| says_where(overlay, folder));
        let by = format!("the database `{name}` of {engine}");
        let is_wanted = engines.contains(&engine.as_str()) && !is_said;
        is_wanted.then_some(Taken { port, by, at: Some(view.at) })
    };
    stack.tables("databases").filter_map(taken).collect()
}

/// What a server's configuration says of where it listens.
const WHERE: [&str; 4] = ["port", "listen_addresses", "networking", "include"];

/// Whether the bundle's own configuration of a server may let it listen elsewhere.
fn says_where(overlay: &Overlay, folder: &str) -> bool {
    let mut files = overlay.items.iter().filter(|(path, _)| path.as_str().starts_with(folder));
    files.any(|(_, (item, _))| match item {
        Item::File { bytes, .. } => {
            let text = String::from_utf8_lossy(bytes);
            WHERE.iter().any(|word| text.contains(word))
        }
        Item::Secret { .. } | Item::Link { .. } => true,
        Item::Directory { .. } => false,
    })
}

/// The ports that Debian's own servers have on this guest.
pub fn taken(stack: &View<'_>, overlay: &Overlay) -> Vec<Taken> {
    let mut taken = of_databases(stack, overlay, &["postgresql", "mariadb"]);
    taken.push(Taken { port: SSH_PORT, by: "sshd, which Debian starts".to_owned(), at: None });
    taken
}

/// Reports a port that two services have: the second to start would not come up. An instance of Redis looks after its own.
pub fn check(stack: &View<'_>, overlay: &Overlay) {
    let taken = taken(stack, overlay);
    let mut seen: BTreeMap<i64, (&str, At)> = BTreeMap::new();
    for (name, _, node) in stack.entries("ports") {
        let Value::Integer(port) = node.value else { continue };
        if let Some(other) = seen.insert(port, (name, node.at)) {
            stack.report(twice(port, other, (name, node.at)));
        }
        let other = taken.iter().find(|taken| i64::from(taken.port) == port);
        if let Some(other) = other.filter(|_| is_service(stack, port)) {
            stack.report(taken_already(name, node.at, other));
        }
    }
}

/// Whether a port is surely one of a service of the definition, and not a name for another one's: neither sshd nor a database
/// answers a probe by HTTP.
pub fn is_service(stack: &View<'_>, port: i64) -> bool {
    stack.tables("probes").any(|(_, probe)| {
        let asked = probe.table("http").number("port");
        asked.is_some_and(|asked| i64::from(asked.value) == port)
    })
}

fn taken_already(name: &str, at: At, other: &Taken) -> Mistake {
    let title = format!("`{name}` has the port {} of {}", other.port, other.by);
    let mistake = Mistake::new(Code::SamePort, at, title);
    let mistake = other.at.into_iter().fold(mistake, |mistake, at| mistake.also(at, "taken here"));
    mistake.help("two programs of a guest cannot listen on one port: take another one")
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
