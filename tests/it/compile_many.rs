//! Guests with thousands of entries of a sort: what one costs does not grow with how many there are.

use crate::compile::{compiled, with_project};
use std::time::{Duration, Instant};

/// How many entries the small and the big guest have.
const FEW: usize = 500;
const TIMES: usize = 8;
/// How many times more than the entries the time may grow.
const SLACK: u32 = 3;

/// A table, and what its entry of a number says.
type Table = (&'static str, fn(usize) -> String);

fn took(tables: &[Table], count: usize) -> Duration {
    let entry = |n: usize| {
        let tables =
            tables.iter().map(move |(table, says)| format!("[project.{table}.n{n}]\n{}", says(n)));
        tables.collect::<String>()
    };
    let entries: String = (0..count).map(entry).collect();
    let project = format!("[project]\nkind = \"base\"\n{entries}{ENV}");
    let sources = with_project(project.as_bytes());
    let started = Instant::now();
    compiled(&sources);
    started.elapsed()
}

const ENV: &str = "[envs.dev]\nname = \"x\"\nvmid = 101\nip = \"10.0.10.101/24\"\n";

/// Times of one machine are compared, and each is tried again before it counts.
fn assert_linear(tables: &[Table]) {
    let most = SLACK * u32::try_from(TIMES).expect("it is small");
    let is_linear = || took(tables, FEW * TIMES) < took(tables, FEW) * most;
    assert!((0..4).any(|_| is_linear()), "{}", tables[0].0);
}

#[test]
fn thousands_of_users_cost_as_much_each_as_a_few() {
    assert_linear(&[("users", |_| String::new())]);
}

#[test]
fn thousands_of_drop_ins_cost_as_much_each_as_a_few() {
    let text = |_: usize| "unit = \"cron.service\"\ntext = \"[Service]\\nNice=1\\n\"\n".to_owned();
    assert_linear(&[("drop_ins", text)]);
}
