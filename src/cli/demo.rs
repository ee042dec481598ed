//! `stackc lab demo`: the whole path on real guests, told so that one can watch it. Every claim is checked; the first
//! that does not hold ends the story with a failure.

mod claim;
mod http;
mod screen;
mod stage;

use super::output;
use crate::lab::{
    self, Interrupts, LabName, Place,
    workspace::{self, Change},
};
use camino::Utf8PathBuf;
use claim::{Claim, ClaimError};
use screen::say;
use stage::{DemoError, Stage, check, curl};
use std::{env, net::IpAddr, process::ExitCode};

#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Install what the lab needs and make its guests without asking
    #[arg(long)]
    yes: bool,
    /// Leave the lab and its workspace at the end, until the next demo
    #[arg(long)]
    keep: bool,
}

const BACKEND: u16 = 3001;
const FRONTEND: u16 = 3000;
const REPORTS: u16 = 8000;

/// Version 2 has one more good; what was there stays, so that version 1 can still read it.
const MIGRATION: &str = "'use strict';

module.exports = (content) => ({
  ...content,
  goods: [...content.goods, { name: 'figs', cents: 350 }],
});
";

/// What the change puts in place of the line `[envs.dev.env_vars]`.
const CHANGED: &str = "[envs.dev.firewall.rules.metrics]
port = 9100
from = \"10.0.0.0/8\"
[envs.dev.env_vars]
GREETING = \"hello from version 2\"
";

/// Exit codes of README.md.
const STOPPED: u8 = 4;
const UNDONE: u8 = 5;
const FAILED: u8 = 6;

/// Where the demo's lab is, from the options of `stackc lab`.
pub fn place(name: Option<LabName>, state: Option<Utf8PathBuf>, cache: Utf8PathBuf) -> Place {
    claim::place(name, state, cache)
}

/// Tells the story. The lab is taken down at the end, also when the story fails or is stopped, unless `--keep` says otherwise.
pub fn run(arguments: &DemoArgs, place: &Place) -> ExitCode {
    if !arguments.yes {
        output::tell(
            "The demo installs what its lab needs, makes a bridge and two containers on this machine, and removes them\n\
             again (packages and a cached base of Debian stay). To let it: stackc lab demo --yes\n",
        );
        return ExitCode::from(output::Exit::Refused.code());
    }
    match play(arguments.keep, place) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail(&error, exit_code(&error)),
    }
}

fn exit_code(error: &DemoError) -> u8 {
    match error {
        DemoError::Claim(_) => output::Exit::Refused.code(),
        DemoError::Stopped => STOPPED,
        _ => FAILED,
    }
}

fn play(keep: bool, place: &Place) -> Result<(), DemoError> {
    lab::check_root().map_err(ClaimError::Unfit)?;
    let claim = claim::claim(place)?;
    let interrupts = Interrupts::watch().map_err(DemoError::Interrupts)?;
    let stackc = env::current_exe().map_err(|cause| DemoError::File {
        doing: "find",
        path: "stackc".into(),
        cause,
    })?;
    let mut stage = Stage::new(stackc, claim.folder.clone(), place, interrupts);
    let told = set_up(&mut stage, place, claim).and_then(|_claim| tell(&mut stage));
    stage.ignore_interrupts();
    if keep {
        say(&format!("\nThe lab runs on; its workspace is {}", stage.folder));
        say(&format!("To remove both: stackc lab down{}", place.options()));
        return told;
    }
    let removed = tear_down(&mut stage);
    if removed.is_err() {
        say(&format!("To remove what is left: stackc lab down{}", place.options()));
    }
    // What went wrong first is what to report.
    told.and(removed).inspect(|()| stage.times())
}

/// The story between `up` and `down`.
fn tell(stage: &mut Stage) -> Result<(), DemoError> {
    let shop = create(stage)?;
    change(stage, shop)?;
    nothing(stage)?;
    break_it(stage, shop)?;
    roll_back(stage, shop)
}

/// Makes the lab and the workspace; the claim is renewed when a lab had to go first, and its folder with it.
fn set_up(stage: &mut Stage, place: &Place, claim: Claim) -> Result<Claim, DemoError> {
    stage.scene("A Proxmox of our own, with real Debian guests");
    let missing = lab::missing_packages();
    if !missing.is_empty() {
        say("Some programs that a lab needs are not here yet.");
        stage.shell("apt-get", &["update", "-qq"])?;
        let install = ["install", "-qq", "-y", "--no-install-recommends"];
        stage.shell("apt-get", &[install.as_slice(), &missing].concat())?;
    }
    stage.name_lab();
    let claim = if claim.left { replace(stage, place)? } else { claim };
    say(
        "\nAn API on this machine that answers as Proxmox does. Its guests will be real: unprivileged LXC containers.",
    );
    stage.lab("up", &[])?;
    stage.lab("workspace", &["workspace"])?;
    stage.enter("workspace");
    Ok(claim)
}

/// Removes what a demo before left, by a kill or by `--keep`.
fn replace(stage: &Stage, place: &Place) -> Result<Claim, DemoError> {
    say("\nA demo before this one left its lab, which goes first.");
    stage.lab("down", &[])?;
    Ok(claim::claim(place)?)
}

fn tear_down(stage: &mut Stage) -> Result<(), DemoError> {
    stage.scene("Leave nothing behind");
    // Its workspace goes with the lab.
    stage.folder = "/".into();
    stage.lab("down", &[]).map(|_| ())
}

fn create(stage: &mut Stage) -> Result<IpAddr, DemoError> {
    stage.scene("Compile first");
    say(
        "Four apps, up to three envs each. Nothing is touched: the result is ten folders that one can read.",
    );
    let built = stage.stackc(&["build"], 0)?;
    let lines = built.lines().filter(|line| line.contains("/dev") || line.contains("/prod"));
    check("every app has its bundles", lines.count() >= 8, &built)?;

    stage.scene("Make it live: guests from nothing, after a plan of every step");
    stage.stackc(&["activate", "shop/dev", "reports/dev", "--yes"], 0)?;
    let (shop, reports) = (stage.address("shop")?, stage.address("reports")?);
    shop_is(shop, 1, None)?;
    let page = curl(shop, FRONTEND)?;
    check("its page was built from version 1", page.contains("version 1"), &page)?;
    let answer = curl(reports, REPORTS)?;
    check("reports answers with version 1", field(&answer, "version") == "1", &answer)?;
    check("its database is migrated", field(&answer, "orders") == "2 orders", &answer)?;
    Ok(shop)
}

fn change(stage: &mut Stage, shop: IpAddr) -> Result<(), DemoError> {
    stage.scene("Change the app, its env and the firewall together");
    let repo = stage.folder.join("repos/shop");
    let changes = [
        Change::Replace { path: "VERSION", from: "1", to: "2" },
        Change::Write { path: "backend/migrations/2-figs.js", text: MIGRATION },
    ];
    workspace::commit(&repo, "shop: version 2", &changes)?;
    stage.shell("git", &["-C", "repos/shop", "show", "--stat", "--oneline", "HEAD"])?;
    let definition =
        Change::Replace { path: "stacks/shop.toml", from: "[envs.dev.env_vars]\n", to: CHANGED };
    workspace::edit(&stage.folder, &[definition])?;
    stage.shell("git", &["diff", "-U1", "stacks/shop.toml"])?;
    stage.stackc(&["lock", "shop/dev"], 0)?;
    stage.stackc(&["diff", "shop/dev"], 0)?;
    stage.stackc(&["build"], 0)?;
    stage.stackc(&["plan", "shop/dev"], 0)?;
    stage.stackc(&["activate", "shop/dev", "--yes"], 0)?;
    shop_is(shop, 2, Some("hello from version 2"))?;
    firewall(stage, true)
}

fn nothing(stage: &mut Stage) -> Result<(), DemoError> {
    stage.scene("Again: nothing to do");
    let answer = stage.stackc(&["activate", "shop/dev", "reports/dev", "--yes"], 0)?;
    let lines = answer.lines().filter(|line| line.contains("nothing to do"));
    check("both guests are as they should be", lines.count() == 2, &answer)
}

fn break_it(stage: &mut Stage, shop: IpAddr) -> Result<(), DemoError> {
    stage.scene("Break it: a release that crashes at its start");
    let repo = stage.folder.join("repos/shop");
    let changes = [
        Change::Replace { path: "VERSION", from: "2", to: "3" },
        Change::Replace {
            path: "backend/server.js",
            from: "const server =",
            to: "if (!process.env.PAYMENT_URL) throw new Error('PAYMENT_URL is not set');\n\nconst server =",
        },
    ];
    workspace::commit(&repo, "shop: version 3, which nobody tried", &changes)?;
    stage.shell("git", &["-C", "repos/shop", "show", "--oneline", "-U0", "HEAD"])?;
    stage.stackc(&["lock", "shop/dev"], 0)?;
    stage.stackc(&["build", "shop/dev"], 0)?;
    let undone = stage.stackc(&["activate", "shop/dev", "--yes"], UNDONE)?;
    check("the evidence is shown", undone.contains("PAYMENT_URL is not set"), &undone)?;
    shop_is(shop, 2, Some("hello from version 2"))?;
    firewall(stage, true)
}

fn roll_back(stage: &mut Stage, shop: IpAddr) -> Result<(), DemoError> {
    stage.scene("Go back to version 1: files, env, firewall, release");
    stage.stackc(&["rollback", "shop/dev", "--yes"], 0)?;
    shop_is(shop, 1, None)?;
    firewall(stage, false)?;
    stage.stackc(&["history", "shop/dev"], 0)?;
    stage.stackc(&["status"], 0).map(|_| ())
}

/// Whether the shop answers with this version, and has the env that belongs to it.
fn shop_is(shop: IpAddr, version: u32, greeting: Option<&str>) -> Result<(), DemoError> {
    let answer = curl(shop, BACKEND)?;
    let version = version.to_string();
    let claim = format!("shop answers with version {version}");
    check(&claim, field(&answer, "version") == version, &answer)?;
    let claim = greeting.map_or("its env has no greeting".to_owned(), |text| {
        format!("its env has GREETING=\"{text}\"")
    });
    check(&claim, field(&answer, "greeting") == greeting.unwrap_or("null"), &answer)
}

/// Whether the running firewall, not its file, lets the port of the change in.
fn firewall(stage: &Stage, open: bool) -> Result<(), DemoError> {
    let rules = stage.lab("ssh", &["shop-dev", "iptables", "-S", "ufw-user-input"])?;
    let claim = if open { "the firewall lets 9100 in" } else { "the firewall keeps 9100 out" };
    check(claim, rules.contains("9100") == open, &rules)
}

/// A field of an answer in JSON, as text.
fn field(answer: &str, name: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(answer) {
        Ok(answer) => answer[name].as_str().map_or(answer[name].to_string(), str::to_owned),
        Err(error) => format!("no JSON: {error}"),
    }
}
