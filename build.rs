//! Builds `stackc-guest`, static, and hands its path to the operator's binary, which carries it.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script reads its environment and runs cargo"
)]

use std::{env, path::Path, path::PathBuf, process::Command};

/// The one target of the guest's binary: Debian 12 and 13 on x86-64.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Set for the guest's own build.
const GUEST_BUILD: &str = "STACKC_GUEST_BUILD";

fn main() {
    for path in
        ["build.rs", "Cargo.toml", "Cargo.lock", "src/bin", "src/guest", "src/model", "src/lib.rs"]
    {
        println!("cargo::rerun-if-changed={path}");
    }
    // The guest's own build comes through here too: nothing to embed there. It inherits this script's environment,
    // the feature's variable included, so it needs a mark of its own.
    if env::var_os("CARGO_FEATURE_OPERATOR").is_some() && env::var_os(GUEST_BUILD).is_none() {
        println!("cargo::rustc-env=STACKC_GUEST_BINARY={}", build_guest().display());
    }
}

fn build_guest() -> PathBuf {
    let sources = variable("CARGO_MANIFEST_DIR");
    let target_dir = target_dir(Path::new(&variable("OUT_DIR"))).join("guest");
    // Paths of this machine would make two builds of one source differ.
    let flags = [
        "-Ctarget-feature=+crt-static".to_owned(),
        // Addresses that only move with the program in a few kilobytes: glibc 2.36, binutils 2.38.
        "-Clink-arg=-Wl,-z,pack-relative-relocs".to_owned(),
        "-Clink-arg=-Wl,--no-eh-frame-hdr".to_owned(),
        format!("-Clink-arg=-Wl,-T,{sources}/src/bin/stackc-guest.ld"),
        format!("--remap-path-prefix={sources}=/stackc"),
        format!("--remap-path-prefix={}=/cargo", variable("CARGO_HOME")),
    ];
    let status = Command::new(variable("CARGO"))
        .args(["build", "--quiet", "--locked", "--bin", "stackc-guest", "--no-default-features"])
        .args(["--profile", "guest", "--target", TARGET, "--target-dir"])
        .arg(&target_dir)
        .current_dir(&sources)
        .env(GUEST_BUILD, "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        // Wrappers of `cargo clippy` are for the code in front, not for what it embeds.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER")
        .status()
        .expect("cargo, which runs this script, can be run by it");
    assert!(status.success(), "stackc-guest does not build; see the messages above");
    target_dir.join(TARGET).join("guest").join("stackc-guest")
}

/// The folder that cargo marks as its target folder.
fn target_dir(out_dir: &Path) -> PathBuf {
    let marked = out_dir.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    marked.unwrap_or(out_dir).to_owned()
}

fn variable(name: &str) -> String {
    match name {
        "CARGO_HOME" => env::var(name).unwrap_or_else(|_| {
            format!("{}/.cargo", env::var("HOME").expect("cargo needs HOME or CARGO_HOME"))
        }),
        _ => env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts")),
    }
}
