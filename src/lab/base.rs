//! The base that every guest is laid over, and the packages that guests can install without a network.
//!
//! ```text
//! <cache>/<key>/root/        Debian as an unprivileged guest sees it: ids shifted by 100000
//! <cache>/<key>/packages/    a flat apt repository, mounted read-only at /srv/aptrepo in every guest
//! ```

use super::{
    Debian, LabError,
    error::{AtPath as _, remove_if_there},
    program::{run, run_locked},
};
use crate::model::Digest;
use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
};

/// Changes whenever this file makes another base of the same packages.
const RECIPE: &str = "1";

/// First id of a guest, seen from outside.
pub(super) const ROOT_ID: u32 = 100_000;

/// `lxc-usernsexec`'s form of the guests' id map.
const ID_MAP: &str = "b:0:100000:65536";

/// Where guests find the packages.
pub(super) const PACKAGES_IN_GUEST: &str = "srv/aptrepo";

/// What a guest has from the start: about what Proxmox's Debian templates have.
const BASE_PACKAGES: &str = "systemd systemd-sysv dbus libpam-systemd openssh-server cron iproute2 \
    iputils-ping ca-certificates curl procps logrotate tzdata";

/// What a guest can install, with all that these depend on.
const REPOSITORY_PACKAGES: &str = "acl cron curl git ipset iptables jq locales logrotate mariadb-server \
    netcat-openbsd nftables nginx nodejs npm openssh-server postgresql python3 python3-pip python3-psycopg2 \
    python3-venv redis-server rsync sudo tzdata ufw unattended-upgrades";

/// Units that cannot work in an unprivileged guest, or would reach for the network by themselves.
const MASKED_UNITS: [&str; 10] = [
    "sys-kernel-debug.mount",
    "sys-kernel-config.mount",
    "getty@tty1.service",
    "console-getty.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "fstrim.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "dpkg-db-backup.timer",
];

/// dpkg's fsyncs cost seconds per install and protect nothing in a lab; documentation is dead weight.
const DPKG_OPTIONS: [&str; 4] = [
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
];

/// Bootstrapping takes half a minute; a slow mirror may need long.
const BOOTSTRAP_SECONDS: u32 = 1_800;

/// Hex digits of a base's name.
const KEY_DIGITS: usize = 16;

/// Before the name of a base that is being built.
const BUILDING: &str = "building-";

/// A base, ready to be laid under guests.
pub(super) struct Base(Utf8PathBuf);

impl Base {
    pub(super) fn at(folder: impl Into<Utf8PathBuf>) -> Self {
        Self(folder.into())
    }

    pub(super) fn folder(&self) -> &Utf8Path {
        &self.0
    }

    pub(super) fn root(&self) -> Utf8PathBuf {
        self.0.join("root")
    }

    pub(super) fn packages(&self) -> Utf8PathBuf {
        self.0.join("packages")
    }
}

/// The base of this recipe from the cache, or builds it. A lock lets one build at a time; the others wait and use its result.
pub(super) fn prepare(
    cache: &Utf8Path,
    debian: Debian,
    mirror: Option<&str>,
    report: &mut dyn FnMut(&str),
) -> Result<Base, LabError> {
    let sources = sources(debian, mirror)?;
    let base = Base::at(cache.join(key(debian, &sources)));
    if base.folder().exists() {
        return Ok(base);
    }
    fs::create_dir_all(cache).at("make", cache)?;
    let lock = lock(cache, report)?;
    if !base.folder().exists() {
        remove_unfinished(cache)?;
        build(&base, debian, &sources, &lock, report)?;
    }
    Ok(base)
}

/// Removes every base, and nothing else of the folder.
///
/// # Errors
/// When a guest stands on one of them, before anything is removed.
pub(super) fn remove_all(cache: &Utf8Path) -> Result<(), LabError> {
    if !cache.exists() {
        return Ok(());
    }
    let mounts = "/proc/self/mounts";
    if fs::read_to_string(mounts).at("read", mounts)?.contains(&format!("lowerdir={cache}/")) {
        return Err(LabError::BaseInUse { path: cache.to_owned() });
    }
    let lock = lock(cache, &mut |_| {})?;
    for entry in cache.read_dir_utf8().at("list", cache)? {
        let entry = entry.at("list", cache)?;
        if is_base(entry.file_name()) {
            remove_if_there(entry.path(), |path| fs::remove_dir_all(path))?;
        }
    }
    drop(lock);
    remove_if_there(&cache.join(".lock"), |path| fs::remove_file(path))?;
    // Where somebody keeps other things too, it stays.
    let _ = fs::remove_dir(cache);
    Ok(())
}

/// Whether a folder of the cache is a base, finished or not.
fn is_base(name: &str) -> bool {
    let key = name.strip_prefix(BUILDING).unwrap_or(name);
    key.len() == KEY_DIGITS && key.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn masked_units(debian: Debian) -> impl Iterator<Item = &'static str> {
    MASKED_UNITS.into_iter().chain(debian.masked_units().iter().copied())
}

/// What the base is made of, in hex digits.
fn key(debian: Debian, sources: &[String]) -> String {
    let masked = masked_units(debian).collect::<Vec<_>>().join(" ");
    let recipe = [RECIPE, debian.suite(), BASE_PACKAGES, REPOSITORY_PACKAGES, &masked].join("\n");
    Digest::of(format!("{recipe}\n{}", sources.join("\n")).as_bytes()).to_string()[..KEY_DIGITS]
        .to_owned()
}

/// apt's own sources for the suite, as one-line entries: this machine's, or those of `mirror`.
fn sources(debian: Debian, mirror: Option<&str>) -> Result<Vec<String>, LabError> {
    let suite = debian.suite();
    let (main, security) = match mirror {
        Some(url) => {
            let url = url.trim_end_matches('/');
            (format!("{url}/debian"), format!("{url}/debian-security"))
        }
        None => configured_mirrors(suite)?,
    };
    Ok(vec![
        format!("deb {main} {suite} main"),
        format!("deb {main} {suite}-updates main"),
        format!("deb {security} {suite}-security main"),
    ])
}

/// Asks apt, which knows every form its sources may have.
fn configured_mirrors(suite: &'static str) -> Result<(String, String), LabError> {
    let listed = run(
        "ask apt for its mirrors",
        60,
        &["apt-get", "indextargets", "Created-By: Packages", "--format", "$(REPO_URI)"],
    )?;
    let of = |name: &str| {
        let uris = listed.lines().map(|uri| uri.trim_end_matches('/'));
        uris.into_iter().find(|uri| uri.ends_with(name)).map(str::to_owned)
    };
    of("/debian").zip(of("/debian-security")).ok_or(LabError::NoMirror { suite })
}

fn lock(cache: &Utf8Path, report: &mut dyn FnMut(&str)) -> Result<File, LabError> {
    let path = cache.join(".lock");
    let file = File::create(&path).at("open", &path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        report("another lab is at work on the base; waiting for it");
        flock(&file, FlockOperation::LockExclusive).at("lock", &path)?;
    }
    Ok(file)
}

/// A build that was killed leaves its folder; the lock, which its programs hold too, says that nobody works in it.
fn remove_unfinished(cache: &Utf8Path) -> Result<(), LabError> {
    for entry in cache.read_dir_utf8().at("list", cache)? {
        let entry = entry.at("list", cache)?;
        if entry.file_name().starts_with(BUILDING) {
            fs::remove_dir_all(entry.path()).at("remove", entry.path())?;
        }
    }
    Ok(())
}

fn build(
    base: &Base,
    debian: Debian,
    sources: &[String],
    lock: &File,
    report: &mut dyn FnMut(&str),
) -> Result<(), LabError> {
    let name = base.folder().file_name().expect("it is a key below the cache");
    let building = format!("{BUILDING}{name}");
    let building = Base::at(base.folder().with_file_name(building));
    let plain = building.folder().join("plain");
    for folder in [building.folder(), &building.packages(), &building.root()] {
        fs::create_dir_all(folder).at("make", folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).at("open up", folder)?;
    }
    report(&format!(
        "bootstrapping Debian {debian} and downloading packages (about half a minute, once)"
    ));
    bootstrap(&plain, &building.packages(), debian, sources, lock)?;
    report("indexing packages");
    index(&building.packages(), debian)?;
    configure(&plain, debian)?;
    report("shifting ids");
    shift_ids(&plain, &building.root())?;
    fs::remove_dir_all(&plain).at("remove", &plain)?;
    run("write the base to disk", 300, &["sync", "-f", building.folder().as_str()])?;
    fs::rename(building.folder(), base.folder()).at("move into place", base.folder())
}

/// mmdebstrap with a hook that downloads the guests' packages by the same apt, while its lists are there.
fn bootstrap(
    root: &Utf8Path,
    packages: &Utf8Path,
    debian: Debian,
    sources: &[String],
    lock: &File,
) -> Result<(), LabError> {
    let download = format!(
        "--customize-hook=APT_CONFIG=\"$MMDEBSTRAP_APT_CONFIG\" apt-get --quiet=2 --yes --download-only \
         --no-install-recommends --reinstall install {REPOSITORY_PACKAGES} && mv \"$1\"/var/cache/apt/archives/*.deb '{packages}'/"
    );
    let include =
        format!("--include={}", BASE_PACKAGES.split_whitespace().collect::<Vec<_>>().join(","));
    let mut argv = vec!["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"];
    argv.extend(DPKG_OPTIONS);
    argv.extend([include.as_str(), download.as_str(), debian.suite(), root.as_str()]);
    argv.extend(sources.iter().map(String::as_str));
    run_locked("bootstrap Debian for the lab's base", BOOTSTRAP_SECONDS, &argv, lock).map(drop)
}

fn index(packages: &Utf8Path, debian: Debian) -> Result<(), LabError> {
    let script = "cd \"$0\" && apt-ftparchive packages . > Packages && gzip -1 --keep --no-name Packages && \
        apt-ftparchive -o APT::FTPArchive::Release::Suite=\"$1\" \
        -o APT::FTPArchive::Release::Codename=\"$1\" release . > Release.new && mv Release.new Release";
    let argv = ["sh", "-ec", script, packages.as_str(), debian.suite()];
    run("index the lab's packages", 300, &argv).map(drop)
}

/// Makes the tree a template: no identity of its own, and only the local packages.
fn configure(root: &Utf8Path, debian: Debian) -> Result<(), LabError> {
    let write =
        |path: &str, text: &str| fs::write(root.join(path), text).at("write", root.join(path));
    write("etc/machine-id", "")?;
    write("etc/resolv.conf", "")?;
    write("etc/hostname", "")?;
    write("etc/apt/sources.list", &format!("deb [trusted=yes] file:/{PACKAGES_IN_GUEST} ./\n"))?;
    write("etc/apt/apt.conf.d/90lab", "Acquire::Languages \"none\";\n")?;
    for unit in masked_units(debian) {
        let link = root.join("etc/systemd/system").join(unit);
        symlink("/dev/null", &link).at("mask", &link)?;
    }
    write("etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n")?;
    for folder in [PACKAGES_IN_GUEST, "root/.ssh", "etc/network"] {
        fs::create_dir_all(root.join(folder)).at("make", root.join(folder))?;
    }
    let keys = root.join("root/.ssh");
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o700)).at("close", &keys)?;
    remove_identity(root)
}

fn remove_identity(root: &Utf8Path) -> Result<(), LabError> {
    let sshd = root.join("etc/ssh");
    for entry in sshd.read_dir_utf8().at("list", &sshd)? {
        let entry = entry.at("list", &sshd)?;
        if entry.file_name().starts_with("ssh_host_") {
            fs::remove_file(entry.path()).at("remove", entry.path())?;
        }
    }
    remove_if_there(&root.join("var/lib/dbus/machine-id"), |path| fs::remove_file(path))
}

/// Copies the tree as an unprivileged guest sees it. Extracting inside the id map keeps set-uid bits and file capabilities; a chown drops them.
fn shift_ids(from: &Utf8Path, to: &Utf8Path) -> Result<(), LabError> {
    chown(to, Some(ROOT_ID), Some(ROOT_ID)).at("give to the guests' root", to)?;
    let script = format!(
        "set -o pipefail; tar -C \"$0\" --xattrs --xattrs-include='*' --numeric-owner --exclude='./dev/*' -c . | \
         lxc-usernsexec -m {ID_MAP} -- tar -C \"$1\" --xattrs --xattrs-include='*' --numeric-owner -xp"
    );
    run("shift the base's ids", 300, &["bash", "-ec", &script, from.as_str(), to.as_str()])
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_bases_leaves_what_else_is_in_their_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Utf8Path::from_path(folder.path()).expect("UTF-8");
        for name in ["cbc83985d710b740/root", "building-cbc83985d710b740", "photos"] {
            fs::create_dir_all(cache.join(name)).expect("it is ours");
        }
        remove_all(cache).expect("nobody stands on them");
        let left: Vec<String> = cache
            .read_dir_utf8()
            .expect("it is there")
            .map(|entry| entry.expect("it can be read").file_name().to_owned())
            .collect();
        assert_eq!(left, ["photos"]);
    }
}
