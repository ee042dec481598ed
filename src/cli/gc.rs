//! `stackc gc`: what guests keep of their past and no longer need is shown, then removed.

use super::{
    failures::Failures,
    fleet::{Fleet, JOBS, Targets, ask, can_ask, parallel, table},
    output::{self, Format},
    reach::{Sought, seek},
    workspace::Workspace,
};
use crate::{
    activate::{Failed, Found, Keeper, gc, who},
    model::protocol::Garbage,
};
use serde_json::{Value, json};
use std::process::ExitCode;

const WHAT_STAYS: &str = "\
Never removed: what the live generation needs, where a rollback from it goes, an
open transaction, pinned generations (`stackc pin`), and the last --keep ones
that were confirmed. Older generations stay in `stackc history`, and a rollback
to one sends again what it lacks. Data of apps, databases and what others put on
a guest are not touched.

--packages also removes packages that stackc has installed (it keeps a list, in
/var/lib/stackc/packages.json), that no kept generation declares, and that
nothing else on the guest depends on. Their services are stopped first. It is
`apt-get remove`, not `purge`: configuration files and data stay. All that the
list shows goes, or nothing; what was there before stackc never goes.

Without --yes it shows what would go and asks; where nobody can be asked it is
refused. --json without --yes prints the list alone, which is no refusal.";

/// Remove from guests what no kept generation needs: bundles, releases, secrets, old stackc-guest programs
#[derive(Debug, clap::Args)]
#[command(after_help = WHAT_STAYS)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct GcArgs {
    #[command(flatten)]
    targets: Targets,
    /// Every guest
    #[arg(long)]
    all: bool,
    /// How many confirmed generations stay besides those that must
    #[arg(long, value_name = "N", default_value_t = 5)]
    keep: u32,
    /// Packages that stackc has installed, and that nothing needs any more, too
    #[arg(long)]
    packages: bool,
    /// Do it without being asked
    #[arg(long)]
    yes: bool,
    /// One JSON document: { "guests": [{ target, removed, bytes, paths, packages }], "failures": […] }; asks nobody
    #[arg(long)]
    json: bool,
    /// Guests at once
    #[arg(long, default_value_t = JOBS)]
    jobs: usize,
}

/// A guest with what can go there.
struct Seen {
    keeper: Keeper,
    found: Found,
    garbage: Garbage,
}

pub fn run(args: &GcArgs, workspace: &Workspace) -> ExitCode {
    collect(args, workspace).unwrap_or_else(|code| code)
}

fn collect(args: &GcArgs, workspace: &Workspace) -> Result<ExitCode, ExitCode> {
    args.targets.require(args.all, "collect from")?;
    let fleet = Fleet::open(workspace, &workspace.site(Format::of(args.json))?)?;
    let sought = seek(&fleet, workspace, &args.targets.targets)?;
    let looked = parallel(sought, args.jobs, |sought| {
        look(&fleet, &sought, args).map_err(|failed| (sought.target, failed))
    });
    let mut report = Report::default();
    let seen = report.failures.sift(looked);
    if !args.json {
        output::print(&seen.iter().map(text).collect::<String>());
    }
    let (full, empty): (Vec<Seen>, Vec<Seen>) =
        seen.into_iter().partition(|seen| !is_empty(&seen.garbage));
    report.tell(&empty, false);
    if !full.is_empty() && approved(args, &full, &mut report) {
        fleet.change();
        remove(full, args, &mut report);
    } else {
        report.tell(&full, false);
    }
    Ok(fleet.ended(report.end(args.json)))
}

fn look(fleet: &Fleet, sought: &Sought, args: &GcArgs) -> Result<Seen, Failed> {
    let (target, keep, packages) = (sought.target.clone(), args.keep, args.packages);
    let keeper = Keeper { target, who: who(), keep, packages };
    let mut found = sought.look(fleet)?;
    let garbage = gc(&keeper, &mut found, None)?;
    Ok(Seen { keeper, found, garbage })
}

/// `--json` without `--yes` wants the list alone.
fn approved(args: &GcArgs, full: &[Seen], report: &mut Report) -> bool {
    if args.yes || args.json {
        return args.yes;
    }
    let bytes = full.iter().map(|seen| bytes(&seen.garbage)).sum();
    let yes = can_ask() && ask(&format!("Remove it, and free {}?", size(bytes)));
    if !yes {
        output::tell("error: not approved, so nothing was removed; --yes does it unasked\n");
        report.failures.code = report.failures.code.max(output::Exit::Refused.code());
    }
    yes
}

fn remove(full: Vec<Seen>, args: &GcArgs, report: &mut Report) {
    let done = parallel(full, args.jobs, |mut seen| {
        let removed = gc(&seen.keeper, &mut seen.found, Some(&seen.garbage));
        (seen, removed)
    });
    for (seen, removed) in done {
        if let Err(failed) = removed {
            report.failures.add(&seen.keeper.target, &failed);
            continue;
        }
        if !args.json {
            let freed = size(bytes(&seen.garbage));
            output::print(&format!("✓ {}  {freed} freed\n", seen.keeper.target));
        }
        report.tell(&[seen], true);
    }
}

/// What becomes of all guests.
#[derive(Default)]
struct Report {
    guests: Vec<Value>,
    failures: Failures,
}

impl Report {
    fn tell(&mut self, seen: &[Seen], removed: bool) {
        let guest = |seen: &Seen| {
            json!({
                "target": seen.keeper.target.to_string(),
                "removed": removed,
                "bytes": bytes(&seen.garbage),
                "paths": seen.garbage.paths,
                "packages": seen.garbage.packages,
            })
        };
        self.guests.extend(seen.iter().map(guest));
    }

    fn end(mut self, as_json: bool) -> u8 {
        if as_json {
            self.guests.sort_by_key(|guest| guest["target"].to_string());
            self.failures.print_json("guests", self.guests.into_iter());
        }
        self.failures.code
    }
}

fn is_empty(garbage: &Garbage) -> bool {
    *garbage == Garbage::default()
}

fn bytes(garbage: &Garbage) -> u64 {
    garbage.paths.values().chain(garbage.packages.values()).sum()
}

fn text(seen: &Seen) -> String {
    let garbage = &seen.garbage;
    if is_empty(garbage) {
        return format!("{}  nothing to remove\n", seen.keeper.target);
    }
    let paths = garbage.paths.iter().map(|(path, bytes)| (path.clone(), *bytes));
    let packages = garbage.packages.iter();
    let packages = packages.map(|(name, bytes)| (format!("package {name}"), *bytes));
    let all = paths.chain(packages);
    let rows = all.map(|(what, bytes)| [String::new(), size(bytes), what]);
    let rows = table(rows);
    format!("{}  {} can be freed\n{rows}", seen.keeper.target, size(bytes(garbage)))
}

/// As `du -h` has it, rounded up.
fn size(bytes: u64) -> String {
    let kib = bytes.div_ceil(1024);
    if kib < 10 * 1024 { format!("{kib} KiB") } else { format!("{} MiB", kib.div_ceil(1024)) }
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_rounded_up_so_that_nothing_is_promised_as_free() {
        let sizes = [0, 1, 4096, (10 << 20) - 1, 10 << 20, (11 << 20) + 1].map(size);
        assert_eq!(sizes, ["0 KiB", "1 KiB", "4 KiB", "10 MiB", "10 MiB", "12 MiB"]);
    }
}
