//! The Proxmox REST client.
