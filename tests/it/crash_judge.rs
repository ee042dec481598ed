//! What a fault left of a scene, repaired as a guest and an operator repair it, and judged.

use crate::{
    crash_scene::{NEXT_TX, Picture, Scene, TX, Verb, picture},
    fault_results::caught,
    fault_summary::Verdict,
    guest_fixture::{Folder, identity},
    kill_points::{assert_no_leftovers, recover},
};
use stackc::model::{
    Phase, TxState,
    protocol::{Done, FetchReply, FetchRequest, Garbage},
};
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// A guest after a fault.
pub struct Left<'s> {
    pub scene: &'s Scene,
    pub folder: &'s Folder,
    /// It went down, and is up again; else only the call has died.
    pub rebooted: bool,
    /// The call had said that it was done.
    pub answered: bool,
}

impl Left<'_> {
    /// Repairs and judges; the same activation converges.
    ///
    /// # Panics
    /// When the guest is neither old nor new, or does not converge.
    pub fn judge(&self) -> Verdict {
        if self.rebooted {
            self.recover();
        }
        let verdict = match self.scene.verb {
            Verb::Receive | Verb::Secrets => self.prepared(),
            Verb::Begin if !self.rebooted => self.begun(),
            Verb::Switch if !self.rebooted => self.switched(),
            Verb::Begin | Verb::Switch => Verdict::Old,
            Verb::Confirm => self.confirmed(),
            Verb::Undo => self.undone(),
            Verb::Recover => self.recovered(),
            Verb::Gc => self.collected(),
        };
        self.converges();
        verdict
    }

    /// The next boot. An open transaction is ended by it, and what the old generation runs is started again.
    fn recover(&self) {
        let tx = self.folder.at(&format!("/var/lib/stackc/tx/{TX}"));
        let decision = std::fs::read(tx.join("decision")).unwrap_or_default();
        let goes_back = tx.exists() && decision != b"confirmed\n";
        recover(self.folder);
        let jobs = self.folder.system().jobs;
        let started = |job: &str| jobs.iter().any(|done| done == job);
        let is_started = started("daemon-reload") && started("startlater app.service");
        assert_eq!(is_started, goes_back, "jobs of the recovery: {jobs:?}");
        if matches!(self.scene.verb, Verb::Confirm) {
            return;
        }
        assert!(!self.is_new(), "it is on the new generation without a confirm");
    }

    /// Whether it is whole on the new generation; else it is whole on the old one.
    fn is_new(&self) -> bool {
        let there = picture(self.folder);
        let is_new = there["current"] == self.scene.new["current"];
        let whole = if is_new { &self.scene.new } else { &self.scene.old };
        assert_same(&there, whole);
        is_new
    }

    /// What is beside the running system is seen whole or not at all, and there after the same call.
    fn prepared(&self) -> Verdict {
        assert!(!self.is_new());
        let done: Done = self.scene.again(self.folder).expect("the same call again");
        assert!(done.already || !self.answered, "it said that it was done, and is not");
        if done.already { Verdict::New } else { Verdict::Old }
    }

    fn begun(&self) -> Verdict {
        assert!(!assert_whole(self.scene, self.folder));
        let _begun: Done = self.scene.again(self.folder).expect("the same begin goes on");
        self.folder.run_switch(TX);
        assert_eq!(self.confirm().phase, Phase::Confirmed);
        assert!(self.is_new());
        Verdict::Old
    }

    /// The service manager runs `switch-ended`; then the operator confirms, or is told that it is undone.
    fn switched(&self) -> Verdict {
        let ended = self.folder.command(&["switch-ended", TX]).output().expect("it can be run");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stdout));
        let state = self.confirm();
        let is_new = self.is_new();
        assert_eq!(state.phase, if is_new { Phase::Confirmed } else { Phase::Undone });
        if is_new {
            return Verdict::New;
        }
        assert_eq!(self.folder.running(), self.scene.running);
        Verdict::Old
    }

    fn confirmed(&self) -> Verdict {
        let is_new_before = self.is_new();
        let state = self.confirm();
        let is_new = self.is_new();
        assert_eq!(state.phase == Phase::Confirmed, is_new, "{state:?}");
        assert!(is_new || !self.answered, "it said that it was kept, and is not");
        assert!(is_new || self.rebooted, "nobody undid it");
        assert_eq!(is_new_before, is_new);
        if is_new { Verdict::New } else { Verdict::Old }
    }

    fn undone(&self) -> Verdict {
        let state: TxState = self.scene.again(self.folder).expect("the same undo again");
        assert_eq!(state.phase, Phase::Undone);
        assert!(!self.is_new());
        if !self.rebooted {
            assert_eq!(self.folder.running(), self.scene.running);
        }
        Verdict::Old
    }

    fn recovered(&self) -> Verdict {
        let recovered = self.folder.command(&["recover"]).output().expect("it can be run");
        assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stdout));
        assert!(!self.is_new());
        Verdict::Old
    }

    fn collected(&self) -> Verdict {
        let unneeded = || {
            let stock = |name: &str| {
                let folder = self.folder.at(&format!("/var/lib/stackc/{name}"));
                std::fs::read_dir(folder).expect("it is there").count()
            };
            stock("store") + stock("secrets") - 2
        };
        let left = unneeded();
        assert!(left == 0 || !self.answered, "it said that it was done, and is not");
        let _removed: Garbage = self.scene.again(self.folder).expect("the same call again");
        assert_eq!(unneeded(), 0);
        assert!(!self.is_new());
        if left == 0 { Verdict::New } else { Verdict::Old }
    }

    fn confirm(&self) -> TxState {
        self.folder.confirm(&self.scene.switch).expect("a confirm is heard, or too late")
    }

    /// The old tree is whole, nothing half-made is left, and the way to the second bundle ends there.
    pub fn converges(&self) {
        let (folder, scene) = (self.folder, self.scene);
        for made in [&scene.first, &scene.second].into_iter().take(1 + usize::from(self.is_new())) {
            let digest = made.bundle.digest;
            let request = FetchRequest { identity: identity(), digest, after: None };
            let fetched: Result<FetchReply, _> = folder.call(&["fetch"], &request, &[]);
            fetched.expect("its tree is whole");
        }
        if self.is_new() {
            assert!(folder.begin(&scene.switch).expect("again").already);
            // The sweep that each activation begins with, and each boot.
            folder.command(&["recover"]).output().expect("it can be run");
        } else {
            folder.prepare(NEXT_TX, &scene.second);
            folder.activate(&scene.second, &scene.next_switch(folder));
            let mut there = picture(folder);
            there.insert("current".to_owned(), scene.new["current"].clone());
            assert_same(&there, &scene.new);
        }
        assert_no_leftovers(folder.dir.path());
        let alarms = folder.system().alarms;
        assert!(alarms.is_empty(), "alarms are left: {alarms:?}");
    }
}

/// Whether it is all new, or else all old, but for what a call that has died, or is to go on, has beside it.
pub fn assert_whole(scene: &Scene, folder: &Folder) -> bool {
    let mut there = picture(folder);
    there.retain(|path, _| !path.contains(&format!(".stackc-{TX}-")));
    let is_new = there["current"] == scene.new["current"];
    assert_same(&there, if is_new { &scene.new } else { &scene.old });
    is_new
}

fn assert_same(there: &Picture, whole: &Picture) {
    let differ = |(path, what): &(&String, &String)| whole.get(*path) != Some(what);
    let torn: Vec<_> = there.iter().filter(differ).collect();
    let missing: Vec<_> = whole.keys().filter(|path| !there.contains_key(*path)).collect();
    assert!(torn.is_empty() && missing.is_empty(), "torn: {torn:?}, missing: {missing:?}");
}

/// One thing that is not as the switch has left it.
type Tear = (&'static str, fn(&Scene, &Folder));

const TEARS: [Tear; 9] = [
    ("a link is missing", |_, folder| remove(folder, "/etc/profile.d/006.sh")),
    ("a link leads into the old tree", |scene, folder| {
        remove(folder, "/etc/profile.d/006.sh");
        let old = folder.at(&in_store(scene.first.bundle.digest));
        symlink(old, folder.at("/etc/profile.d/006.sh")).expect("there is room");
    }),
    ("a text in the store is empty", |scene, folder| {
        let path = folder.at(&in_store(scene.second.bundle.digest));
        std::fs::write(path, "").expect("it is there");
    }),
    ("a file of the old tree is gone", |scene, folder| {
        remove(folder, &in_store(scene.first.bundle.digest));
    }),
    ("a copy has another text", |_, folder| folder.put("/etc/ssh/sshd_config.d/001.conf", "#")),
    ("a copy has another mode", |_, folder| {
        let access = std::fs::Permissions::from_mode(0o644);
        let path = folder.at("/etc/ssh/sshd_config.d/001.conf");
        std::fs::set_permissions(path, access).expect("it is there");
    }),
    ("a foreign file has not come back", |_, folder| remove(folder, "/etc/profile.d/002-of-1.sh")),
    ("a file is half-made", |_, folder| folder.put("/etc/profile.d/.tmp-1", "")),
    ("the firewall's rules are others", |_, folder| folder.put("/etc/ufw/user.rules", "*filter")),
];

fn in_store(digest: stackc::model::Digest) -> String {
    format!("/var/lib/stackc/store/{digest}/rootfs/etc/profile.d/006.sh")
}

fn remove(folder: &Folder, path: &str) {
    std::fs::remove_file(folder.at(path)).expect("it is there");
}

#[test]
fn each_thing_that_is_torn_is_seen_by_the_judge_of_what_a_crash_has_left() {
    let scene = Scene::new(Verb::Switch, 30);
    let whole = scene.start.copy();
    whole.run_switch(TX);
    let judge = |folder: &Folder| {
        let left = Left { scene: &scene, folder, rebooted: false, answered: false };
        caught(|| left.judge())
    };
    assert_eq!(judge(&whole.copy()), Ok(Verdict::New));
    for (what, tear) in TEARS {
        let folder = whole.copy();
        tear(&scene, &folder);
        assert!(judge(&folder).is_err(), "nobody sees that {what}");
    }
}
