//! The lines of one unit, gathered key by key, each with the place that said it.

use super::writer::{self, NoForm};
use crate::{
    compile::{
        report::{Code, Mistake},
        sections::variables,
        source::{At, Node, Value},
        view::View,
    },
    model::{GuestPath, UnitName},
};

/// A directive and where it was said.
pub struct Line {
    pub section: String,
    pub key: String,
    pub value: String,
    pub at: At,
}

/// Directives that the language has a key for, and of which systemd takes the last.
const ONCE: [&str; 19] = [
    "Description",
    "Type",
    "User",
    "Group",
    "WorkingDirectory",
    "Restart",
    "RestartSec",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "MemoryMax",
    "Accept",
    "Service",
    "SocketUser",
    "SocketGroup",
    "SocketMode",
    "Persistent",
    "RandomizedDelaySec",
    "AccuracySec",
    "Unit",
];

/// The lines of one unit, as they are gathered.
pub struct Lines<'a, 'v> {
    pub view: &'a View<'v>,
    pub section: &'static str,
    pub said: Vec<Line>,
}

impl Lines<'_, '_> {
    pub fn say(&mut self, key: &str, value: String, at: At) {
        let section = self.section.to_owned();
        self.said.push(Line { section, key: key.to_owned(), value, at });
    }

    /// Says what has a form, and reports what has none.
    pub fn exact<T: Into<String>>(&mut self, key: &str, value: Option<Result<T, NoForm>>, at: At) {
        match value {
            Some(Ok(value)) => self.say(key, value.into(), at),
            Some(Err(error)) => self.view.report(no_form(error, at)),
            None => {}
        }
    }

    pub fn text(&mut self, key: &str, directive: &str) {
        if let Some(text) = self.view.text(key) {
            self.exact(directive, Some(writer::literal(&text.value)), text.at);
        }
    }

    pub fn word(&mut self, key: &str, directive: &str) {
        if let Some(word) = self.view.one_of(key) {
            self.say(directive, word.value, word.at);
        }
    }

    pub fn boolean(&mut self, key: &str, directive: &str) {
        if let (Some(value), Some(node)) = (self.view.boolean(key), self.view.node(key)) {
            self.say(directive, yes_or_no(value), node.at);
        }
    }

    pub fn number(&mut self, key: &str, directive: &str, unit: &str) {
        if let Some(number) = self.view.number(key) {
            self.say(directive, format!("{}{unit}", number.value), number.at);
        }
    }

    pub fn parsed<T: std::str::FromStr<Err: std::fmt::Display> + ToString>(
        &mut self,
        key: &str,
        directive: &str,
    ) {
        if let Some(value) = self.view.parsed::<T>(key) {
            self.say(directive, value.value.to_string(), value.at);
        }
    }

    pub fn names(&mut self, key: &str, directive: &str) {
        for name in self.view.parsed_texts::<UnitName>(key) {
            self.say(directive, name.value.to_string(), name.at);
        }
    }

    /// Paths, each on a line of its own.
    pub fn paths(&mut self, key: &str, directive: &str) {
        for path in self.view.parsed_texts::<GuestPath>(key) {
            let text = path.value.as_str();
            // systemd.exec(5) leaves open how a quote or a backslash in a path is to be written.
            let plain = !text.contains(['"', '\'', '\\', ' ', ';', ':']);
            let value = plain.then(|| writer::literal(text));
            if value.is_none() {
                let title = format!("`{text}` has no form in a unit");
                let help = "use a path without blanks, quotes, colons, semicolons and backslashes";
                self.view.report(Mistake::new(Code::NoForm, path.at, title).help(help));
            }
            self.exact(directive, value, path.at);
        }
    }

    /// Reports a directive that a key of its own has said, when systemd takes only one.
    fn refuse_said(&self, directive: &str, at: At) {
        let is_one = ONCE.contains(&directive) || directive == "ExecStart" && !self.is_oneshot();
        let said = |line: &&Line| line.section == self.section && line.key == directive;
        if let Some(first) = self.said.iter().find(said).filter(|_| is_one) {
            let title = format!("`{directive}` is said by a key of its own already");
            self.view.report(
                Mistake::new(Code::DeclaredTwice, at, title)
                    .also(first.at, "by this one")
                    .help("take it out of `options`, and say it with the key"),
            );
        }
    }

    fn is_oneshot(&self) -> bool {
        self.said.iter().any(|line| line.key == "Type" && line.value == "oneshot")
            || self.view.table("options").table("Service").node("Type").is_some()
    }

    /// Directives of a section as they stand: whatever the language has no key for.
    pub fn options(&mut self, section: &'static str) {
        let options = self.view.table("options");
        for (key, at, node) in options.entries(section) {
            if !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') || key.is_empty() {
                let title = format!("`{key}` is no name of a directive");
                let help = "write it as systemd.directives(7) does: letters, digits and `-`";
                options.report(Mistake::new(Code::BadName, at, title).help(help));
                continue;
            }
            self.refuse_said(key, at);
            let values = if let Value::List(items) = &node.value {
                items.iter().collect()
            } else {
                vec![node]
            };
            for node in values {
                let value = scalar(&options, node);
                // A directive may be taken back by nothing.
                let value = value
                    .map(|v| if v.is_empty() { Ok(v) } else { writer::raw(&v).map(str::to_owned) });
                self.exact(key, value, node.at);
            }
        }
    }
}

/// A value of one line, as systemd spells it.
fn scalar(view: &View<'_>, node: &Node) -> Option<String> {
    match node.value {
        Value::Boolean(value) => Some(yes_or_no(value)),
        _ => variables::plain(view.lowering, node),
    }
}

fn yes_or_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}

/// A value that the file it is for cannot hold.
pub fn without_form(error: &impl ToString, at: At) -> Mistake {
    Mistake::new(Code::NoForm, at, error.to_string())
        .help("put the value into a file that the program reads, or into a script")
}

fn no_form(error: NoForm, at: At) -> Mistake {
    let help = match error {
        NoForm::Control | NoForm::Backslash => return without_form(&error, at),
        NoForm::Blanks => "leave out the blanks at its ends",
        NoForm::Empty => "write a value, or leave the key out",
        NoForm::Relative => "write the program's absolute path, such as /usr/bin/node",
        NoForm::Program => "give the program another name, or start it by a script",
    };
    let code = if error == NoForm::Relative { Code::RelativeProgram } else { Code::NoForm };
    Mistake::new(code, at, error.to_string()).help(help)
}
