//! `stackc lab`: real guests on this machine behind a Proxmox-compatible API.

use super::{
    demo::{self, DemoArgs},
    lab_workspace::{self, WorkspaceArgs},
};
use crate::lab::{self, Lab, LabError, LabName, LabState, Place, Up};
use camino::{Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

/// Real guests on this machine behind a Proxmox-compatible API.
#[derive(Debug, clap::Args)]
pub struct LabArgs {
    #[command(subcommand)]
    verb: Verb,
    /// The lab's name; several can run side by side
    #[arg(long, global = true, default_value = "lab", value_parser = |t: &str| t.parse::<LabName>())]
    name: LabName,
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
    /// Where Debian comes from, above `/debian` and `/debian-security` [default: this machine's own mirror]
    #[arg(long, value_name = "URL", env = "STACKC_LAB_MIRROR")]
    mirror: Option<String>,
}

/// Runs one verb. Exit codes: 0 done, 2 usage, 3 refused before anything changed, 4 stopped on the way.
pub fn run(args: LabArgs) -> ExitCode {
    let mut place = Place::usual(args.name);
    place.cache = args.cache;
    if let Some(state) = args.state {
        place.state = state;
    }
    let done = match args.verb {
        Verb::Up(up) => bring_up(&place, &up),
        Verb::Down { purge_base } => take_down(&place, purge_base),
        Verb::Status { json } => show(&place, json),
        Verb::Ssh { guest, command } => log_in(&place, &guest, &command),
        Verb::PowerCut { guest, restart } => cut_power(&place, &guest, restart),
        Verb::Workspace(workspace) => return lab_workspace::run(&place, &workspace),
        Verb::Demo(demo) => return demo::run(&demo),
        Verb::Serve => lab::serve(&place).map(|never| match never {}),
    };
    done.map_or_else(|error| fail(&error), |()| ExitCode::SUCCESS)
}

fn bring_up(place: &Place, up: &UpArgs) -> Result<(), LabError> {
    let program =
        std::env::current_exe().ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    let program = program.unwrap_or_else(|| "/proc/self/exe".into());
    let wanted = Up {
        place,
        subnet: up.subnet,
        port: up.port,
        mirror: up.mirror.as_deref(),
        program: Utf8Path::new(&program),
    };
    let lab = lab::up(&wanted, &mut |line| anstream::println!("{line}"))?;
    anstream::println!("lab `{}` is up", lab.name);
    show_access(&lab);
    Ok(())
}

fn show_access(lab: &Lab) {
    anstream::println!(
        "  API       {}   node {}, storage {}, bridge {}",
        lab.url,
        lab.node,
        lab.storage,
        lab.bridge
    );
    anstream::println!("  CA        {}", lab.ca_file);
    anstream::println!("  token     in {}/lab.json", lab.state);
    anstream::println!("  template  {}", lab.template);
    anstream::println!(
        "  network   {}   you and the gateway are {} ({})",
        lab.subnet,
        lab.gateway,
        lab.host_bridge
    );
}

fn take_down(place: &Place, purge_base: bool) -> Result<(), LabError> {
    lab::down(place)?;
    anstream::println!("lab `{}` is gone", place.name);
    if purge_base {
        lab::remove_base(place)?;
        anstream::println!("the base is gone too: {}", place.cache);
    }
    Ok(())
}

fn show(place: &Place, json: bool) -> Result<(), LabError> {
    let state = lab::state(place)?;
    if json {
        anstream::println!("{}", as_json(&state));
        return Ok(());
    }
    match state.daemon {
        Some(pid) => anstream::println!("lab `{}` is up, served by process {pid}", state.lab.name),
        None => anstream::println!(
            "lab `{0}` has no API: `stackc lab up --name {0}` brings it back",
            state.lab.name
        ),
    }
    show_access(&state.lab);
    if state.guests.is_empty() {
        anstream::println!("  no guests");
    }
    for guest in &state.guests {
        let power = if guest.running { "running" } else { "stopped" };
        anstream::println!(
            "  {:<9} {:<20} {:<18} {power}",
            guest.vmid.to_string(),
            guest.name,
            guest.address
        );
    }
    Ok(())
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
    anstream::println!("{} ({}) lost its power", guest.name, guest.vmid);
    if restart {
        lab::start_again(&lab, guest.vmid)?;
        anstream::println!("{} ({}) boots", guest.name, guest.vmid);
    }
    Ok(())
}

fn fail(error: &LabError) -> ExitCode {
    anstream::eprintln!("× {error}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        anstream::eprintln!("  because {error}");
        cause = error.source();
    }
    ExitCode::from(if error.changed_nothing() { 3 } else { 4 })
}
