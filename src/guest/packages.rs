//! Packages, installed beside what runs: services that they bring wait for the switch.

mod hold;
mod record;
pub mod removal;
pub mod services;
mod sources;
mod status;
mod trouble;

pub use hold::release as release_services;
pub use sources::restore as restore_sources;
pub use status::{Installed, conffiles};

use super::error::GuestError;
use super::fs::GuestFs;
use super::system::{Command, Output};
use super::{Guest, generation, journal, store, watch};
use crate::model::protocol::{Done, News};
use crate::model::{AptDocument, Digest, GenerationId, PackageName, document};
use record::Record;
use std::time::Duration;
use trouble::Trouble;

/// An install of some hundred packages takes half a minute; a slow mirror takes its time.
const APT_LIMIT: Duration = Duration::from_secs(1800);
/// How long somebody else's installation is waited for.
const LOCK_LIMIT: Duration = Duration::from_secs(60);
const LOCK_ROUND: Duration = Duration::from_secs(1);

/// Ends a preparation that no switch came after: services that it started rest, and apt reads what it read before. Again:
/// nothing.
pub fn end_preparation(guest: &mut Guest) -> Result<(), GuestError> {
    services::rest(guest)?;
    forget_sources(guest.fs)
}

/// Puts back what apt reads for what is live, unless a switch to something else is not over. A damaged tree does not tell
/// what that is, and must not keep its own next activation out.
pub fn forget_sources(fs: &mut dyn GuestFs) -> Result<(), GuestError> {
    if !journal::pending(fs)?.is_empty() {
        return Ok(());
    }
    let live = generation::live(fs)?.unwrap_or(GenerationId::FOUND);
    match sources::restore(fs, live) {
        Err(GuestError::Document { .. }) => Ok(()),
        restored => restored,
    }
}

/// Installs what the bundle's `apt.json` names and the guest lacks.
pub fn install(guest: &mut Guest, digest: &Digest) -> Result<Done, GuestError> {
    let apt: AptDocument = store::document(guest.fs, digest, document::APT)?.unwrap_or_default();
    sources::set(guest.fs, &apt)?;
    let installed = Installed::read(guest.fs)?;
    let missing: Vec<String> = apt
        .packages
        .iter()
        .filter(|(name, version)| installed.lacks(name, version))
        .map(|(name, version)| match version.as_str() {
            "" => name.to_string(),
            version => format!("{name}={version}"),
        })
        .collect();
    let already = missing.is_empty() && !installed.is_half();
    if already {
        release_services(guest.fs)?;
    } else {
        hold::hold(guest, &apt.may_start)?;
        let done = repair_and_install(guest, digest, &missing);
        release_services(guest.fs)?;
        done?;
    }
    services::prepare(guest, digest)?;
    services::start_allowed(guest, &apt)?;
    Ok(Done { already })
}

fn repair_and_install(
    guest: &mut Guest,
    digest: &Digest,
    missing: &[String],
) -> Result<(), GuestError> {
    let repaired = repair(guest);
    if missing.is_empty() {
        return repaired;
    }
    // What a package's script refuses, a newer version of it may mend; apt tells if none does.
    tell(guest, "reading the package lists");
    apt(guest, &["apt-get", "-q", "update"])?;
    let simulated = apt(guest, &install_words(&["-s"], missing))?;
    expect(guest, digest, &simulated)?;
    tell(guest, &format!("installing {}", missing.join(" ")));
    apt(guest, &install_words(&[], missing)).map(drop)
}

/// Ends what an earlier installation has begun, as dpkg and apt ask for it.
fn repair(guest: &mut Guest) -> Result<(), GuestError> {
    if !Installed::read(guest.fs)?.is_half() {
        return Ok(());
    }
    tell(guest, "an earlier installation was interrupted: finishing it");
    apt(guest, &["dpkg", "--configure", "-a", "--force-confold"])?;
    if Installed::read(guest.fs)?.is_half() {
        // What was cut off while it was unpacked has to be fetched once more.
        apt(guest, &apt_words(&["-f", "install"]))?;
    }
    Ok(())
}

fn apt_words<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let mut argv = vec!["apt-get", "-q", "-y", "--no-install-recommends"];
    argv.extend(["-o", "Dpkg::Options::=--force-confdef"]);
    argv.extend(["-o", "Dpkg::Options::=--force-confold"]);
    argv.extend(words);
    argv
}

/// Whoever names a version, or pins one above 1000, means it, also when a newer one is there: a rollback does.
fn install_words<'w>(options: &[&'w str], missing: &'w [String]) -> Vec<&'w str> {
    let mut argv = apt_words(options);
    argv.extend(["--allow-downgrades", "install", "--"]);
    argv.extend(missing.iter().map(String::as_str));
    argv
}

/// Takes down what an installation will bring, before it does.
fn expect(guest: &mut Guest, digest: &Digest, simulated: &Output) -> Result<(), GuestError> {
    let installed = Installed::read(guest.fs)?;
    let mut record = Record::read(guest.fs)?;
    record.settle(&installed);
    let fresh = simulated_names(simulated, "Inst").filter(|name| !installed.knows(name.as_str()));
    record.expect(fresh, *digest);
    record.write(guest.fs)
}

/// The packages of a simulation's lines `Inst NAME …` or `Remv NAME …`.
fn simulated_names<'o>(
    simulated: &'o Output,
    verb: &'static str,
) -> impl Iterator<Item = PackageName> + 'o {
    simulated.text.lines().filter_map(move |line| {
        let mut words = line.split(' ');
        let name = words.next().filter(|word| *word == verb).and_then(|_| words.next())?;
        name.split(':').next()?.parse().ok()
    })
}

fn tell(guest: &mut Guest, text: &str) {
    (guest.news)(News::Event { step: "packages", text });
}

/// Runs apt or dpkg. Whoever else is installing is waited for, and named meanwhile.
fn apt(guest: &mut Guest, argv: &[&str]) -> Result<Output, GuestError> {
    let mut command = Command::new(argv, APT_LIMIT);
    for (key, value) in
        [("DEBIAN_FRONTEND", "noninteractive"), ("NEEDRESTART_SUSPEND", "1"), ("TERM", "dumb")]
    {
        command.environment.insert(key.to_owned(), value.to_owned());
    }
    let started = guest.system.uptime();
    let mut told = None;
    loop {
        let output = watch::run(guest, &command)?;
        // `apt-get update` warns, and succeeds, when a source could not be read: then its packages are the old ones.
        let unread = argv.ends_with(&["update"]) && output.text.contains("\nW: Failed to fetch");
        if output.code == Some(0) && !unread {
            return Ok(output);
        }
        let trouble = trouble::with_program(guest.fs, Trouble::of(&output));
        let waited = guest.system.uptime().saturating_sub(started);
        if !matches!(trouble, Trouble::Locked { .. }) || waited >= LOCK_LIMIT {
            let more = known_of(guest, &trouble)?;
            return Err(trouble.error(&argv.join(" "), &output, more));
        }
        if told.as_ref() != Some(&trouble) {
            tell(guest, &format!("waiting: {trouble}"));
            told = Some(trouble);
        }
        guest.system.sleep(LOCK_ROUND);
    }
}

/// What apt has of a package that could not be installed.
fn known_of(guest: &mut Guest, trouble: &Trouble) -> Result<Vec<String>, GuestError> {
    let Some(name) = trouble.package() else { return Ok(Vec::new()) };
    let policy = Command::new(&["apt-cache", "policy", "--", name], LOCK_LIMIT);
    let policy = guest.system.run(&policy)?;
    if policy.text.trim().is_empty() {
        return Ok(vec![format!("apt-cache knows nothing of `{name}`")]);
    }
    Ok(policy.text.lines().map(ToOwned::to_owned).collect())
}
