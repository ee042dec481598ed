//! The guest's binary: one verb per call, a request on stdin, a reply on stdout.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(2)
}
