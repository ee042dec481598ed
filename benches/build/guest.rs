//! What one more of a thing costs in a guest that has many of them.

use crate::{remove, run, runs::median, stackc, tree::copy_site};
use std::{fmt::Write as _, fs, path::Path};

/// Twice as many in each step, from the first; eight times as many in the last.
const STEPS: [usize; 4] = [1, 2, 4, 8];
const RUNS: usize = 3;

/// Things of one sort: the fewest, the table that they are in, and what each is; `N` is its number.
struct Sort {
    what: &'static str,
    fewest: usize,
    table: &'static str,
    each: &'static str,
}

const SORTS: [Sort; 3] = [
    Sort {
        what: "files",
        fewest: 2000,
        table: "files",
        each: "f-N = { path = \"/srv/files/f-N\", text = \"N\" }",
    },
    Sort { what: "users", fewest: 1000, table: "users", each: "u-N = {}" },
    Sort {
        what: "units",
        fewest: 1000,
        table: "services",
        each: "s-N = { exec = [\"/usr/bin/true\"] }",
    },
];

/// Prints a cold build by the number of things, and what one costs in the last step beside the first: 1 is linear.
pub fn grow(parent: &Path) {
    println!("\nbuild, cold, of one guest with so many");
    for sort in &SORTS {
        let mut of_one = Vec::new();
        print!("{:<8}", sort.what);
        for step in STEPS {
            let count = sort.fewest * step;
            let seconds = sort.seconds(parent, count);
            of_one.push(seconds / f64::from(u32::try_from(step).expect("it is small")));
            print!("{:>22}", format!("{count}: {:.0} ms", seconds * 1000.0));
        }
        let ratio = of_one[STEPS.len() - 1] / of_one[0];
        println!("    one of the last × one of the first: {ratio:.2}");
    }
}

impl Sort {
    fn seconds(&self, parent: &Path, count: usize) -> f64 {
        let folder = tempfile::tempdir_in(parent).expect("a temporary folder");
        let workspace = folder.path();
        copy_site(workspace);
        fs::write(workspace.join("stacks/many.toml"), self.definition(count)).expect("writable");
        let out = workspace.join("out");
        let build = || run(&mut stackc("build", workspace));
        median(RUNS, || remove(&out), build).median.as_secs_f64()
    }

    fn definition(&self, count: usize) -> String {
        let mut text = format!(
            "[project]\nkind = \"base\"\n[envs.dev]\nname = \"many-dev\"\nvmid = 101\n\
             ip = \"10.0.10.101/24\"\n[project.{}]\n",
            self.table
        );
        for number in 0..count {
            writeln!(text, "{}", self.each.replace('N', &number.to_string())).expect("memory");
        }
        text
    }
}
