//! The weak disk shows what a real one shows: the same calls in any order, the same answers and the same tree.

use crate::dice::Dice;
use crate::fake::{Disk, WeakFs};
use crate::guest_fixture::in_memory;
use stackc::guest::{FsError, GuestFs, Ids, Kind, RealFs, Sync};
use std::os::unix::fs::MetadataExt as _;

const NAMES: [&str; 9] = ["/a", "/b", "/d", "/d/a", "/d/b", "/d/e", "/d/e/a", "/e", "/no/such"];

/// One call by chance; what it says.
fn change(fs: &mut dyn GuestFs, [what, from, to]: [usize; 3], owner: Ids) -> String {
    let (from, to) = (NAMES[from], NAMES[to]);
    let mode = [0o644, 0o700, 0o755][from.len() % 3];
    let said = |done: Result<(), FsError>| if done.is_ok() { "done" } else { "refused" }.to_owned();
    match what {
        0 => said(fs.write(from, &mut to.as_bytes(), mode, Sync::Now)),
        1 => said(fs.write(from, &mut to.as_bytes(), mode, Sync::Later)),
        2 => said(fs.symlink(to, from)),
        3 => fs.link(from, to).map_or("refused".to_owned(), |made| made.to_string()),
        4 | 5 => said(fs.rename(from, to)),
        6 => said(fs.exchange(from, to)),
        7 => said(fs.remove(from)),
        8 | 9 => said(fs.mkdir(from, 0o755)),
        10 => said(fs.set_access(from, Ids { mode, ..owner })),
        11 => said(fs.sync_dir(from)),
        _ => fs.list(from).map_or("refused".to_owned(), |names| names.join(" ")),
    }
}

/// What is at every path, and which paths are one file.
fn looks(fs: &mut dyn GuestFs) -> Vec<String> {
    let stats: Vec<_> = NAMES.iter().map(|path| fs.stat(path).ok().flatten()).collect();
    let look = |(path, number): (&&str, usize)| {
        let stat = stats[number]?;
        let what = match stat.kind {
            Kind::File => format!("{:?}", fs.read(path).expect("it is a file")),
            Kind::Link => fs.read_link(path).expect("it is a link"),
            _ => fs.list(path).expect("it is a directory").join(" "),
        };
        let mode = if stat.kind == Kind::Link { 0 } else { stat.ids.mode };
        let twin = stats.iter().position(|other| other.is_some_and(|o| o.inode == stat.inode));
        Some(format!("{path} {:?} {mode:o} {what} {twin:?}", stat.kind))
    };
    NAMES.iter().zip(0..).filter_map(look).collect()
}

#[test]
fn the_weak_disk_shows_what_a_real_one_shows() {
    let mut dice = Dice::seeded();
    for _ in 0..40 {
        let dir = in_memory();
        let owner = std::fs::metadata(dir.path()).expect("it was just made");
        let owner = Ids { uid: owner.uid(), gid: owner.gid(), mode: 0 };
        let mut real = RealFs::open(dir.path()).expect("it was just made");
        let mut weak = WeakFs::new(Disk::new());
        let mut told = Vec::new();
        for _ in 0..60 {
            let call = [dice.roll(13), dice.roll(NAMES.len()), dice.roll(NAMES.len())];
            told.push(call);
            let said = [change(&mut real, call, owner), change(&mut weak, call, owner)];
            assert_eq!(said[0], said[1], "{told:?}");
            assert_eq!(looks(&mut real), looks(&mut weak), "{told:?}");
        }
        let disk = weak.disk();
        let mut after = WeakFs::new(disk.cut_kept());
        assert_eq!(looks(&mut after), looks(&mut weak), "nothing was lost, and it is another tree");
    }
}
