use crate::model::Vmid;
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use std::io;

/// What keeps a lab from being made, used or removed.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("a lab is containers, mounts and a bridge, which are root's: run this as root")]
    NotRoot,
    #[error(
        "the lab needs programs that are not here ({}); as root:\n  \
         apt-get update && apt-get install --no-install-recommends {}",
        programs.join(", "),
        packages.join(" ")
    )]
    Missing { programs: Vec<&'static str>, packages: Vec<&'static str> },
    #[error(
        "this machine's apt has no source of Debian {suite} to build guests from; name one with `--mirror URL`"
    )]
    NoMirror { suite: &'static str },
    #[error("cannot {doing} `{path}`")]
    File {
        doing: &'static str,
        path: Utf8PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("cannot {doing}: `{command}` {outcome}")]
    Program { doing: String, command: String, outcome: String },
    #[error("cannot {doing}: `{program}` cannot be run")]
    Unrunnable {
        doing: String,
        program: String,
        #[source]
        cause: io::Error,
    },
    #[error("there is no lab `{name}` (no `{path}`); make one with `stackc lab up{options}`")]
    NoLab { name: String, options: String, path: Utf8PathBuf },
    #[error("`{path}` is not a lab's description; `stackc lab down{options}` removes it")]
    NotALab {
        options: String,
        path: Utf8PathBuf,
        #[source]
        cause: serde_json::Error,
    },
    #[error(
        "`{path}` is the state of the lab `{is}`, not of `{wanted}`; name that lab, as in `stackc lab status{options}`, or \
         another folder with `--state`"
    )]
    OtherLab { path: Utf8PathBuf, is: String, wanted: String, options: String },
    #[error("the lab `{name}` has no guest `{guest}`; it has {}", listed(known))]
    NoGuest { name: String, guest: String, known: Vec<String> },
    #[error(
        "the lab's subnet {wanted} is in use here: {taken} ({by}); choose another with `--subnet`"
    )]
    SubnetTaken { wanted: Ipv4Net, taken: Ipv4Net, by: String },
    #[error(
        "the lab's subnet {wanted} is not a /24, which a lab needs; choose for example 10.213.7.0/24"
    )]
    SubnetSize { wanted: Ipv4Net },
    #[error("every /24 of {range} is in use here; choose one with `--subnet`")]
    NoSubnet { range: Ipv4Net },
    #[error(
        "the lab `{name}` exists with {what} {is}, not {wanted}; `stackc lab down{options}` first"
    )]
    Different { name: String, options: String, what: &'static str, is: String, wanted: String },
    #[error(
        "the base `{path}` of the lab `{name}` is gone; `stackc lab down{options}`, then up again"
    )]
    BaseGone { name: String, options: String, path: Utf8PathBuf },
    #[error(
        "there is a network device `{bridge}` that this lab did not make; choose another `--name`, or, if nothing needs it, \
         `ip link delete {bridge}`"
    )]
    ForeignBridge { bridge: String },
    #[error("cannot listen on 127.0.0.1:{port} for the lab's API")]
    Listen {
        port: u16,
        #[source]
        cause: io::Error,
    },
    #[error("cannot make the lab's certificates")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(
        "the lab's daemon did not come up within {seconds} s; the end of its log `{log}`:\n{tail}"
    )]
    DaemonSilent { seconds: u64, log: Utf8PathBuf, tail: String },
    #[error("another daemon serves the lab in `{path}` already")]
    DaemonRuns { path: Utf8PathBuf },
    #[error("{what} cannot be ended")]
    Unkillable { what: String },
    #[error(
        "`{path}` cannot hold a lab: use an absolute path of letters, digits, `-`, `_` and `.`"
    )]
    UnusablePath { path: Utf8PathBuf },
    #[error("guests stand on a base in `{path}`; take their labs down first")]
    BaseInUse { path: Utf8PathBuf },
    #[error("`{path}` is not empty and no lab's; name another folder for the lab's state")]
    ForeignFolder { path: Utf8PathBuf },
    #[error("the lab `{name}` has no guest {vmid}")]
    NoVmid { name: String, vmid: Vmid },
    #[error("`{guest}` did not let `ssh` in within {seconds} s")]
    NoSsh { guest: String, seconds: u64 },
}

impl LabError {
    /// Whether this was found before anything was made or removed.
    pub fn changed_nothing(&self) -> bool {
        !matches!(
            self,
            Self::File { .. }
                | Self::Program { .. }
                | Self::DaemonSilent { .. }
                | Self::Unkillable { .. }
                | Self::NoSsh { .. }
        )
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
}

/// Says what was tried on which file, when it did not work.
pub(super) trait AtPath<T> {
    fn at(self, doing: &'static str, path: impl Into<Utf8PathBuf>) -> Result<T, LabError>;
}

impl<T> AtPath<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: impl Into<Utf8PathBuf>) -> Result<T, LabError> {
        self.map_err(|cause| LabError::File { doing, path: path.into(), cause })
    }
}

impl<T> AtPath<T> for rustix::io::Result<T> {
    fn at(self, doing: &'static str, path: impl Into<Utf8PathBuf>) -> Result<T, LabError> {
        self.map_err(|errno| LabError::File { doing, path: path.into(), cause: errno.into() })
    }
}

/// Removes what may be gone already.
pub(super) fn remove_if_there(
    path: &Utf8Path,
    remove: impl FnOnce(&Utf8Path) -> std::io::Result<()>,
) -> Result<(), LabError> {
    match remove(path) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.at("remove", path),
    }
}
