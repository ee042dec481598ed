//! The guest's binary: one verb per call, a request on stdin, a reply on stdout.
#![expect(clippy::disallowed_methods, reason = "a binary reads its arguments")]

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    stackc::guest::run(&arguments)
}
