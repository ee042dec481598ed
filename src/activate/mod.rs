//! Runs a plan over `proxmox` and `remote`, and records the generation.
