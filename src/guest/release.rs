//! Releases: a checkout, owned by the app's user, built in the folder that it stays in (a Python venv names its own path).

use super::Guest;
use super::account::{Accounts, as_user};
use super::error::GuestError;
use super::fs::{GuestFs, Ids, Kind, Sync, mkdir_all, remove_tree, replace, split};
use super::generation::{release_path, secrets_path};
use super::kept;
use super::store;
use super::system::{Command, Output, UnitJob, UnitReport, succeed};
use super::units::{self, Downtime};
use super::watch;
use crate::model::layout::STATE;
use crate::model::protocol::{Done, News, ToolsReply};
use crate::model::{
    Digest, Entry, EntryPath, GuestPath, ReleaseCommand, ReleaseDocument, ReleaseId,
    SecretsVersion, UnitName, document,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read, Take};
use std::time::Duration;

/// The bundle's own script that builds and migrates; the live one may be another.
const SCRIPT: &str = "/usr/local/bin/deploy_app.sh";
/// A tool that says its version does so at once.
const TOOL_LIMIT: Duration = Duration::from_secs(30);
/// What a script may take besides its commands.
const SCRIPT_LIMIT: Duration = Duration::from_secs(60);
/// A migration at work, for whoever comes after a call that died in it.
const MIGRATING: &str = "/var/lib/stackc/migrating.json";
/// Where a folder is made that appears only with its owner.
const FRESH: &str = "/var/lib/stackc/.tmp-shared";

/// What a migration leaves to be put right when it dies.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Migration {
    release: ReleaseId,
    /// Units that wait for its end.
    stopped: Vec<UnitName>,
}

/// A release is built when this file stands beside its folder. Alone it says nothing: a removal may have died.
fn done_path(release: ReleaseId) -> String {
    format!("{}.done", release_path(release))
}

pub fn is_built(fs: &mut dyn GuestFs, release: ReleaseId) -> Result<bool, GuestError> {
    Ok(fs.stat(&done_path(release))?.is_some() && fs.stat(&release_path(release))?.is_some())
}

/// Every built release.
pub fn built(fs: &mut dyn GuestFs) -> Result<Vec<ReleaseId>, GuestError> {
    let mut built = Vec::new();
    for name in fs.list(&format!("{STATE}/releases"))? {
        let id = name.strip_suffix(".done").and_then(|id| id.parse().ok()).map(ReleaseId);
        if let Some(id) = id
            && is_built(fs, id)?
        {
            built.push(id);
        }
    }
    Ok(built)
}

fn document_of(guest: &mut Guest, digest: &Digest) -> Result<ReleaseDocument, GuestError> {
    let document = store::document(guest.fs, digest, document::RELEASE)?;
    document.ok_or_else(|| GuestError::Unfit("the bundle has no release".to_owned()))
}

/// Unpacks a checkout and builds it. Built already: nothing.
pub fn receive(
    guest: &mut Guest,
    digest: &Digest,
    release: ReleaseId,
    archive: &mut Take<impl Read>,
) -> Result<Done, GuestError> {
    if is_built(guest.fs, release)? {
        return Ok(Done { already: true });
    }
    store::check_room(guest.fs, archive.limit())?;
    clear(guest, release)?;
    let made = make(guest, digest, release, archive);
    if made.is_err() {
        // A full disk must not stay full for it. What cannot be removed now goes before the next try.
        drop(clear(guest, release));
    }
    made?;
    replace(guest.fs, &done_path(release), b"", 0o644)?;
    Ok(Done { already: false })
}

fn make(
    guest: &mut Guest,
    digest: &Digest,
    release: ReleaseId,
    archive: &mut Take<impl Read>,
) -> Result<(), GuestError> {
    let document = document_of(guest, digest)?;
    let folder = release_path(release);
    mkdir_all(guest.fs, &folder, 0o755)?;
    unpack(guest.fs, &folder, archive)?;
    check_end(archive)?;
    let user = Accounts::read(guest.fs)?.user(&document.user)?.clone();
    let ids = Ids { uid: user.uid, gid: user.gid, mode: 0o755 };
    own(guest.fs, &folder, ids)?;
    for path in &document.shared {
        share(guest.fs, &folder, path, ids)?;
    }
    let text = format!("building {}", release.0.short());
    (guest.news)(News::Event { step: "release", text: &text });
    let output = script(guest, digest, &document, &folder, "build", BTreeMap::new())?;
    if let Some((command, output)) = output {
        let log = format!("{folder}.log");
        replace(guest.fs, &log, output.text.as_bytes(), 0o644)?;
        succeed(&command, output)
            .map_err(|error| GuestError::step("build of the release", &error))?;
    }
    Ok(guest.fs.sync_all(&folder)?)
}

/// Removes a release that is not built. Its mark may have outlived its folder in a removal that died, and its build may
/// have outlived the call that died.
fn clear(guest: &mut Guest, release: ReleaseId) -> Result<(), GuestError> {
    let folder = release_path(release);
    mkdir_all(guest.fs, split(&folder).0, 0o755)?;
    guest.fs.remove(&done_path(release))?;
    guest.fs.sync_dir(split(&folder).0)?;
    guest.system.end_all_in(&folder)?;
    Ok(remove_tree(guest.fs, &folder)?)
}

/// Files, directories and symlinks only; nothing is written through a link, for the file system follows none.
fn unpack(fs: &mut dyn GuestFs, folder: &str, archive: &mut dyn Read) -> Result<(), GuestError> {
    let mut archive = tar::Archive::new(archive);
    for member in archive.entries().map_err(GuestError::ArchiveRead)? {
        let mut member = member.map_err(GuestError::ArchiveRead)?;
        let kind = member.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let text = String::from_utf8(member.path_bytes().into_owned())
            .map_err(|_| GuestError::Archive("a path is not UTF-8".to_owned()))?;
        let text = text.strip_prefix("./").unwrap_or(&text);
        let text = text.strip_suffix('/').unwrap_or(text);
        if text.is_empty() || text == "." {
            continue;
        }
        let path: EntryPath =
            text.parse().map_err(|error| GuestError::Archive(format!("{error}")))?;
        let at = format!("{folder}/{path}");
        mkdir_all(fs, split(&at).0, 0o755)?;
        if kind.is_dir() {
            fs.mkdir(&at, 0o755)?;
        } else if kind.is_file() {
            let mode = member.header().mode().map_err(GuestError::ArchiveRead)?;
            let mode = if mode & 0o100 == 0 { 0o644 } else { 0o755 };
            fs.write(&at, &mut member, mode, Sync::Later)?;
        } else if let (true, Some(target)) = (kind.is_symlink(), member.link_name_bytes()) {
            let target = String::from_utf8_lossy(&target).into_owned();
            fs.symlink(&target, &at)?;
        } else {
            return Err(GuestError::Archive(format!("`{path}` is no file, folder or symlink")));
        }
    }
    Ok(())
}

/// Refuses an archive that its sender did not finish: one that ends between two members reads as a whole one.
fn check_end(archive: &mut Take<impl Read>) -> Result<(), GuestError> {
    std::io::copy(archive, &mut std::io::sink()).map_err(GuestError::ArchiveRead)?;
    match archive.limit() {
        0 => Ok(()),
        missing => Err(GuestError::Archive(format!("its last {missing} bytes did not come"))),
    }
}

/// Gives a folder and all in it to a user; modes stay.
fn own(fs: &mut dyn GuestFs, path: &str, owner: Ids) -> Result<(), GuestError> {
    let Some(stat) = fs.stat(path)? else { return Ok(()) };
    if stat.kind == Kind::Directory {
        for name in fs.list(path)? {
            own(fs, &format!("{path}/{name}"), owner)?;
        }
    }
    Ok(fs.set_access(path, Ids { mode: stat.ids.mode, ..owner })?)
}

/// Makes a path of the release outlive it. What the first checkout has there is where it begins; without that, a name
/// with a dot is a file that the app makes, and one without is a folder.
fn share(fs: &mut dyn GuestFs, folder: &str, path: &str, owner: Ids) -> Result<(), GuestError> {
    let path: EntryPath =
        path.parse().map_err(|error| GuestError::Unfit(format!("shared path: {error}")))?;
    let (at, kept) = (format!("{folder}/{path}"), format!("{STATE}/shared/{path}"));
    mkdir_owned(fs, split(&kept).0, owner)?;
    mkdir_owned(fs, split(&at).0, owner)?;
    if fs.stat(&kept)?.is_none() {
        if fs.stat(&at)?.is_some() {
            fs.rename(&at, &kept)?;
        } else if !split(&kept).1.contains('.') {
            mkdir_owned(fs, &kept, owner)?;
        }
        fs.sync_dir(split(&kept).0)?;
    }
    remove_tree(fs, &at)?;
    fs.symlink(&kept, &at)?;
    Ok(fs.set_access(&at, owner)?)
}

/// Makes folders that the app's user owns, so that the app can make files in them. One that is there stays as it is,
/// so none may be seen before it has its owner.
fn mkdir_owned(fs: &mut dyn GuestFs, path: &str, owner: Ids) -> Result<(), GuestError> {
    if fs.stat(path)?.is_some() {
        return Ok(());
    }
    mkdir_owned(fs, split(path).0, owner)?;
    fs.mkdir(FRESH, 0o755)?;
    fs.set_access(FRESH, owner)?;
    Ok(fs.rename(FRESH, path)?)
}

/// Runs the bundle's own script as the release's user; nothing when the bundle has none.
fn script(
    guest: &mut Guest,
    digest: &Digest,
    document: &ReleaseDocument,
    folder: &str,
    verb: &str,
    more: BTreeMap<String, String>,
) -> Result<Option<(Command, Output)>, GuestError> {
    let path = format!("{}/rootfs{SCRIPT}", store::tree_path(digest));
    if guest.fs.stat(&path)?.is_none() {
        return Ok(None);
    }
    let commands = if verb == "build" { &document.build } else { &document.migrate };
    let seconds = |command: &ReleaseCommand| u64::from(command.timeout_seconds);
    let limit = Duration::from_secs(commands.iter().map(seconds).sum()) + SCRIPT_LIMIT;
    let mut command = as_user(guest.fs, &document.user, Command::new(&[&path, verb], limit))?;
    command.folder = Some(folder.to_owned());
    command.environment.extend(document.build_env.clone());
    command.environment.insert("STACKC_RELEASE_DIR".to_owned(), folder.to_owned());
    command.environment.extend(more);
    let output = watch::run(guest, &command)?;
    Ok(Some((command, output)))
}

/// What the declared tools say of themselves, run as the release's user.
pub fn tools(guest: &mut Guest, digest: &Digest) -> Result<ToolsReply, GuestError> {
    let document = document_of(guest, digest)?;
    let mut outputs = BTreeMap::new();
    for tool in &document.tools {
        let command = Command::new(&["/bin/sh", "-c", tool], TOOL_LIMIT);
        let command = as_user(guest.fs, &document.user, command)?;
        let output = guest.system.run(&command)?;
        let text = output.text.clone();
        succeed(&command, output)
            .map_err(|error| GuestError::step(&format!("tool {tool}"), &error))?;
        outputs.insert(tool.clone(), text);
    }
    Ok(ToolsReply { outputs })
}

/// Runs the migrate commands; units that must not run meanwhile are stopped, and started again whatever happens. What did
/// not run is not started.
pub fn migrate(
    guest: &mut Guest,
    digest: &Digest,
    release: ReleaseId,
    secrets: SecretsVersion,
    stop: &[UnitName],
) -> Result<Done, GuestError> {
    let document = document_of(guest, digest)?;
    if !is_built(guest.fs, release)? {
        return Err(GuestError::Unfit(format!("release `{}` is not built", release.0.short())));
    }
    let mut more = BTreeMap::new();
    if let Some(path) = &document.env_file {
        let file = env_file(guest, digest, path, secrets)?;
        more.insert("STACKC_ENV_FILE".to_owned(), file);
    }
    let running = guest.system.units(stop)?;
    let runs = |unit: &&UnitName| running.get(*unit).is_some_and(UnitReport::is_active);
    let stopped: Vec<UnitName> = stop.iter().filter(runs).cloned().collect();
    kept::put(guest.fs, MIGRATING, &Migration { release, stopped: stopped.clone() }, 0o600)?;
    let mut downtime = Downtime::default();
    let rests = units::stop(guest, &stopped, &mut downtime);
    let folder = release_path(release);
    let ran = rests.and_then(|()| script(guest, digest, &document, &folder, "migrate", more));
    end_migration(guest, UnitJob::Start)?;
    for unit in &stopped {
        let text = format!("{unit} was down for {} ms", downtime.until_now(guest, unit));
        (guest.news)(News::Event { step: "migrate", text: &text });
    }
    match ran? {
        None => Ok(Done { already: true }),
        Some((command, output)) => {
            let log = format!("{folder}.migrate.log");
            replace(guest.fs, &log, output.text.as_bytes(), 0o600)?;
            succeed(&command, output)
                .map_err(|error| GuestError::step("migration of the release", &error))?;
            Ok(Done { already: false })
        }
    }
}

/// Whether a migration is at work, or its call died.
pub fn is_migrating(fs: &mut dyn GuestFs) -> Result<bool, GuestError> {
    Ok(fs.stat(MIGRATING)?.is_some())
}

/// Starts what a migration stopped. One whose call died is ended first. A unit that does not start is told of once: it
/// must not keep every later call out.
pub fn end_migration(guest: &mut Guest, job: UnitJob) -> Result<(), GuestError> {
    if !is_migrating(guest.fs)? {
        return Ok(());
    }
    let migration: Migration = kept::read(guest.fs, MIGRATING)?;
    guest.system.end_all_in(&release_path(migration.release))?;
    let mut first = Ok(());
    for unit in &migration.stopped {
        first = first.and(guest.system.job(job, unit));
    }
    guest.fs.remove(MIGRATING)?;
    Ok(first?)
}

fn env_file(
    guest: &mut Guest,
    digest: &Digest,
    path: &GuestPath,
    secrets: SecretsVersion,
) -> Result<String, GuestError> {
    let manifest = store::manifest(guest.fs, digest)?;
    match manifest.entries.get(&EntryPath::of_overlay(path)) {
        Some(Entry::Secret { .. }) => Ok(format!("{}{path}", secrets_path(secrets))),
        Some(_) => Ok(store::copy_source(digest, path)),
        None => Err(GuestError::Unfit(format!("`{path}` is not in the bundle"))),
    }
}
