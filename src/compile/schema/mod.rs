//! Which keys a definition may have, and what they may hold.

use crate::compile::{
    report::{Code, Mistake},
    source::{At, Member, Node, Table, Value},
};

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    Integer,
    Boolean,
    List(&'static Shape),
    /// A table with these keys and no others.
    Record(&'static [&'static [Field]]),
    /// A table of entries by a name that the author chooses; a stronger layer removes one with `false`.
    Named(&'static Shape),
    /// The same, but `false` is a value.
    Map(&'static Shape),
    /// One of these, told apart by their types.
    Either(&'static [Shape]),
}

/// A key and what it may hold.
#[derive(Debug)]
pub struct Field(pub &'static str, pub Shape);

use Shape::{Boolean, Either, Integer, List, Map, Named, Record, Text};

const SECRET: Shape = Record(&[&[Field("secret", Text)]]);
const TEXTS: Shape = List(&Text);
const TEXT_OR_TEXTS: Shape = Either(&[Text, TEXTS]);
const NUMBER_OR_TEXT: Shape = Either(&[Integer, Text]);

/// What every layer of a stack may say: kind, site, project and env.
pub const STACK: &[Field] = &[
    Field("guest", Record(&[GUEST])),
    Field("vars", Map(&Either(&[Text, Integer, Boolean, TEXTS]))),
    Field("ports", Named(&Integer)),
    Field("env_vars", Named(&Either(&[Text, Integer, SECRET]))),
    Field("env_file", Record(&[ENV_FILE])),
    Field("packages", Named(&Either(&[Boolean, Text]))),
    Field("apt", Record(&[&[Field("sources", Named(&Text)), Field("may_start", TEXTS)]])),
    Field("users", Named(&Record(&[USER]))),
    Field("directories", Named(&Record(&[&[Field("path", Text)], ACCESS_RIGHTS]))),
    Field("files", Named(&Record(&[FILE, ACCESS_RIGHTS]))),
    Field("links", Named(&Record(&[&[Field("path", Text), Field("target", Text)]]))),
    Field("services", Named(&Record(&[UNIT]))),
    Field("timers", Named(&Record(&[UNIT]))),
    Field("cron", Named(&Record(&[CRON]))),
    Field("firewall", Record(&[FIREWALL])),
    Field("health", Record(&[HEALTH])),
    Field("probes", Named(&Record(&[PROBE]))),
    Field("databases", Named(&Record(&[DATABASE]))),
    Field("release", Record(&[RELEASE])),
];

const GUEST: &[Field] = &[
    Field("kind", Text),
    Field("node", Text),
    Field("template", Text),
    Field("storage", Text),
    Field("disk_gib", Integer),
    Field("cores", Integer),
    Field("memory_mib", Integer),
    Field("swap_mib", Integer),
    Field("bridge", Text),
    Field("gateway", Text),
    Field("nameserver", Text),
    Field("nesting", Boolean),
    Field("onboot", Boolean),
    Field("protection", Boolean),
    Field("pool", Text),
    Field("tags", TEXTS),
];

const ACCESS_RIGHTS: &[Field] = &[Field("owner", Text), Field("group", Text), Field("mode", Text)];

const ENV_FILE: &[Field] = &[
    Field("path", Text),
    Field("owner", Text),
    Field("group", Text),
    Field("mode", Text),
    Field("readers", TEXTS),
];

const USER: &[Field] = &[
    Field("comment", Text),
    Field("home", Text),
    Field("shell", Text),
    Field("groups", TEXTS),
    Field("sudo", Boolean),
    Field("keys", TEXTS),
];

const FILE: &[Field] = &[
    Field("path", Text),
    Field("template", Text),
    Field("text", Text),
    Field("secret", Text),
    Field("secrets", Named(&SECRET)),
    Field("class", Text),
    Field("restart", TEXTS),
    Field("reload", TEXTS),
];

const UNIT: &[Field] = &[
    Field("template", Text),
    Field("text", Text),
    Field("wanted_by", TEXTS),
    Field("reads", TEXTS),
];

const CRON: &[Field] = &[Field("schedule", Text), Field("user", Text), Field("run", Text)];

const FIREWALL: &[Field] = &[
    Field("enabled", Boolean),
    Field("ipv6", Boolean),
    Field("logging", Text),
    Field("incoming", Text),
    Field("outgoing", Text),
    Field("routed", Text),
    Field("rules", Named(&Record(&[RULE]))),
];

const RULE: &[Field] = &[
    Field("action", Text),
    Field("direction", Text),
    Field("port", NUMBER_OR_TEXT),
    Field("protocol", Text),
    Field("from", TEXT_OR_TEXTS),
    Field("to", Text),
    Field("interface", Text),
    Field("comment", Text),
    Field("order", Integer),
];

const HEALTH: &[Field] = &[
    Field("window_seconds", Integer),
    Field("start_seconds", Integer),
    Field("confirm_seconds", Integer),
];

const PROBE: &[Field] = &[
    Field(
        "http",
        Record(&[&[Field("port", NUMBER_OR_TEXT), Field("path", Text), Field("status", Integer)]]),
    ),
    Field("tcp", Record(&[&[Field("port", NUMBER_OR_TEXT)]])),
    Field("command", TEXTS),
    Field("unit", Text),
    Field("timeout_seconds", Integer),
];

const DATABASE: &[Field] = &[Field("name", Text), Field("owner", Text), Field("password", SECRET)];

const COMMANDS: Shape = List(&Record(&[&[
    Field("folder", Text),
    Field("run", Text),
    Field("timeout_seconds", Integer),
]]));

const RELEASE: &[Field] = &[
    Field("subfolder", Text),
    Field("user", Text),
    Field("folders", TEXTS),
    Field("build", COMMANDS),
    Field("migrate", COMMANDS),
    Field("build_env", Named(&Text)),
    Field("tools", TEXTS),
    Field("shared", TEXTS),
    Field("stop_for_migrate", Boolean),
    Field("keep", Integer),
];

/// `templates/<kind>/kind.toml`.
pub const KIND: Shape = Record(&[&[Field("extends", Text), Field("description", Text)], STACK]);

/// `stacks/site.toml`.
pub const SITE: Shape = Record(&[SITE_ONLY, STACK]);
const SITE_ONLY: &[Field] = &[
    Field(
        "proxmox",
        Record(&[&[
            Field("url", Text),
            Field("node", Text),
            Field("token", SECRET),
            Field("ca", Text),
            Field("fingerprint", Text),
        ]]),
    ),
    Field(
        "access",
        Record(&[&[
            Field("user", Text),
            Field("identity", Text),
            Field("admin_keys", TEXTS),
            Field("management", TEXTS),
        ]]),
    ),
];

/// `stacks/<project>.toml`.
pub const PROJECT: Shape = Record(&[&[
    Field("project", Record(&[PROJECT_ONLY, STACK])),
    Field("envs", Map(&Record(&[ENV_ONLY, STACK]))),
]]);
const PROJECT_ONLY: &[Field] =
    &[Field("kind", Text), Field("repo", Text), Field("description", Text)];
const ENV_ONLY: &[Field] =
    &[Field("name", Text), Field("vmid", Integer), Field("ip", Text), Field("branch", Text)];

/// `stacks/lock.toml`.
pub const LOCK: Shape = Map(&Map(&Record(&[&[
    Field("repo", Text),
    Field("branch", Text),
    Field("commit", Text),
    Field("tree", Text),
]])));

/// What the layers of one guest say together.
pub const EXPLAINED: Shape = Record(&[PROJECT_ONLY, ENV_ONLY, STACK]);

/// What the layers of a stack share, as one shape.
pub const LAYER: Shape = Record(&[STACK]);

impl Shape {
    /// What is wanted, for people.
    fn noun(self) -> String {
        match self {
            Text => "text in quotes".to_owned(),
            Integer => "a whole number".to_owned(),
            Boolean => "true or false".to_owned(),
            List(item) => format!("a list of {}", item.noun().replace("text in quotes", "texts")),
            Record(_) | Named(_) | Map(_) => match self.fields().as_slice() {
                [Field("secret", _)] => "{ secret = \"…\" }".to_owned(),
                _ => "a table".to_owned(),
            },
            Either(shapes) => {
                let nouns: Vec<_> = shapes.iter().map(|shape| shape.noun()).collect();
                nouns.join(", or ")
            }
        }
    }

    fn fits(self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Text, Value::Text(_))
                | (Integer, Value::Integer(_))
                | (Boolean, Value::Boolean(_))
                | (List(_), Value::List(_))
                | (Record(_) | Named(_) | Map(_), Value::Table(_))
        )
    }

    fn fields(self) -> Vec<&'static Field> {
        match self {
            Record(groups) => groups.iter().copied().flatten().collect(),
            _ => Vec::new(),
        }
    }

    /// What may stand below this key.
    pub fn child(self, key: &str) -> Option<Shape> {
        match self {
            Named(shape) | Map(shape) => Some(*shape),
            Record(groups) => {
                let mut fields = groups.iter().copied().flatten();
                fields.find(|field| field.0 == key).map(|field| field.1)
            }
            _ => None,
        }
    }

    /// The shape of these that a value of this type is meant for.
    fn chosen(self, value: &Value) -> Option<Shape> {
        match self {
            Either(shapes) => shapes.iter().copied().find(|shape| shape.fits(value)),
            shape => shape.fits(value).then_some(shape),
        }
    }
}

/// Reports every unknown key and wrong type below a node, and marks what is wrong so that it is reported once.
pub fn check(shape: Shape, node: &mut Node, mistakes: &mut Vec<Mistake>) {
    if matches!(node.value, Value::Wrong) {
        return;
    }
    let Some(shape) = shape.chosen(&node.value) else {
        let (wanted, found) = (shape.noun(), node.value.noun());
        mistakes.push(wrong_type(node.at, &wanted, found));
        node.value = Value::Wrong;
        return;
    };
    match (&mut node.value, shape) {
        (Value::Table(table), shape) => check_table(shape, table, mistakes),
        (Value::List(items), List(item)) => {
            for node in items {
                check(*item, node, mistakes);
            }
        }
        _ => {}
    }
}

fn wrong_type(at: At, wanted: &str, found: &str) -> Mistake {
    Mistake::new(Code::WrongType, at, format!("{wanted} is wanted here, not {found}"))
        .label(format!("this is {found}"))
        .help(format!("write {wanted}"))
}

/// The same for the members of a table.
pub fn check_table(shape: Shape, table: &mut Table, mistakes: &mut Vec<Mistake>) {
    table.retain(|key, member| {
        let Some(child) = shape.child(key) else {
            mistakes.push(unknown(shape, key, member));
            return false;
        };
        let removes =
            matches!(shape, Named(_)) && matches!(member.node.value, Value::Boolean(false));
        if !removes {
            check(child, &mut member.node, mistakes);
        }
        true
    });
}

fn unknown(shape: Shape, key: &str, member: &Member) -> Mistake {
    let known: Vec<_> = shape.fields().iter().map(|field| field.0).collect();
    let help = match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => match place_of(shape, key) {
            Some(place) => format!("`{key}` stands in the table `{place}`"),
            None => format!("the keys known here are {}", known.join(", ")),
        },
    };
    Mistake::new(Code::UnknownKey, member.key, format!("the key `{key}` is unknown here"))
        .label("unknown")
        .help(help)
}

/// The table that has this key: one that may stand here, or one of a stack.
fn place_of(shape: Shape, key: &str) -> Option<&'static str> {
    let has = |field: &&Field| matches!(field.1, Record(_)) && field.1.child(key).is_some();
    let mut known = shape.fields().into_iter().chain(STACK);
    known.find(has).map(|field| field.0)
}

/// The most similar of the known words, when one is similar enough to be meant.
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min()
        .map(|(_, known)| known)
}

/// Lays a stronger layer over a weaker one: tables merge by key, everything else replaces, `false` removes an entry.
pub fn merge(shape: Shape, weak: &mut Table, strong: &Table, mistakes: &mut Vec<Mistake>) {
    for (key, member) in strong {
        let Some(child) = shape.child(key) else { continue };
        if matches!((shape, &member.node.value), (Named(_), Value::Boolean(false))) {
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
