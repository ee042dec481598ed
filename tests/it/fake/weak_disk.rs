//! A disk that keeps no more than POSIX promises: what is written is seen at once, and survives a power cut only when it
//! was made durable. The rules, each with its source:
//!
//! - The bytes, the mode and the owner of a file are durable after its own fsync (fsync(2)), or a sync of everything.
//!   Before, a power cut leaves none, half or all of the bytes, and the access of before or of after.
//! - A name is durable after an fsync of its directory, or a sync of everything; an fsync of the file is not enough
//!   (fsync(2), notes). That goes for making, linking, renaming and removing.
//! - One name changes in one step, so that a rename over another name never loses both (rename(2)). Names of one
//!   directory are changed by one rename or exchange in one step, too; any two calls persist in any order.
//! - A rename from one directory to another is two changes, of which either may be lost. A directory that would stand in
//!   both is in one of them, as after fsck(8).
//! - A symlink's target comes with its name: no call makes it durable by itself.
//!
//! What POSIX leaves open is read as weakly as in Pillai et al., "All File Systems Are Not Created Equal", OSDI '14.

use stackc::guest::{Ids, Kind};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

pub type Inode = u64;
pub const ROOT: Inode = 1;
/// Of a file before its first chmod, and of the root.
const FRESH: Ids = Ids { uid: 0, gid: 0, mode: 0o600 };

#[derive(Debug, Clone)]
pub enum What {
    File(Content),
    Link(Rc<str>),
    Directory(BTreeMap<Rc<str>, Inode>),
}

/// Bytes with their hash: they are compared thousands of times.
#[derive(Debug, Clone)]
pub struct Content {
    pub bytes: Rc<[u8]>,
    hash: u64,
}

impl Content {
    pub fn new(bytes: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Self { bytes: bytes.into(), hash: hasher.finish() }
    }
}

#[derive(Debug, Clone)]
pub struct Node {
    pub what: What,
    pub ids: Ids,
}

impl Node {
    pub fn kind(&self) -> Kind {
        match self.what {
            What::File(_) => Kind::File,
            What::Link(_) => Kind::Link,
            What::Directory(_) => Kind::Directory,
        }
    }
}

/// Everything on a disk by inode, in pages. A clone shares all pages that neither side changes.
#[derive(Debug, Clone, Default)]
pub struct Tree(Rc<BTreeMap<u64, Rc<Page>>>);

type Page = BTreeMap<Inode, Rc<Node>>;

/// Of inodes: few enough to be copied at each effect.
const PAGE: u64 = 16;

/// A change that is seen, and not durable yet.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Names of one directory change in one step.
    Names {
        directory: Inode,
        names: Vec<(Rc<str>, Option<Inode>)>,
    },
    Bytes {
        file: Inode,
        content: Content,
    },
    Access {
        inode: Inode,
        ids: Ids,
    },
}

impl Effect {
    /// Whose fsync makes it durable.
    fn owner(&self) -> Inode {
        match self {
            Self::Names { directory: inode, .. }
            | Self::Bytes { file: inode, .. }
            | Self::Access { inode, .. } => *inode,
        }
    }

    /// In how many ways a power cut may find it: lost, there, and half there.
    pub fn ways(&self) -> usize {
        if matches!(self, Self::Bytes { .. }) { 3 } else { 2 }
    }
}

impl std::fmt::Display for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes { file, content } => {
                let start = &content.bytes[..content.bytes.len().min(40)];
                write!(f, "bytes of {file}: {:?}", String::from_utf8_lossy(start))
            }
            Self::Access { inode, ids } => write!(f, "access of {inode}: {:o}", ids.mode),
            Self::Names { directory, names } => write!(f, "names of {directory}: {names:?}"),
        }
    }
}

/// How a power cut finds one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Kept,
    Half,
}

impl Tree {
    fn empty() -> Self {
        let what = What::Directory(BTreeMap::new());
        let mut tree = Self::default();
        tree.insert(ROOT, Rc::new(Node { what, ids: Ids { mode: 0o755, ..FRESH } }));
        tree
    }

    pub fn node(&self, inode: Inode) -> &Node {
        &self.0[&(inode / PAGE)][&inode]
    }

    fn page(&mut self, inode: Inode) -> &mut Page {
        Rc::make_mut(Rc::make_mut(&mut self.0).entry(inode / PAGE).or_default())
    }

    fn insert(&mut self, inode: Inode, node: Rc<Node>) {
        self.page(inode).insert(inode, node);
    }

    fn change(&mut self, inode: Inode) -> &mut Node {
        let node = self.page(inode).get_mut(&inode).expect("a node never leaves a tree");
        Rc::make_mut(node)
    }

    fn apply(&mut self, effect: &Effect, half: bool) {
        let node = self.change(effect.owner());
        match effect {
            Effect::Access { ids, .. } => node.ids = *ids,
            Effect::Bytes { content, .. } if half => {
                node.what = What::File(Content::new(&content.bytes[..content.bytes.len() / 2]));
            }
            Effect::Bytes { content, .. } => node.what = What::File(content.clone()),
            Effect::Names { names, .. } => {
                let What::Directory(entries) = &mut node.what else {
                    unreachable!("only a directory has names")
                };
                for (name, inode) in names {
                    match inode {
                        Some(inode) => entries.insert(name.clone(), *inode),
                        None => entries.remove(name),
                    };
                }
            }
        }
    }

    /// What can be reached by names; a directory is at its first one only.
    fn reachable(&self) -> Self {
        let (mut reached, mut seen) = (Self::default(), BTreeSet::new());
        self.reach(ROOT, &mut reached, &mut seen);
        reached
    }

    fn reach(&self, inode: Inode, reached: &mut Self, seen: &mut BTreeSet<Inode>) {
        seen.insert(inode);
        let node = &self.0[&(inode / PAGE)][&inode];
        let mut twice = Vec::new();
        if let What::Directory(names) = &node.what {
            for (name, &below) in names {
                if !seen.contains(&below) {
                    self.reach(below, reached, seen);
                } else if self.node(below).kind() == Kind::Directory {
                    twice.push(name);
                }
            }
        }
        reached.insert(inode, node.clone());
        for name in twice {
            let What::Directory(names) = &mut reached.change(inode).what else { continue };
            names.remove(name);
        }
    }

    /// A number for all that can be seen: names, bytes, access, and which names are one file; below folders that
    /// `passes`, their names only.
    pub fn fingerprint(&self, passes: fn(&str) -> bool) -> u64 {
        let mut feed = Feed { hasher: DefaultHasher::new(), seen: BTreeMap::new(), passes };
        feed.node(self, ROOT);
        feed.hasher.finish()
    }
}

/// A tree on its way into a number.
struct Feed {
    hasher: DefaultHasher,
    seen: BTreeMap<Inode, usize>,
    passes: fn(&str) -> bool,
}

impl Feed {
    fn node(&mut self, tree: &Tree, inode: Inode) {
        let next = self.seen.len();
        let number = *self.seen.entry(inode).or_insert(next);
        number.hash(&mut self.hasher);
        if number < next {
            return;
        }
        let node = tree.node(inode);
        (node.ids.uid, node.ids.gid, node.ids.mode).hash(&mut self.hasher);
        match &node.what {
            What::File(content) => content.hash.hash(&mut self.hasher),
            What::Link(target) => target.hash(&mut self.hasher),
            What::Directory(names) => self.names(tree, names),
        }
    }

    fn names(&mut self, tree: &Tree, names: &BTreeMap<Rc<str>, Inode>) {
        names.len().hash(&mut self.hasher);
        for (name, below) in names {
            name.hash(&mut self.hasher);
            if !(self.passes)(name) {
                self.node(tree, *below);
            }
        }
    }
}

/// What is seen, what is durable, and the way from the one to the other.
#[derive(Debug, Clone)]
pub struct Disk {
    now: Tree,
    durable: Tree,
    pending: Vec<Rc<Effect>>,
    next: Inode,
}

impl Disk {
    pub fn new() -> Self {
        let tree = Tree::empty();
        Self { now: tree.clone(), durable: tree, pending: Vec::new(), next: ROOT + 1 }
    }

    pub fn now(&self) -> &Tree {
        &self.now
    }

    pub fn pending(&self) -> &[Rc<Effect>] {
        &self.pending
    }

    /// A node without a name; a file has no bytes yet.
    pub fn make(&mut self, what: What, mode: u32) -> Inode {
        let inode = self.next;
        self.next += 1;
        let node = Rc::new(Node { what, ids: Ids { mode, ..FRESH } });
        self.now.insert(inode, node.clone());
        self.durable.insert(inode, node);
        inode
    }

    pub fn push(&mut self, effect: Effect) {
        self.now.apply(&effect, false);
        self.pending.push(Rc::new(effect));
    }

    /// fsync(2) of one file or directory.
    pub fn sync(&mut self, inode: Inode) {
        let of_it = |effect: &Rc<Effect>| effect.owner() == inode;
        for effect in self.pending.iter().filter(|effect| of_it(effect)) {
            self.durable.apply(effect, false);
        }
        self.pending.retain(|effect| !of_it(effect));
    }

    /// syncfs(2).
    pub fn sync_all(&mut self) {
        self.durable = self.now.clone();
        self.pending.clear();
    }

    /// The disk after a power cut that found each pending effect like this.
    pub fn cut(&self, fates: &[Fate]) -> Self {
        let mut durable = self.durable.clone();
        for (effect, fate) in self.pending.iter().zip(fates) {
            if *fate != Fate::Lost {
                durable.apply(effect, *fate == Fate::Half);
            }
        }
        let durable = durable.reachable();
        Self { now: durable.clone(), durable, pending: Vec::new(), next: self.next }
    }

    /// The disk after a power cut that lost nothing.
    pub fn cut_kept(&self) -> Self {
        self.cut(&vec![Fate::Kept; self.pending.len()])
    }

    /// The disk after a power cut that lost all that may be lost.
    pub fn cut_hard(&self) -> Self {
        self.cut(&vec![Fate::Lost; self.pending.len()])
    }
}
