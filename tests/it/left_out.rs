//! Tests that cannot run everywhere: each says so, and where tests/run has installed what they need, each must run.

/// Whether a test has to be left out, for what it needs is not there. As root it fails instead: tests/run installs it then.
pub fn is_left_out(needs: &str, is_there: bool) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    assert!(is_there || !is_root, "there is no {needs}: run tests/run, which installs it");
    if !is_there {
        eprintln!("skipped: needs {needs}");
    }
    !is_there
}
