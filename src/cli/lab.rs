//! `stackc lab`: real guests on this machine behind a Proxmox-compatible API.

use super::{
    demo::{self, DemoArgs},
    lab_workspace::{self, WorkspaceArgs},
    output,
};
use crate::lab::{self, Debian, GuestState, Lab, LabError, LabName, LabState, Place, Up};
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

/// Stopped on the way: the same verb again goes on.
const STOPPED: u8 = 4;

/// Real guests on this machine behind a Proxmox-compatible API.
#[derive(Debug, clap::Args)]
pub struct LabArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The lab's name; several can run side by side [default: that of the lab in --state, or lab; of the demo: demo]
    #[arg(long, global = true, env = "STACKC_LAB_NAME", value_parser = |t: &str| t.parse::<LabName>())]
    name: Option<LabName>,
    /// The folder of the lab's state [default: /var/lib/stackc-lab/NAME]
    #[arg(long, global = true, value_name = "DIR", env = "STACKC_LAB_STATE")]
    state: Option<Utf8PathBuf>,
    /// The folder of the bases that guests are built from
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "STACKC_LAB_CACHE",
        default_value = "/var/cache/stackc/lab"
    )]
    cache: Utf8PathBuf,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make the lab, or bring it up again
    Up(UpArgs),
    /// Remove the lab: guests, API, bridge, files
    Down {
        /// Remove the cached base too
        #[arg(long)]
        purge_base: bool,
    },
    /// Show the lab and its guests
    Status {
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Log in to a guest as root, or run a command there
    Ssh {
        /// The guest's name or number
        guest: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Cut a guest's power: every process of it ends at once
    PowerCut {
        /// The guest's name or number
        guest: String,
        /// Give it power again afterwards
        #[arg(long)]
        restart: bool,
    },
    /// Make a workspace of the worked examples for this lab
    Workspace(WorkspaceArgs),
    /// See the whole path on real guests: create, change, break, go back
    Demo(DemoArgs),
    /// Serve the API; `up` starts this
    #[command(hide = true)]
    Serve,
}

#[derive(Debug, clap::Args)]
struct UpArgs {
    /// A free /24 for the guests [default: a free one of 10.213.0.0/16]
    #[arg(long, value_name = "CIDR")]
    subnet: Option<Ipv4Net>,
    /// The API's port on 127.0.0.1 [default: a free one]
    #[arg(long)]
    port: Option<u16>,
    /// What guests are made of: Debian 12, 13, or both (12,13), where a definition's `template` says which [default: 12]
    #[arg(long, value_name = "RELEASE", value_delimiter = ',', value_parser = |t: &str| t.parse::<Debian>())]
    debian: Vec<Debian>,
    /// Where Debian comes from, above `/debian` and `/debian-security` [default: this machine's own mirror]
    #[arg(long, value_name = "URL", env = "STACKC_LAB_MIRROR")]
    mirror: Option<String>,
}

/// Runs one verb. Exit codes: 0 done, 2 usage, 3 refused before anything changed, 4 stopped on the way.
pub fn run(args: LabArgs) -> ExitCode {
    let LabArgs { verb, name, state, cache } = args;
    let place = if let Verb::Demo(_) = verb {
        demo::place(name, state, cache)
    } else {
        place(name, state, cache)
    };
    let done = match verb {
        Verb::Up(up) => bring_up(&place, &up),
        Verb::Down { purge_base } => take_down(&place, purge_base),
        Verb::Status { json } => return output::printed(exit_code(show(&place, json))),
        Verb::Ssh { guest, command } => log_in(&place, &guest, &command),
        Verb::PowerCut { guest, restart } => cut_power(&place, &guest, restart),
        Verb::Workspace(workspace) => return lab_workspace::run(&place, &workspace),
        Verb::Demo(demo) => return demo::run(&demo, &place),
        Verb::Serve => lab::serve(&place).map(|never| match never {}),
    };
    exit_code(done)
}

/// Without a name, the lab in a folder that was named is meant.
fn place(name: Option<LabName>, state: Option<Utf8PathBuf>, cache: Utf8PathBuf) -> Place {
    let name = name.or_else(|| state.as_deref().and_then(lab::name_in));
    let usual = Place::usual(name.unwrap_or_default());
    Place { state: state.unwrap_or_else(|| usual.state.clone()), cache, ..usual }
}

fn bring_up(place: &Place, up: &UpArgs) -> Result<(), LabError> {
    let program =
        std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let program = program.unwrap_or_else(|| "/proc/self/exe".into());
    let wanted = Up {
        place,
        subnet: up.subnet,
        port: up.port,
        debians: &up.debian,
        disk_mib: None,
        mirror: up.mirror.as_deref(),
        program: Utf8Path::new(&program),
    };
    let lab = lab::up(&wanted, &mut |line| output::tell(&format!("{line}\n")))?;
    output::print(&format!("lab `{}` is up\n{}", lab.name, access(&lab)));
    Ok(())
}

fn access(lab: &Lab) -> String {
    format!(
        "  API       {}\n            node {}, storage {}, bridge {}\n  CA        {}\n  token     in {}/lab.json\n  \
         template  {}\n  network   {}; you and the gateway are {} ({})\n",
        lab.url,
        lab.node,
        lab.storage,
        lab.bridge,
        lab.ca_file,
        lab.state,
        templates(lab),
        lab.subnet,
        lab.gateway,
        lab.host_bridge
    )
}

/// The volume ids of its templates, the one that definitions name first.
fn templates(lab: &Lab) -> String {
    let others = lab.bases.keys().filter(|volume| **volume != lab.template);
    let all: Vec<&str> = [&lab.template].into_iter().chain(others).map(String::as_str).collect();
    all.join("\n            ")
}

fn take_down(place: &Place, purge_base: bool) -> Result<(), LabError> {
    let name = &place.name;
    let text = if lab::down(place)? {
        format!("lab `{name}` is gone\n")
    } else {
        format!("there is no lab `{name}` in {}: nothing to remove\n", place.state)
    };
    output::print(&text);
    if purge_base {
        lab::remove_base(place)?;
        output::print(&format!("the base is gone too: {}\n", place.cache));
    }
    Ok(())
}

fn show(place: &Place, json: bool) -> Result<(), LabError> {
    let state = lab::state(place)?;
    if json {
        output::print_json(&as_json(&state));
        return Ok(());
    }
    let (name, options) = (&state.lab.name, place.options());
    let head = match state.daemon {
        Some(pid) => format!("lab `{name}` is up, served by process {pid}\n"),
        None => format!("lab `{name}` has no API: `stackc lab up{options}` brings it back\n"),
    };
    let guests: String = state.guests.iter().map(guest_line).collect();
    let guests = if guests.is_empty() { "  no guests\n".to_owned() } else { guests };
    output::print(&format!("{head}{}{guests}", access(&state.lab)));
    Ok(())
}

fn guest_line(guest: &GuestState) -> String {
    let power = if guest.running { "running" } else { "stopped" };
    format!("  {:<9} {:<20} {:<18} {power}\n", guest.vmid.to_string(), guest.name, guest.address)
}

fn as_json(state: &LabState) -> serde_json::Value {
    let guests = state.guests.iter().map(|guest| {
        serde_json::json!({
            "vmid": guest.vmid, "name": guest.name, "address": guest.address, "running": guest.running,
        })
    });
    serde_json::json!({
        "name": state.lab.name, "url": state.lab.url, "ca_file": state.lab.ca_file, "subnet": state.lab.subnet,
        "gateway": state.lab.gateway, "daemon": state.daemon, "guests": guests.collect::<Vec<_>>(),
    })
}

/// Becomes ssh, so that its exit code and its terminal are the caller's.
fn log_in(place: &Place, guest: &str, command: &[String]) -> Result<(), LabError> {
    let arguments = lab::ssh_arguments(place, guest)?;
    let cause = Command::new("ssh").args(arguments).args(command).exec();
    Err(LabError::Unrunnable {
        doing: format!("log in to `{guest}`"),
        program: "ssh".to_owned(),
        cause,
    })
}

fn cut_power(place: &Place, guest: &str, restart: bool) -> Result<(), LabError> {
    let (lab, guest) = lab::find(place, guest)?;
    lab::power_cut(&lab, guest.vmid)?;
    output::print(&format!("{} ({}) lost its power\n", guest.name, guest.vmid));
    if restart {
        lab::start_again(&lab, guest.vmid)?;
        output::print(&format!("{} ({}) boots\n", guest.name, guest.vmid));
    }
    Ok(())
}

fn exit_code(done: Result<(), LabError>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.changed_nothing() => output::fail(&error, output::Exit::Refused.code()),
        Err(error) => output::fail(&error, STOPPED),
    }
}
