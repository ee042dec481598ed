//! Units by their keys: what a definition says → the lines of a unit.

use super::{
    lines::{Line, Lines},
    lint,
    socket_address::SocketAddress,
    writer::{self, NoForm},
};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::variables,
        source::{Node, Value},
        view::{Located, View},
    },
    model::{GuestPath, Mode, Owner, StartableUnit},
};

/// What a strict sandbox consists of: its user may sudo, its service may not; it reads little of the system and changes
/// none of it. Source: systemd.exec(5), SANDBOXING.
const STRICT: [(&str, &str); 19] = [
    ("UMask", "0027"),
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("LockPersonality", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateTmp", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHome", "read-only"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectSystem", "full"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6 AF_NETLINK"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
];

/// The lines of a unit whose own section is this one.
pub fn lines(view: &View<'_>, section: &'static str, is_template: bool) -> Vec<Line> {
    check_literals(view, is_template);
    let mut unit = Lines { view, section: "Unit", said: Vec::new() };
    unit.text("description", "Description");
    for (key, directive) in
        [("after", "After"), ("before", "Before"), ("requires", "Requires"), ("wants", "Wants")]
    {
        unit.names(key, directive);
    }
    unit.options("Unit");
    unit.section = section;
    match section {
        "Socket" => unit.socket(),
        "Timer" => unit.timer(),
        _ => unit.service(),
    }
    unit.options(section);
    refuse_other_options(view, &["Unit", section]);
    unit.said
}

/// The lines of a drop-in: directives of these sections.
pub fn drop_in(view: &View<'_>, sections: &[&'static str]) -> Vec<Line> {
    let mut unit = Lines { view, section: "Unit", said: Vec::new() };
    for section in sections {
        unit.section = section;
        unit.options(section);
    }
    refuse_other_options(view, sections);
    unit.said
}

impl Lines<'_, '_> {
    fn service(&mut self) {
        self.word("type", "Type");
        self.parsed::<Owner>("user", "User");
        self.parsed::<Owner>("group", "Group");
        self.paths("working_directory", "WorkingDirectory");
        self.environment();
        for file in self.view.texts("environment_files") {
            self.environment_file(&file);
        }
        for node in nodes(self.view, "exec_before") {
            self.command(node, "ExecStartPre", writer::command);
        }
        if let Some(node) = self.view.node("exec") {
            self.command(node, "ExecStart", writer::command);
        }
        for (key, directive) in [("exec_reload", "ExecReload"), ("exec_stop", "ExecStop")] {
            if let Some(node) = self.view.node(key) {
                self.command(node, directive, writer::control_command);
            }
        }
        self.word("restart", "Restart");
        self.number("restart_seconds", "RestartSec", "");
        self.number("start_seconds", "TimeoutStartSec", "");
        self.number("stop_seconds", "TimeoutStopSec", "");
        self.number("memory_max_mib", "MemoryMax", "M");
        self.sandbox();
    }

    fn sandbox(&mut self) {
        let sandbox = self.view.word("sandbox", &[("none", false), ("strict", true)]);
        match sandbox {
            Some(Located { value: true, at }) => {
                for (key, value) in STRICT {
                    let value = match key {
                        "CapabilityBoundingSet" => self.ambient(),
                        _ => value.to_owned(),
                    };
                    self.say(key, value, at);
                }
                self.paths("writes", "ReadWritePaths");
            }
            _ => {
                if let Some(writes) = self.view.node("writes") {
                    let title = "`writes` opens a strict sandbox, and there is none";
                    let help = "add `sandbox = \"strict\"`, or leave `writes` out";
                    self.view.report(Mistake::new(Code::NoEffect, writes.at, title).help(help));
                }
            }
        }
    }

    /// What a service keeps is within its bounds: without them systemd could not give it.
    fn ambient(&self) -> String {
        let options = self.view.table("options").table("Service");
        let ambient = options.node("AmbientCapabilities");
        ambient.and_then(Node::text).map(str::to_owned).unwrap_or_default()
    }

    fn socket(&mut self) {
        for (key, directive) in [("listen", "ListenStream"), ("listen_datagram", "ListenDatagram")]
        {
            for node in nodes(self.view, key) {
                self.listen(directive, node);
            }
        }
        self.boolean("accept", "Accept");
        self.parsed::<StartableUnit>("service", "Service");
        self.parsed::<Owner>("user", "SocketUser");
        self.parsed::<Owner>("group", "SocketGroup");
        self.parsed::<Mode>("mode", "SocketMode");
        self.check_rights();
    }

    /// Only a socket in the file system has an owner and a mode: systemd.socket(5).
    fn check_rights(&self) {
        let listened = ["listen", "listen_datagram"].into_iter();
        let nodes: Vec<_> = listened.flat_map(|key| nodes(self.view, key)).collect();
        let is_port = |node: &&Node| match &node.value {
            Value::Integer(_) => true,
            Value::Text(text) => {
                text.parse::<SocketAddress>().is_ok_and(|address| address.port().is_some())
            }
            _ => false,
        };
        if nodes.is_empty() || !nodes.iter().all(is_port) {
            return;
        }
        for key in ["user", "group", "mode"] {
            let Some(member) = self.view.table.get(key) else { continue };
            let title = format!("`{key}` has no effect on a socket that is no path");
            let help = "leave it out, or listen on a path";
            self.view.report(Mistake::new(Code::NoEffect, member.key, title).help(help));
        }
    }

    fn listen(&mut self, directive: &str, node: &Node) {
        if matches!(node.value, Value::Integer(port) if !(1..=65_535).contains(&port)) {
            // The language has told it.
            return;
        }
        let Some(text) = variables::plain(self.view.lowering, node) else { return };
        let address = self.view.lowering.parse::<SocketAddress>(&text, node.at);
        self.exact(directive, address.map(|a| writer::literal(&a.to_string())), node.at);
    }

    fn timer(&mut self) {
        for when in self.view.texts("on_calendar") {
            self.exact("OnCalendar", Some(writer::literal(&when.value)), when.at);
        }
        self.number("on_boot_seconds", "OnBootSec", "");
        self.number("on_active_seconds", "OnUnitActiveSec", "");
        self.boolean("persistent", "Persistent");
        self.number("random_delay_seconds", "RandomizedDelaySec", "");
        self.number("accuracy_seconds", "AccuracySec", "");
        self.parsed::<StartableUnit>("unit", "Unit");
        let by_calendar = self.view.table.contains_key("on_calendar")
            || self.view.table("options").node("Timer").is_some();
        if let Some(persistent) = self.view.table.get("persistent").filter(|_| !by_calendar) {
            let title = "`persistent` has no effect without `on_calendar`: only what has a date can be missed";
            let help = "leave it out, or add `on_calendar`";
            self.view.report(Mistake::new(Code::NoEffect, persistent.key, title).help(help));
        }
    }

    /// A file that may be missing has a `-` before its path.
    fn environment_file(&mut self, file: &Located<String>) {
        let path = file.value.strip_prefix('-').unwrap_or(&file.value);
        let Some(path) = self.view.lowering.parse::<GuestPath>(path, file.at) else { return };
        if path.as_str().contains(['*', '?', '[', '\\']) {
            let title = format!("systemd takes `{path}` for a pattern of several files");
            let help = "name each file, without `*`, `?`, `[` and backslashes";
            self.view.report(Mistake::new(Code::NoForm, file.at, title).help(help));
            return;
        }
        self.exact("EnvironmentFile", Some(writer::literal(&file.value)), file.at);
    }

    fn environment(&mut self) {
        for (name, value) in super::variables(self.view) {
            let assignment = writer::assignment(&name, &value.value);
            self.exact("Environment", Some(assignment), value.at);
        }
    }

    fn command(
        &mut self,
        node: &Node,
        directive: &str,
        write: fn(&[String]) -> Result<String, NoForm>,
    ) {
        let Value::List(items) = &node.value else { return };
        let words = items.iter().map(|item| self.view.lowering.text(item.text()?, item.at));
        // All of them first, so that each mistake is told.
        let words: Vec<_> = words.collect();
        let words: Option<Vec<String>> = words.into_iter().collect();
        self.exact(directive, words.map(|words| write(&words)), node.at);
    }
}

/// Reports what the words of a command look like they were meant to become: each of them is passed on as it stands.
fn check_literals(view: &View<'_>, is_template: bool) {
    let known = |name: &str| {
        let of_guest = view.lowering.stack.get("env_vars").and_then(|vars| vars.node.table());
        view.table("environment").table.contains_key(name)
            || of_guest.is_some_and(|vars| vars.contains_key(name))
    };
    let commands = ["exec", "exec_reload", "exec_stop"].iter().filter_map(|key| view.node(key));
    for node in commands.chain(nodes(view, "exec_before")) {
        let Value::List(items) = &node.value else { continue };
        // What follows is for another program to read: a script of sh, of Python.
        for item in items.iter().take_while(|item| item.text() != Some("-c")) {
            let Some(word) = item.text() else { continue };
            let variable = variable(word, known).map(|name| {
                let help = format!("write {{{{ env_vars.{name} }}}} when it is no secret, or have a shell read it: `[\"/bin/sh\", \"-c\", …]`");
                (format!("${name}"), help)
            });
            let specifier = SPECIFIERS.into_iter().find(|s| is_template && word.contains(s));
            let specifier = specifier.map(|specifier| (specifier.to_owned(), RAW.to_owned()));
            if let Some((literal, help)) = variable.or(specifier) {
                let title = format!(
                    "the program gets `{literal}` as it stands: neither a shell nor systemd expands these words"
                );
                view.report(Mistake::new(Code::NoEffect, item.at, title).help(help));
            }
        }
    }
}

/// What stands for the name of an instance. Source: systemd.unit(5), SPECIFIERS.
const SPECIFIERS: [&str; 4] = ["%i", "%I", "%j", "%J"];
const RAW: &str =
    "say the line in `options.Service.ExecStart`, which systemd reads by its own rules";

/// A known variable that a word names as a shell would.
fn variable(word: &str, is_known: impl Fn(&str) -> bool) -> Option<&str> {
    word.split('$').skip(1).find_map(|rest| {
        let rest = rest.strip_prefix('{').unwrap_or(rest);
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        Some(&rest[..end.unwrap_or(rest.len())]).filter(|name| is_known(name))
    })
}

fn refuse_other_options(view: &View<'_>, known: &[&'static str]) {
    for (section, at, _) in view.entries("options") {
        if known.contains(&section) {
            continue;
        }
        let mistake = if section == "Install" {
            lint::install(at)
        } else {
            lint::unknown_section(section, at, known)
        };
        view.report(mistake);
    }
}

fn nodes<'v>(view: &View<'v>, key: &str) -> Vec<&'v Node> {
    match view.node(key) {
        Some(Node { value: Value::List(items), .. }) => items.iter().collect(),
        node => node.into_iter().collect(),
    }
}
