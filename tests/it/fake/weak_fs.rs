//! A guest's files on a weak disk.

use super::weak_disk::{Content, Disk, Effect, Inode, ROOT, What};
use stackc::guest::{FsError, Guard, GuestFs, Ids, Kind, Stat, Sync};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;

/// More than any check asks for.
const FREE_BYTES: u64 = 1 << 30;

/// The files of a guest in memory. A clone is the same guest: its kernel looks at them, too.
#[derive(Clone)]
pub struct WeakFs(Rc<RefCell<Shared>>);

struct Shared {
    disk: Disk,
    /// The disk after each effect, so that each of them may be the last before a power cut.
    cuts: Vec<Disk>,
}

impl WeakFs {
    pub fn new(disk: Disk) -> Self {
        Self(Rc::new(RefCell::new(Shared { disk, cuts: Vec::new() })))
    }

    pub fn disk(&self) -> Disk {
        self.0.borrow().disk.clone()
    }

    /// The disk as it was after each effect since the last time, and as it is now.
    pub fn take_cuts(&mut self) -> Vec<Disk> {
        let mut shared = self.0.borrow_mut();
        let mut cuts = std::mem::take(&mut shared.cuts);
        cuts.push(shared.disk.clone());
        cuts
    }

    /// How many effects there were since the cuts were taken.
    pub fn effects(&self) -> usize {
        self.0.borrow().cuts.len()
    }

    fn find(&self, path: &str) -> io::Result<Inode> {
        let shared = self.0.borrow();
        let mut inode = ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            inode = match &shared.disk.now().node(inode).what {
                What::Directory(names) => *names.get(name).ok_or(ErrorKind::NotFound)?,
                What::File(_) => return Err(ErrorKind::NotADirectory.into()),
                What::Link(_) => return Err(io::Error::other("a symlink is in the way")),
            };
        }
        Ok(inode)
    }

    /// The directory of a path, the path's name, and what is there.
    fn place<'p>(&self, path: &'p str) -> io::Result<(Inode, &'p str, Option<Inode>)> {
        let (folder, name) = path.rsplit_once('/').expect("a path of the guest is absolute");
        let directory = self.find(folder)?;
        match &self.0.borrow().disk.now().node(directory).what {
            What::Directory(names) => Ok((directory, name, names.get(name).copied())),
            What::File(_) => Err(ErrorKind::NotADirectory.into()),
            What::Link(_) => Err(io::Error::other("a symlink is in the way")),
        }
    }

    fn kind(&self, inode: Inode) -> Kind {
        self.0.borrow().disk.now().node(inode).kind()
    }

    fn is_filled(&self, inode: Inode) -> bool {
        match &self.0.borrow().disk.now().node(inode).what {
            What::Directory(names) => !names.is_empty(),
            _ => false,
        }
    }

    /// Effects of one system call: whoever is killed sees all of them or none, but a power cut may lose each by itself.
    fn push(&self, effects: impl IntoIterator<Item = Effect>) {
        let mut shared = self.0.borrow_mut();
        for effect in effects {
            shared.disk.push(effect);
        }
        let cut = shared.disk.clone();
        shared.cuts.push(cut);
    }

    fn name(&self, directory: Inode, names: &[(&str, Option<Inode>)]) {
        self.push([named(directory, names)]);
    }

    fn make(&self, what: What, mode: u32) -> Inode {
        self.0.borrow_mut().disk.make(what, mode)
    }

    /// Unlinks a leftover, as the real ones do before they make a file or a symlink.
    fn clear(&self, path: &str) -> io::Result<(Inode, String)> {
        let (directory, name, there) = self.place(path)?;
        match there.map(|inode| self.kind(inode)) {
            None => {}
            Some(Kind::Directory) => return Err(ErrorKind::IsADirectory.into()),
            Some(_) => self.name(directory, &[(name, None)]),
        }
        Ok((directory, name.to_owned()))
    }

    fn write_new(&self, path: &str, bytes: &mut dyn Read, mode: u32, sync: Sync) -> io::Result<()> {
        let (directory, name) = self.clear(path)?;
        let mut read = Vec::new();
        let file = self.make(What::File(Content::new(&[])), 0o600);
        self.name(directory, &[(&name, Some(file))]);
        bytes.read_to_end(&mut read)?;
        self.push([Effect::Bytes { file, content: Content::new(&read) }]);
        self.push([Effect::Access { inode: file, ids: Ids { uid: 0, gid: 0, mode } }]);
        if sync == Sync::Now {
            self.0.borrow_mut().disk.sync(file);
        }
        Ok(())
    }

    fn link_new(&self, from: &str, to: &str) -> io::Result<bool> {
        let inode = self.find(from)?;
        let (directory, name, there) = self.place(to)?;
        if there.is_some() {
            return Ok(false);
        }
        if self.kind(inode) == Kind::Directory {
            return Err(ErrorKind::PermissionDenied.into());
        }
        self.name(directory, &[(name, Some(inode))]);
        Ok(true)
    }

    fn rename_over(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_directory, from_name, moved) = self.place(from)?;
        let moved = moved.ok_or(ErrorKind::NotFound)?;
        let (to_directory, to_name, there) = self.place(to)?;
        if is_below(to, from) {
            return Err(ErrorKind::InvalidInput.into());
        }
        if there == Some(moved) {
            // Two names of one file stay. Source: rename(2).
            return Ok(());
        }
        if let Some(there) = there {
            match (self.kind(moved), self.kind(there)) {
                (Kind::Directory, Kind::Directory) if self.is_filled(there) => {
                    return Err(ErrorKind::DirectoryNotEmpty.into());
                }
                (Kind::Directory, Kind::Directory) => {}
                (Kind::Directory, _) => return Err(ErrorKind::NotADirectory.into()),
                (_, Kind::Directory) => return Err(ErrorKind::IsADirectory.into()),
                _ => {}
            }
        }
        let (leaves, comes) = ((from_name, None), (to_name, Some(moved)));
        if from_directory == to_directory {
            self.name(from_directory, &[leaves, comes]);
        } else {
            self.push([named(to_directory, &[comes]), named(from_directory, &[leaves])]);
        }
        Ok(())
    }

    fn exchange_both(&self, left: &str, right: &str) -> io::Result<()> {
        let (left_directory, left_name, at_left) = self.place(left)?;
        let (right_directory, right_name, at_right) = self.place(right)?;
        let (at_left, at_right) =
            (at_left.ok_or(ErrorKind::NotFound)?, at_right.ok_or(ErrorKind::NotFound)?);
        if is_below(left, right) || is_below(right, left) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let (left, right) = ((left_name, Some(at_right)), (right_name, Some(at_left)));
        if left_directory == right_directory {
            self.name(left_directory, &[left, right]);
        } else {
            self.push([named(left_directory, &[left]), named(right_directory, &[right])]);
        }
        Ok(())
    }

    fn remove_one(&self, path: &str) -> io::Result<()> {
        let (directory, name, there) = self.place(path)?;
        let Some(there) = there else { return Ok(()) };
        if self.is_filled(there) {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        self.name(directory, &[(name, None)]);
        Ok(())
    }

    fn make_directory(&self, path: &str, mode: u32) -> io::Result<()> {
        let (directory, name, there) = self.place(path)?;
        match there.map(|inode| self.kind(inode)) {
            None => {
                let below = self.make(What::Directory(BTreeMap::new()), mode);
                self.name(directory, &[(name, Some(below))]);
                Ok(())
            }
            Some(Kind::Directory) => Ok(()),
            Some(_) => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn change_access(&self, path: &str, ids: Ids) -> io::Result<()> {
        let inode = self.find(path)?;
        let is_link = self.kind(inode) == Kind::Link;
        let mode = if is_link { self.0.borrow().disk.now().node(inode).ids.mode } else { ids.mode };
        self.push([Effect::Access { inode, ids: Ids { mode, ..ids } }]);
        Ok(())
    }

    fn directory(&self, path: &str) -> io::Result<Inode> {
        let inode = self.find(path)?;
        let is_directory = self.kind(inode) == Kind::Directory;
        if is_directory { Ok(inode) } else { Err(ErrorKind::NotADirectory.into()) }
    }
}

/// A directory cannot move into itself.
fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn named(directory: Inode, names: &[(&str, Option<Inode>)]) -> Effect {
    let names = names.iter().map(|(name, inode)| (Rc::from(*name), *inode)).collect();
    Effect::Names { directory, names }
}

fn told<T>(verb: &'static str, path: &str, done: io::Result<T>) -> Result<T, FsError> {
    done.map_err(|cause| FsError { verb, path: path.to_owned(), cause })
}

fn absent_is_none<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl GuestFs for WeakFs {
    fn stat(&mut self, path: &str) -> Result<Option<Stat>, FsError> {
        let found = match self.find(path) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
            found => absent_is_none(found),
        };
        let Some(inode) = told("look at", path, found)? else { return Ok(None) };
        let shared = self.0.borrow();
        let node = shared.disk.now().node(inode);
        let size = match &node.what {
            What::File(content) => content.bytes.len() as u64,
            What::Link(target) => target.len() as u64,
            What::Directory(_) => 4096,
        };
        Ok(Some(Stat { kind: node.kind(), ids: node.ids, size, device: 1, inode }))
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, FsError> {
        let inode = told("read", path, self.find(path))?;
        match &self.0.borrow().disk.now().node(inode).what {
            What::File(content) => Ok(content.bytes.to_vec()),
            _ => told("read", path, Err(ErrorKind::InvalidInput.into())),
        }
    }

    fn read_link(&mut self, path: &str) -> Result<String, FsError> {
        let inode = told("read the link", path, self.find(path))?;
        match &self.0.borrow().disk.now().node(inode).what {
            What::Link(target) => Ok(target.to_string()),
            _ => told("read the link", path, Err(ErrorKind::InvalidInput.into())),
        }
    }

    /// Every name here is text.
    fn list_text(&mut self, path: &str) -> Result<(Vec<String>, bool), FsError> {
        Ok((self.list(path)?, false))
    }

    fn remove_unnamed(&mut self, _: &str) -> Result<(), FsError> {
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FsError> {
        let found = told("list", path, absent_is_none(self.directory(path)))?;
        let Some(inode) = found else { return Ok(Vec::new()) };
        match &self.0.borrow().disk.now().node(inode).what {
            What::Directory(names) => Ok(names.keys().map(ToString::to_string).collect()),
            _ => Ok(Vec::new()),
        }
    }

    fn write(
        &mut self,
        path: &str,
        bytes: &mut dyn Read,
        mode: u32,
        sync: Sync,
    ) -> Result<(), FsError> {
        told("write", path, self.write_new(path, bytes, mode, sync))
    }

    fn symlink(&mut self, target: &str, path: &str) -> Result<(), FsError> {
        let (directory, name) = told("make the link", path, self.clear(path))?;
        let link = self.make(What::Link(target.into()), 0o777);
        self.name(directory, &[(&name, Some(link))]);
        Ok(())
    }

    fn link(&mut self, from: &str, to: &str) -> Result<bool, FsError> {
        told("make the second name", to, self.link_new(from, to))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FsError> {
        told("put in place", to, self.rename_over(from, to))
    }

    fn exchange(&mut self, left: &str, right: &str) -> Result<(), FsError> {
        told("put the new one in the place of", right, self.exchange_both(left, right))
    }

    fn remove(&mut self, path: &str) -> Result<(), FsError> {
        told("remove", path, absent_is_none(self.remove_one(path)).map(drop))
    }

    fn mkdir(&mut self, path: &str, mode: u32) -> Result<(), FsError> {
        told("make the directory", path, self.make_directory(path, mode))
    }

    fn set_access(&mut self, path: &str, access: Ids) -> Result<(), FsError> {
        told("set owner and mode of", path, self.change_access(path, access))
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FsError> {
        let inode = told("make durable", path, self.directory(path))?;
        self.0.borrow_mut().disk.sync(inode);
        Ok(())
    }

    fn sync_all(&mut self, path: &str) -> Result<(), FsError> {
        told("make everything durable on the file system of", path, self.directory(path))?;
        self.0.borrow_mut().disk.sync_all();
        Ok(())
    }

    fn free_bytes(&mut self, _path: &str) -> Result<u64, FsError> {
        Ok(FREE_BYTES)
    }

    fn lock(&mut self, path: &str) -> Result<Option<Guard>, FsError> {
        let (directory, name, there) = told("lock", path, self.place(path))?;
        if there.is_none() {
            let file = self.make(What::File(Content::new(&[])), 0o600);
            self.name(directory, &[(name, Some(file))]);
        }
        Ok(Some(Guard::detached()))
    }
}
