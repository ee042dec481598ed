//! What every `--help` page ends with: examples, and the exit codes that the verb can have.

use crate::activate::Exit::{
    self, BeforeSwitch, Changes, Done, Interrupted, Mistake, NotWhole, Refused, Undone, Usage,
};
use clap::{Arg, Command};
use std::{fmt::Write as _, path::PathBuf};

/// Where a code says something else: the beginning of a page's verb, the code, its meaning. The first that fits counts.
const EXCEPTIONS: [(&str, Exit, &str); 6] = [
    (
        "pin",
        BeforeSwitch,
        "the guest did not say how it ended; the same command again does no harm",
    ),
    (
        "unpin",
        BeforeSwitch,
        "the guest did not say how it ended; the same command again does no harm",
    ),
    ("gc", BeforeSwitch, "ended on the way; what runs is untouched, and the same command goes on"),
    ("lab demo", BeforeSwitch, "stopped; its lab has been taken down"),
    ("lab demo", NotWhole, "something was not as it should be; its lab has been taken down"),
    ("lab", BeforeSwitch, "stopped on the way; the same command again goes on"),
];

/// Verbs that have no workspace, so that `-C` means nothing to them.
const WITHOUT_WORKSPACE: [&str; 4] = ["lab", "schema", "completions", "man"];

/// The end of one page.
struct Page {
    /// `activate`, or `lab up`; empty for the first page.
    verb: &'static str,
    /// Commands, each with what it is for.
    examples: &'static [(&'static str, &'static str)],
    codes: &'static [Exit],
}

const READS: &[Exit] = &[Done, Mistake, Usage, Refused];
const COMPARES: &[Exit] = &[Done, Mistake, Usage, Refused, Changes];
const CHANGES: &[Exit] =
    &[Done, Mistake, Usage, Refused, BeforeSwitch, Undone, NotWhole, Interrupted];
const COLLECTS: &[Exit] = &[Done, Mistake, Usage, Refused, BeforeSwitch, Interrupted];
const LAB: &[Exit] = &[Done, Usage, Refused, BeforeSwitch];

const PAGES: &[Page] = &[
    Page {
        verb: "",
        examples: &[
            ("stackc lab demo --yes", "see it all on this machine first"),
            ("stackc build", "compile every guest"),
            ("stackc plan shop/dev", "what activate would do"),
            ("stackc activate shop/dev", "do it, after a yes"),
            ("stackc rollback shop/dev", "the generation before"),
        ],
        codes: &[
            Done,
            Mistake,
            Usage,
            Refused,
            BeforeSwitch,
            Undone,
            NotWhole,
            Changes,
            Interrupted,
        ],
    },
    Page {
        verb: "build",
        examples: &[
            ("stackc build", "every guest"),
            ("stackc build shop", "every env of one project"),
            ("stackc build '*/dev' reports/qa", "a pattern, and one more guest"),
            ("stackc build --review page.html", "a page to look at what changes"),
        ],
        codes: READS,
    },
    Page {
        verb: "check",
        examples: &[
            ("stackc check", "every mistake, with file, line and column"),
            ("stackc check --tools", "ask systemd-analyze, visudo, sshd and others as well"),
            ("stackc -C ../site check", "another workspace"),
        ],
        codes: READS,
    },
    Page {
        verb: "show",
        examples: &[
            ("stackc show shop/dev", "what is in the bundle"),
            ("stackc show shop/dev --file .service", "its units"),
            ("stackc show 88d4097e", "a bundle of out/store"),
        ],
        codes: READS,
    },
    Page {
        verb: "diff",
        examples: &[
            ("stackc diff shop/dev", "since the last build"),
            ("stackc diff --from shop/qa --to shop/prod", "what sets two envs apart"),
            ("stackc diff --from 88d4097e --to shop/dev", "since a build before"),
            ("stackc diff --exit-code", "for scripts: 10 when it changes"),
        ],
        codes: COMPARES,
    },
    Page {
        verb: "explain",
        examples: &[("stackc explain shop/dev env_vars.APP_ENV", "which file and line won")],
        codes: READS,
    },
    Page {
        verb: "schema",
        examples: &[
            ("stackc schema project", "for files such as stacks/shop.toml"),
            ("stackc schema site", "for stacks/site.toml"),
        ],
        codes: &[Done, Usage, Refused],
    },
    Page {
        verb: "lock",
        examples: &[
            ("stackc lock", "every branch"),
            ("stackc lock shop/dev", "the branch of one guest"),
        ],
        codes: READS,
    },
    Page {
        verb: "plan",
        examples: &[
            ("stackc plan", "every guest"),
            ("stackc plan shop/dev --exit-code", "for scripts: 10 when something is to do"),
        ],
        codes: COMPARES,
    },
    Page {
        verb: "activate",
        examples: &[
            ("stackc activate shop/dev", "shows the plan and asks"),
            ("stackc activate '*/dev' --yes", "every dev env, unasked"),
            ("stackc activate --all --yes", "every guest, unasked"),
            ("stackc activate --plan FILE", "what `plan --out FILE` saved, or nothing"),
        ],
        codes: CHANGES,
    },
    Page {
        verb: "rollback",
        examples: &[
            ("stackc rollback shop/dev", "the generation before"),
            ("stackc rollback shop/dev --to 3", "one of `stackc history shop/dev`"),
            ("stackc rollback shop/dev --to 0", "the guest as it was found"),
        ],
        codes: CHANGES,
    },
    Page {
        verb: "detach",
        examples: &[
            ("stackc detach shop/dev", "shows what goes and what stays, and asks"),
            ("stackc detach shop/dev --yes", "the same, unasked"),
        ],
        codes: CHANGES,
    },
    Page {
        verb: "status",
        examples: &[
            ("stackc status", "every guest, one line each"),
            ("stackc status shop --json", "one project, for scripts"),
        ],
        codes: READS,
    },
    Page {
        verb: "history",
        examples: &[("stackc history shop/dev", "its generations, the live one with a star")],
        codes: READS,
    },
    Page {
        verb: "drift",
        examples: &[
            ("stackc drift shop/dev", "what somebody changed there by hand"),
            ("stackc drift --exit-code", "for scripts: 10 when something was"),
        ],
        codes: COMPARES,
    },
    Page {
        verb: "gc",
        examples: &[
            ("stackc gc shop/dev", "shows what would go, and asks"),
            ("stackc gc --all --keep 2 --yes", "every guest, unasked"),
            ("stackc gc shop/dev --packages", "and what stackc installed and nothing needs"),
            ("stackc gc shop --json", "only the list, for scripts"),
        ],
        codes: COLLECTS,
    },
    Page {
        verb: "pin",
        examples: &[("stackc pin shop/prod 12", "generation 12 stays whatever comes after it")],
        codes: COLLECTS,
    },
    Page {
        verb: "unpin",
        examples: &[("stackc unpin shop/prod 12", "`stackc gc` may collect it again")],
        codes: COLLECTS,
    },
    Page {
        verb: "lab",
        examples: &[
            ("stackc lab demo --yes", "the whole path, then nothing is left"),
            ("stackc lab up", "a lab of your own"),
            ("stackc lab workspace my-stacks", "definitions for it, to play with"),
            ("stackc lab down", "remove it"),
        ],
        codes: LAB,
    },
    Page {
        verb: "lab up",
        examples: &[
            ("stackc lab up", "after a reboot: back again"),
            ("stackc lab up --name b --subnet 10.213.7.0/24", "a second lab"),
            ("stackc lab up --name c --debian 12,13", "guests of either, as defined"),
        ],
        codes: LAB,
    },
    Page {
        verb: "lab down",
        examples: &[
            ("stackc lab down", "the base stays, for the next"),
            ("stackc lab down --purge-base", "nothing stays"),
        ],
        codes: LAB,
    },
    Page {
        verb: "lab status",
        examples: &[("stackc lab status", "works without its API too")],
        codes: LAB,
    },
    Page {
        verb: "lab ssh",
        examples: &[
            ("stackc lab ssh shop-dev", "a shell there"),
            ("stackc lab ssh 101 journalctl -b", "one command; its exit code is passed on"),
        ],
        codes: LAB,
    },
    Page {
        verb: "lab power-cut",
        examples: &[("stackc lab power-cut shop-dev --restart", "then see `stackc status`")],
        codes: LAB,
    },
    Page {
        verb: "lab workspace",
        examples: &[
            ("stackc lab workspace my-stacks", "a folder with all that it takes"),
            ("stackc -C my-stacks activate shop/dev", "make a guest of it"),
        ],
        codes: &[Done, Usage, Refused],
    },
    Page {
        verb: "lab demo",
        examples: &[
            ("stackc lab demo --yes", "about three minutes; Ctrl-C removes its lab"),
            ("stackc lab demo --yes --keep", "look around in its lab afterwards"),
        ],
        codes: &[Done, Usage, Refused, BeforeSwitch, NotWhole],
    },
    Page {
        verb: "completions",
        examples: &[("stackc completions bash", "into /etc/bash_completion.d/stackc, or eval it")],
        codes: &[Done, Usage, Refused],
    },
    Page {
        verb: "man",
        examples: &[
            ("stackc man activate | man -l -", "read one verb's page"),
            ("stackc man lab up", "a verb of the lab, as troff"),
        ],
        codes: &[Done, Usage, Refused],
    },
];

/// Gives every page its end, and hides `-C` where there is no workspace.
pub fn complete(command: Command) -> Command {
    let command = PAGES.iter().fold(command, |command, page| {
        let verb: Vec<&str> = page.verb.split_whitespace().collect();
        end_page(command, &verb, end(page))
    });
    WITHOUT_WORKSPACE
        .into_iter()
        .fold(command, |command, verb| command.mut_subcommand(verb, hide_workspace))
}

/// What a verb itself has to say comes before its examples.
fn end_page(command: Command, verb: &[&str], end: String) -> Command {
    match verb {
        [] => {
            let own = command.get_after_help().map(|own| format!("{own}\n\n")).unwrap_or_default();
            command.after_help(own + &end)
        }
        [first, rest @ ..] => command.mut_subcommand(*first, |verb| end_page(verb, rest, end)),
    }
}

/// An argument of the same name keeps clap from handing the global one down.
fn hide_workspace(verb: Command) -> Command {
    let path = Arg::new("path").short('C').long("workspace").global(true).hide(true);
    verb.arg(path.value_parser(clap::value_parser!(PathBuf)))
}

fn end(page: &Page) -> String {
    let width = page.examples.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let mut text = "Examples:\n".to_owned();
    for (command, purpose) in page.examples {
        writeln!(text, "  {command:<width$}  {purpose}").expect("text takes it");
    }
    text.push_str("\nExit codes:\n");
    for exit in page.codes {
        let (code, meaning) = (exit.code(), meaning(page, *exit));
        writeln!(text, "  {code:>3}  {meaning}").expect("text takes it");
    }
    text.trim_end().to_owned()
}

fn meaning(page: &Page, exit: Exit) -> &'static str {
    let mut special = EXCEPTIONS.into_iter();
    let special = special.find(|(verb, of, _)| page.verb.starts_with(verb) && *of == exit);
    special.map_or(exit.meaning(), |(.., text)| text)
}

/// Every example, by the verb that it is for.
pub fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.iter().flat_map(|page| page.examples.iter().map(|(command, _)| (page.verb, *command)))
}
