//! How the operator reaches a site: what no bundle holds.

use super::{Digest, Owner, SecretName};
use ipnet::IpNet;

/// The Proxmox cluster and the way to its guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Base URL of the API: `https://HOST:8006`.
    pub url: String,
    /// Names the API token, `USER@REALM!TOKENID=UUID`.
    pub token: SecretName,
    pub trust: Trust,
    pub access: GuestAccess,
}

/// What proves that the API is the right one. There is no way to go without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// PEM text of the cluster's CA (`/etc/pve/pve-root-ca.pem`).
    Ca(String),
    /// SHA-256 of the server's certificate.
    Fingerprint(Digest),
}

/// How operators log in to guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestAccess {
    /// `root`, or another user with sudo.
    pub user: Owner,
    /// A private key's file, relative to the workspace; without one, ssh's own choice (agent, defaults).
    pub identity: Option<String>,
    /// The networks that operators come from.
    pub management: Vec<IpNet>,
}
