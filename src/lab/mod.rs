//! A Proxmox-compatible API on this machine with real guests behind it.
