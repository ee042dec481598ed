//! The real Proxmox.

use super::{Neighbour, Proxmox, ProxmoxError, api::Api, preflight, read, task, write};
use crate::model::{
    Container, HostKey, Mark, NodeName, Parameters, ProxmoxDocument, SecretValue, Setting, Site,
    Vmid, container_creation,
};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::{runtime::Handle, sync::watch};

/// A client of one cluster. Clones share their connections.
#[derive(Clone)]
pub struct ProxmoxClient {
    api: Api,
}

impl ProxmoxClient {
    /// Sets up the client; no request is made yet.
    pub fn new(site: &Site, token: &SecretValue, runtime: Handle) -> Result<Self, ProxmoxError> {
        Ok(Self { api: Api::new(site, token, runtime)? })
    }

    /// The same; calls that have no answer yet end when this says so, and tasks are followed no further.
    #[must_use]
    pub fn until(self, stop: watch::Receiver<bool>) -> Self {
        Self { api: self.api.until(stop) }
    }

    /// The same, with another bound for each task that is waited for; without this it is 15 minutes.
    #[must_use]
    pub fn with_task_limit(mut self, limit: Duration) -> Self {
        self.api.task_limit = limit;
        self
    }

    /// Where a guest is and what it is; none when the cluster has no such number.
    fn resource(&self, vmid: Vmid) -> Result<Option<Value>, ProxmoxError> {
        let all = self.api.get("/cluster/resources?type=vm")?;
        let mut all = all.as_array().cloned().unwrap_or_default().into_iter();
        Ok(all.find(|r| read::number(&r["vmid"]) == Some(u64::from(u32::from(vmid)))))
    }

    fn read(&self, node: &NodeName, vmid: Vmid) -> Result<Container, ProxmoxError> {
        let config = self.api.get(&format!("/nodes/{node}/lxc/{vmid}/config"))?;
        let status = self.api.get(&format!("/nodes/{node}/lxc/{vmid}/status/current"))?;
        let mut container = read::container(vmid, node, &config, &status);
        let pending = self.api.get(&format!("/nodes/{node}/lxc/{vmid}/pending"))?;
        let pending = pending.as_array().into_iter().flatten();
        container.pending = pending
            .filter(|p| p.get("pending").is_some() || p.get("delete").is_some())
            .filter_map(|p| Some(p["key"].as_str()?.to_owned()))
            .collect();
        Ok(container)
    }

    fn put(&self, at: &Container, parameters: Parameters) -> Result<(), ProxmoxError> {
        let mut parameters = parameters;
        parameters.push(("digest".to_owned(), at.config_digest.clone()));
        let path = format!("/nodes/{}/lxc/{}/config", at.node, at.vmid);
        self.api.change(&Method::PUT, &path, &parameters).map(drop)
    }

    fn run(
        &self,
        node: &NodeName,
        method: &Method,
        path: &str,
        parameters: &Parameters,
        what: &str,
    ) -> Result<(), ProxmoxError> {
        let upid = self.api.change(method, path, parameters)?;
        task::follow(&self.api, node, what, &upid)
    }

    /// After a lost reply: whether the guest is there, with our mark and nobody else's.
    fn adopt(&mut self, wanted: &ProxmoxDocument, mark: &Mark) -> Result<bool, ProxmoxError> {
        // A create call whose reply was lost may have become a task that still runs.
        self.settle_creation(&wanted.node, wanted.vmid)?;
        match self.container(wanted.vmid)? {
            None => Ok(false),
            Some(found) if found.mark.as_ref() == Some(mark) => Ok(true),
            Some(found) => Err(taken(&found)),
        }
    }

    fn settle_creation(&self, node: &NodeName, vmid: Vmid) -> Result<(), ProxmoxError> {
        match task::list(&self.api, node, vmid, "vzcreate")?.first() {
            Some(upid) => {
                task::settle(&self.api, node, &format!("create guest {vmid}"), upid).map(drop)
            }
            None => Ok(()),
        }
    }

    fn host_key(&self, node: &NodeName, vmid: Vmid) -> Result<HostKey, ProxmoxError> {
        for upid in task::list(&self.api, node, vmid, "vzcreate")? {
            if let Some(key) = task::host_key(&task::log(&self.api, node, &upid)?) {
                return Ok(key);
            }
        }
        Err(ProxmoxError::NoHostKey { vmid })
    }
}

impl Proxmox for ProxmoxClient {
    fn container(&mut self, vmid: Vmid) -> Result<Option<Container>, ProxmoxError> {
        let Some(resource) = self.resource(vmid)? else {
            // A token sees only what it may audit; `nextid` knows every number.
            return match self.api.get(&format!("/cluster/nextid?vmid={vmid}")) {
                Ok(_) => Ok(None),
                Err(error) if error.says("already exists") => Err(ProxmoxError::Taken {
                    vmid,
                    owner: "a guest that this token may not see".to_owned(),
                }),
                Err(error) => Err(error),
            };
        };
        if resource["type"] != "lxc" {
            let owner =
                format!("the virtual machine `{}`", resource["name"].as_str().unwrap_or("?"));
            return Err(ProxmoxError::Taken { vmid, owner });
        }
        let node = resource["node"].as_str().unwrap_or_default();
        let node = node.parse().map_err(|_| ProxmoxError::Unreadable {
            path: "/cluster/resources".to_owned(),
            what: format!("node `{node}`"),
        })?;
        let pool = resource["pool"].as_str().map(str::to_owned);
        let found = self.read(&node, vmid)?;
        if found.lock.as_deref() != Some("create") {
            return Ok(Some(Container { pool, ..found }));
        }
        // While it is being created its configuration shows nothing but the lock.
        self.settle_creation(&node, vmid)?;
        match self.read(&node, vmid) {
            Err(error) if error.says("does not exist") => Ok(None),
            found => Ok(Some(Container { pool, ..found? })),
        }
    }

    fn neighbours(&mut self) -> Result<Vec<Neighbour>, ProxmoxError> {
        let all = self.api.get("/cluster/resources?type=vm")?;
        let mut neighbours = Vec::new();
        for guest in all.as_array().into_iter().flatten() {
            let (Some(kind), Some(node)) = (guest["type"].as_str(), guest["node"].as_str()) else {
                continue;
            };
            let number = read::number(&guest["vmid"]).and_then(|n| u32::try_from(n).ok());
            let Some(vmid) = number.and_then(|n| Vmid::try_from(n).ok()) else { continue };
            let config = match self.api.get(&format!("/nodes/{node}/{kind}/{vmid}/config")) {
                // Destroyed or moved since the list was made.
                Err(error) if error.says("does not exist") => continue,
                config => config?,
            };
            neighbours.push(Neighbour {
                vmid,
                name: guest["name"].as_str().unwrap_or("?").to_owned(),
                mark: Mark::in_description(config["description"].as_str().unwrap_or_default()),
                addresses: read::addresses(&config),
            });
        }
        Ok(neighbours)
    }

    fn obstacles(&mut self, wanted: &ProxmoxDocument) -> Result<Vec<String>, ProxmoxError> {
        preflight::obstacles(&self.api, wanted)
    }

    fn create(&mut self, wanted: &ProxmoxDocument, mark: &Mark) -> Result<(), ProxmoxError> {
        if self.adopt(wanted, mark)? {
            return Ok(());
        }
        let Some(options) = wanted.container() else {
            return Err(ProxmoxError::Machine { vmid: wanted.vmid });
        };
        let (node, what) = (&wanted.node, format!("create guest {}", wanted.vmid));
        let parameters = container_creation(wanted, options, mark);
        match self.run(node, &Method::POST, &format!("/nodes/{node}/lxc"), &parameters, &what) {
            Err(error) if error.outcome_unknown() || error.says("already exists") => {
                if self.adopt(wanted, mark)? { Ok(()) } else { Err(error) }
            }
            outcome => outcome,
        }
    }

    fn introduce(&mut self, wanted: &ProxmoxDocument) -> Result<Container, ProxmoxError> {
        let gone = || ProxmoxError::Gone { vmid: wanted.vmid, node: wanted.node.clone() };
        let found = self.container(wanted.vmid)?.ok_or_else(gone)?;
        if found.mark.is_none() {
            return Err(taken(&found));
        }
        if found.host_key.is_none() {
            let key = self.host_key(&found.node, found.vmid)?;
            self.put(&found, write::introduction(&found, key, &wanted.tags))?;
        }
        self.container(wanted.vmid)?.ok_or_else(gone)
    }

    fn set(&mut self, container: &Container, settings: &[Setting]) -> Result<(), ProxmoxError> {
        self.put(container, write::parameters(container, settings))
    }

    fn grow(&mut self, container: &Container, disk_gib: u32) -> Result<(), ProxmoxError> {
        let (node, vmid) = (&container.node, container.vmid);
        let size = [("disk", "rootfs".to_owned()), ("size", format!("{disk_gib}G"))];
        let size = size.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let path = format!("/nodes/{node}/lxc/{vmid}/resize");
        match self.run(node, &Method::PUT, &path, &size, &format!("grow the disk of guest {vmid}"))
        {
            Err(error) if error.says("disk is already at specified size") => Ok(()),
            outcome => outcome,
        }
    }

    fn is_off(&mut self, node: &NodeName, vmid: Vmid) -> Result<bool, ProxmoxError> {
        let status = self.api.glance(&format!("/nodes/{node}/lxc/{vmid}/status/current"))?;
        Ok(status["status"] == "stopped")
    }

    fn start(&mut self, node: &NodeName, vmid: Vmid) -> Result<(), ProxmoxError> {
        let path = format!("/nodes/{node}/lxc/{vmid}/status/start");
        match self.run(
            node,
            &Method::POST,
            &path,
            &Parameters::new(),
            &format!("start guest {vmid}"),
        ) {
            Err(error) if error.says("already running") => Ok(()),
            Err(error) if error.outcome_unknown() => {
                if self.read(node, vmid)?.running {
                    Ok(())
                } else {
                    Err(error)
                }
            }
            outcome => outcome,
        }
    }
}

fn taken(found: &Container) -> ProxmoxError {
    let name = found.hostname.as_ref().map_or_else(|| "?".to_owned(), ToString::to_string);
    let owner = found.mark.as_ref().map_or_else(
        || format!("the container `{name}`"),
        |mark| format!("the container `{name}` ({})", mark.target),
    );
    ProxmoxError::Taken { vmid: found.vmid, owner }
}
