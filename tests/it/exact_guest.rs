//! A guest whose definitions change by lot, and a judge over each transition.

use crate::{
    activate_cli::stackc,
    dice::Dice,
    exact_draw::Drawn,
    exact_eye::Eye,
    exact_judge,
    exact_paths::Wanted,
    exact_picture::{KEPT, Picture},
    exact_said::Said,
    faults_workspace::without_project,
    fixture_lab::RealLab,
};
use camino::{Utf8Path, Utf8PathBuf};
use stackc::store::Store;
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
};

const VMID: u32 = 150;
const TARGET: &str = "exact/dev";
/// What `stackc` exits with when nobody approves.
const REFUSED: i32 = 3;

/// What a transition is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    /// To what the definitions say.
    Activate,
    /// The same by the file that `plan --out` wrote.
    ActivateSaved,
    /// To the generation before.
    Rollback,
    RollbackTo(u64),
}

/// A transition, and what its judge says.
pub struct Step {
    pub way: Move,
    /// Whether it made a generation.
    pub changes: bool,
    pub faults: Vec<String>,
}

pub struct Guest {
    lab: RealLab,
    eye: Eye,
    address: Ipv4Addr,
    _folder: tempfile::TempDir,
    workspace: Utf8PathBuf,
    drawn: Drawn,
    /// The value of the secret in each set of secrets, by its name on the guest.
    words: BTreeMap<String, String>,
    /// As the guest was left by the last transition.
    picture: Picture,
}

impl Guest {
    /// A guest with the least that definitions can say.
    pub fn start(name: &str) -> Option<Self> {
        let lab = RealLab::start(name)?;
        let IpAddr::V4(address) = lab.address(VMID) else { panic!("a lab's network is IPv4") };
        let (folder, workspace) = without_project(&lab.info, VMID, address);
        let drawn = Drawn::default();
        define(&workspace, &lab, address, &drawn);
        run(&workspace, &["activate", TARGET, "--yes"], 0);
        let mut eye = Eye::new(&lab.info, VMID);
        eye.run("echo theirs >/etc/theirs.conf");
        let picture = eye.picture();
        let words = BTreeMap::new();
        let mut guest =
            Self { lab, eye, address, _folder: folder, workspace, drawn, words, picture };
        guest.note_word(&guest.drawn.secret());
        Some(guest)
    }

    /// Draws a transition, goes there, and says whether it changed anything, and what the plan did not say.
    pub fn step(&mut self, dice: &mut Dice) -> Step {
        let way = self.draw(dice);
        eprintln!("{way:?}: {}", self.drawn.words());
        let before = self.picture.generation();
        let faults = self.go(way);
        Step { way, changes: self.picture.generation() != before, faults }
    }

    fn draw(&mut self, dice: &mut Dice) -> Move {
        let live = self.picture.generation();
        match dice.roll(12) {
            0 if self.parent() > 0 => Move::Rollback,
            1 if live > 0 => {
                Move::RollbackTo(1 + dice.roll(usize::try_from(live).expect("few")) as u64)
            }
            2 if dice.one_in(2) => Move::RollbackTo(0),
            other => {
                // Now and then the same once more.
                if other != 3 {
                    self.drawn.step(dice);
                }
                define(&self.workspace, &self.lab, self.address, &self.drawn);
                if dice.one_in(3) { Move::ActivateSaved } else { Move::Activate }
            }
        }
    }

    pub fn go(&mut self, way: Move) -> Vec<String> {
        self.go_with(way, "")
    }

    /// A script of somebody else's, which nothing is judged by.
    pub fn change_by_hand(&mut self, hand: &str) {
        self.eye.run(hand);
        self.picture = self.eye.picture();
    }

    /// The same while a script of somebody else's runs, once the plan is made and carried out.
    pub fn go_with(&mut self, way: Move, hand: &str) -> Vec<String> {
        let (said, secret) = self.plan(way);
        let before = self.eye.picture();
        // Whatever else a plan does, making it changes nothing.
        let nothing = Wanted { said: &Said::default(), bundle: None, secret: "" };
        let mut faults = exact_judge::faults(&nothing, &self.picture, &before);
        for fault in &mut faults {
            fault.insert_str(0, "before it began: ");
        }
        self.carry_out(way, &said);
        self.eye.run(hand);
        let after = self.eye.picture();
        let store = self.workspace.join("out/store");
        let digest = said.bundle(store.as_std_path());
        let out = Store::open(self.workspace.join("out").as_std_path()).expect("it is there");
        let bundle = digest.map(|digest| out.get(&digest).expect("it is whole"));
        let wanted = Wanted { said: &said, bundle: bundle.as_ref(), secret: &secret };
        faults.extend(exact_judge::faults(&wanted, &before, &after));
        self.picture = after;
        self.note_word(&secret);
        faults
    }

    /// What the plan says, and the value that the secret is to have.
    fn plan(&self, way: Move) -> (Said, String) {
        let text = match way {
            Move::Activate => run(&self.workspace, &["plan", TARGET], 0),
            Move::ActivateSaved => {
                let file = self.workspace.join("plan.json");
                run(&self.workspace, &["plan", TARGET, "--out", file.as_str()], 0)
            }
            Move::Rollback => shown(&self.workspace, &["rollback", TARGET]),
            Move::RollbackTo(to) => {
                shown(&self.workspace, &["rollback", TARGET, "--to", &to.to_string()])
            }
        };
        let secret = match way {
            Move::Activate | Move::ActivateSaved => self.drawn.secret(),
            Move::Rollback => self.word_of(self.parent()),
            Move::RollbackTo(to) => self.word_of(to),
        };
        (Said::read(&text), secret)
    }

    fn carry_out(&self, way: Move, said: &Said) {
        let file = self.workspace.join("plan.json");
        let to;
        let words: &[&str] = match way {
            Move::Activate => &["activate", TARGET, "--yes"],
            Move::ActivateSaved => &["activate", "--plan", file.as_str()],
            Move::Rollback => &["rollback", TARGET, "--yes"],
            Move::RollbackTo(number) => {
                to = number.to_string();
                &["rollback", TARGET, "--to", &to, "--yes"]
            }
        };
        let text = run(&self.workspace, words, 0);
        let shown = text.split("✓ ").next().expect("a split text has a beginning");
        if way != Move::ActivateSaved {
            assert_eq!(Said::read(shown), *said, "what is approved is what was shown: {text}");
        }
    }

    /// The set of secrets of a generation.
    fn secrets_of(&self, generation: u64) -> Option<&str> {
        self.picture.link(&format!("{KEPT}/generations/{generation}/secrets"))
    }

    fn word_of(&self, generation: u64) -> String {
        let secrets = self.secrets_of(generation);
        secrets.map_or_else(String::new, |secrets| self.words[secrets].clone())
    }

    fn note_word(&mut self, word: &str) {
        let secrets = self.secrets_of(self.picture.generation()).map(str::to_owned);
        self.words.extend(secrets.map(|secrets| (secrets, word.to_owned())));
    }

    /// Where a plain rollback goes; 0 when it goes nowhere.
    fn parent(&self) -> u64 {
        let path = format!("{KEPT}/generations/{}/generation.json", self.picture.generation());
        let text = self.eye.run(&format!("cat {path}"));
        let generation: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let parent = generation["kept"]["parent"].as_u64().unwrap_or(0);
        // Nobody comes to the guest as it was found but by its number.
        if self.secrets_of(parent).is_some() { parent } else { 0 }
    }
}

fn define(workspace: &Utf8Path, lab: &RealLab, address: Ipv4Addr, drawn: &Drawn) {
    let text = format!(
        "[project]\nkind = \"base\"\n[envs.dev]\nname = \"exact-dev\"\nvmid = {VMID}\nip = \"{address}/24\"\n\
         [project.health]\nwindow_seconds = 1\nstart_seconds = 20\n{}",
        drawn.text()
    );
    fs::write(workspace.join("stacks/exact.toml"), text).expect("the folder is ours");
    let secrets = format!(
        "tag_key = \"{}\"\n[proxmox]\ntoken = \"{}\"\n[exact]\nword = \"{}\"\n",
        "5a".repeat(32),
        lab.info.token,
        drawn.secret()
    );
    // The file is there, with the mode that is asked of it.
    fs::write(workspace.join("stacks/secrets.local.toml"), secrets).expect("the folder is ours");
}

/// The plan of a verb that asks first. Nobody can be asked here; where nothing is to be done, nobody need be.
fn shown(workspace: &Utf8Path, words: &[&str]) -> String {
    let (code, out, errors) = stackc(workspace, words);
    let wanted = if out.contains("nothing to do") { 0 } else { REFUSED };
    assert_eq!(code, Some(wanted), "{words:?}: {out}{errors}");
    out
}

/// A verb that must end with this code; what it printed.
fn run(workspace: &Utf8Path, words: &[&str], code: i32) -> String {
    let (found, out, errors) = stackc(workspace, words);
    assert_eq!(found, Some(code), "{words:?}: {out}{errors}");
    out
}
