//! `stackc-guest`, carried by this binary and installed where it is missing.

use super::{
    RemoteError,
    session::{Door, Login, chain},
};
use crate::model::{Digest, layout};
use openssh::Stdio;
use openssh_sftp_client::{Sftp, SftpOptions, metadata::Permissions};
use std::{num::NonZeroUsize, sync::LazyLock, time::Duration};
use tokio::io::AsyncWriteExt;

static BINARY: &[u8] = include_bytes!(env!("STACKC_GUEST_BINARY"));

/// Three megabytes over a slow line.
const INSTALL_LIMIT: Duration = Duration::from_secs(120);

static VERSION: LazyLock<String> =
    LazyLock::new(|| format!("{}-{}", env!("CARGO_PKG_VERSION"), Digest::of(BINARY).short()));

/// The folder's name on guests: this package's version and the binary's hash.
pub fn guest_binary_version() -> &'static str {
    &VERSION
}

/// Where the binary stands on guests.
pub(super) fn path() -> String {
    format!("{}/{}/stackc-guest", layout::BINARIES, guest_binary_version())
}

/// Installs the binary: a temporary file first, so that a half-written one never has its name. After a connection that
/// broke the whole can be done again.
pub(super) async fn install(door: &Door, login: &Login) -> Result<(), RemoteError> {
    let address = door.address;
    let what = match tokio::time::timeout(INSTALL_LIMIT, upload(door, login)).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(what)) => what,
        Err(_) => format!("it took more than {} s", INSTALL_LIMIT.as_secs()),
    };
    // Only the connection itself knows whether it is what failed: SFTP's errors are the same either way.
    match login.session.check().await {
        Ok(()) => Err(RemoteError::Install { address, what }),
        Err(_) => Err(RemoteError::InstallLost { address, what }),
    }
}

/// Uploads the binary and gives it its name; what was in the way otherwise.
async fn upload(door: &Door, login: &Login) -> Result<(), String> {
    let staged = stage(door, login).await.map_err(|error| chain(&error))?;
    let folder = format!("{}/{}", layout::BINARIES, guest_binary_version());
    // One short script: make the folder, and give the file its name in one step.
    let script = format!(
        "set -eu; umask 022; mkdir -p {folder}; install -m 0755 {staged} {folder}/.new-{n}; \
         sync {folder}/.new-{n}; mv -f {folder}/.new-{n} {folder}/stackc-guest; sync {folder}; rm -f {staged}",
        n = staged.rsplit('.').next().unwrap_or("0"),
    );
    let mut command = login.session.raw_command(login.as_root(&script));
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().await.map_err(|error| chain(&error))?;
    let mut stdin = child.stdin().take().expect("it is piped");
    // A script that ends early does not read; its exit code tells.
    let _unread = stdin.write_all(login.password_line().as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await.map_err(|error| chain(&error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Uploads the binary by SFTP into the user's home, where every user may write, and returns its name.
async fn stage(door: &Door, login: &Login) -> Result<String, openssh_sftp_client::Error> {
    let options = SftpOptions::new().flush_interval(Duration::ZERO);
    let options = options.requests_buffer_size(NonZeroUsize::new(1 << 20).expect("it is not zero"));
    let sftp = Sftp::from_clonable_session(login.session.clone(), options).await?;
    let name = format!(".stackc-guest.{}.{}", door.uuid, std::process::id());
    let mut file = sftp.options().write(true).create(true).truncate(true).open(&name).await?;
    let mut private = Permissions::new();
    private.set_read_by_owner(true).set_write_by_owner(true);
    file.set_permissions(private).await?;
    file.write_all(BINARY).await?;
    if sftp.support_fsync() {
        file.sync_all().await?;
    }
    file.close().await?;
    let folder = sftp.fs().canonicalize(".").await?;
    sftp.close().await?;
    Ok(format!("{}/{name}", folder.display()))
}
