//! Requests and answers: the envelope, the texts of errors, retries of what may be retried.

use super::{ProxmoxError, stop::Stop, tls};
use crate::model::{Parameters, SecretName, SecretValue, Site, Trust};
use reqwest::{Certificate, Client, Method, Response, header};
use serde_json::Value;
use std::{error::Error, io, time::Duration};
use tokio::{runtime::Handle, sync::watch};

/// TCP and TLS to a reachable node take milliseconds; a black hole must not take minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// pveproxy gives up on its daemon after 30 s (AnyEvent.pm).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
/// For a question beside a wait: a node that is well answers in milliseconds.
const GLANCE_TIMEOUT: Duration = Duration::from_secs(2);
/// pveproxy closes idle connections after 5 s, without a word.
const POOL_IDLE: Duration = Duration::from_secs(3);
/// Unpacking a template onto a slow storage takes minutes, not more.
const TASK_LIMIT: Duration = Duration::from_secs(900);
/// Pauses between tries; together less than a worker's own 30 s.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(8),
];

/// The HTTP side: one token, one base URL.
#[derive(Clone)]
pub(super) struct Api {
    http: Client,
    base: String,
    /// The name of the secret that the token is.
    token: SecretName,
    runtime: Handle,
    stop: Stop,
    /// How long a task may take.
    pub(super) task_limit: Duration,
}

impl Api {
    pub(super) fn new(
        site: &Site,
        token: &SecretValue,
        runtime: Handle,
    ) -> Result<Self, ProxmoxError> {
        let url = &site.url;
        // Another part of the program may have been first; either way one provider stands.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let setup = |cause| ProxmoxError::Setup { url: url.clone(), cause };
        let builder = Client::builder()
            .no_proxy()
            .http1_only()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .default_headers(authorization(token)?);
        let builder = match &site.trust {
            Trust::Ca(pem) => {
                let authorities = Certificate::from_pem_bundle(pem.as_bytes());
                builder.tls_certs_only(authorities.map_err(|error| setup(error.into()))?)
            }
            Trust::Fingerprint(digest) => builder.tls_backend_preconfigured(
                tls::pinned(*digest).map_err(|error| setup(error.into()))?,
            ),
        };
        let http = builder.build().map_err(|error| setup(error.into()))?;
        let base = format!("{}/api2/json", url.trim_end_matches('/'));
        let (token, stop) = (site.token.clone(), Stop::default());
        Ok(Self { http, base, token, runtime, stop, task_limit: TASK_LIMIT })
    }

    /// The same; what is asked when this says so ends without an answer.
    pub(super) fn until(self, says: watch::Receiver<bool>) -> Self {
        Self { stop: Stop::when(says), ..self }
    }

    /// Waits between two looks at what Proxmox is to do, which nobody has to wait for any more after an interrupt.
    pub(super) fn pause(&self, time: Duration, what: &str) -> Result<(), ProxmoxError> {
        let passed = !self.stop.came() && self.runtime.block_on(self.stop.pause(time));
        if passed { Ok(()) } else { Err(ProxmoxError::Interrupted { what: what.to_owned() }) }
    }

    /// Reads; tried again while nobody answers.
    pub(super) fn get(&self, path: &str) -> Result<Value, ProxmoxError> {
        let again = |error: &ProxmoxError| error.outcome_unknown() && !is_untrusted(error);
        self.ask(&Method::GET, path, &Parameters::new(), again)
    }

    /// Reads, once and soon over.
    pub(super) fn glance(&self, path: &str) -> Result<Value, ProxmoxError> {
        let stop = self.stop.of_this_call();
        self.send(&Method::GET, path, &Parameters::new(), GLANCE_TIMEOUT, &stop)
    }

    /// Changes something: once. Only a held lock is waited for, for it means that nothing was changed.
    pub(super) fn change(
        &self,
        method: &Method,
        path: &str,
        parameters: &Parameters,
    ) -> Result<Value, ProxmoxError> {
        self.ask(method, path, parameters, ProxmoxError::is_lock_contention)
    }

    fn ask(
        &self,
        method: &Method,
        path: &str,
        parameters: &Parameters,
        again: impl Fn(&ProxmoxError) -> bool,
    ) -> Result<Value, ProxmoxError> {
        let (stop, mut pauses) = (self.stop.of_this_call(), PAUSES.into_iter());
        loop {
            match self.send(method, path, parameters, REQUEST_TIMEOUT, &stop) {
                Err(error) if again(&error) => {
                    let pause = pauses.next().ok_or(error)?;
                    if !self.runtime.block_on(stop.pause(pause)) {
                        return Err(interrupted(method, path));
                    }
                }
                answer => return answer,
            }
        }
    }

    fn send(
        &self,
        method: &Method,
        path: &str,
        parameters: &Parameters,
        limit: Duration,
        stop: &Stop,
    ) -> Result<Value, ProxmoxError> {
        let verb = verb(method);
        let silent = |cause| ProxmoxError::Silent { method: verb, path: path.to_owned(), cause };
        let url = format!("{}{path}", self.base);
        let mut request = self.http.request(method.clone(), url).timeout(limit);
        if verb != "GET" {
            request = request.form(parameters);
        }
        let asked = stop.unless(async { take(request.send().await?).await });
        let answer = self.runtime.block_on(asked).ok_or_else(|| interrupted(method, path))?;
        let (status, reason, body) = answer.map_err(silent)?;
        let parsed: Option<Value> = serde_json::from_slice(&body).ok();
        if status == 200 {
            let unreadable = || ProxmoxError::Unreadable {
                path: path.to_owned(),
                what: String::from_utf8_lossy(&body).chars().take(200).collect(),
            };
            return parsed
                .and_then(|mut v| v.get_mut("data").map(Value::take))
                .ok_or_else(unreadable);
        }
        let (path, text) = (path.to_owned(), error_text(parsed.as_ref(), &reason));
        Err(match status {
            401 => {
                ProxmoxError::Unauthorized { method: verb, path, text, token: self.token.clone() }
            }
            _ => ProxmoxError::Refused { method: verb, path, status, text },
        })
    }
}

fn interrupted(method: &Method, path: &str) -> ProxmoxError {
    ProxmoxError::Interrupted { what: format!("answer {method} {path}") }
}

/// A certificate that is not trusted now will not be in a second either.
fn is_untrusted(error: &(dyn Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    // An `io::Error` hides what it wraps from `source`, and here one wraps another.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    match wrapped {
        Some(inner) => is_untrusted(inner),
        None => error.source().is_some_and(is_untrusted),
    }
}

async fn take(response: Response) -> Result<(u16, String, Vec<u8>), reqwest::Error> {
    let status = response.status();
    // Old servers say what is wrong only in the reason phrase; reqwest keeps it as an extension.
    let phrase = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = phrase.map_or_else(
        || status.canonical_reason().unwrap_or_default().to_owned(),
        |phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
    );
    Ok((status.as_u16(), reason, response.bytes().await?.to_vec()))
}

/// The message of the body, or else the reason phrase, with the parameters that were at fault.
fn error_text(body: Option<&Value>, reason: &str) -> String {
    let field = |name: &str| body.and_then(|b| b.get(name));
    let message = field("message").and_then(Value::as_str).map(str::trim).filter(|m| !m.is_empty());
    let mut text = message.unwrap_or(reason).to_owned();
    for (parameter, fault) in field("errors").and_then(Value::as_object).into_iter().flatten() {
        let fault = fault.as_str().map_or_else(|| fault.to_string(), |f| f.trim().to_owned());
        text = format!("{text} {parameter}: {fault}");
    }
    text
}

fn authorization(token: &SecretValue) -> Result<header::HeaderMap, ProxmoxError> {
    let value = token.expose().trim();
    let name = value.split('=').next().unwrap_or_default().to_owned();
    let malformed = || ProxmoxError::Token { name: name.clone() };
    let whole = value.split_once('=').is_some_and(|(name, secret)| {
        name.contains('@') && name.contains('!') && !secret.is_empty()
    });
    if !whole {
        // What stands there may be the bare secret: it is not shown.
        return Err(ProxmoxError::Token { name: "proxmox/token".to_owned() });
    }
    let mut header =
        header::HeaderValue::from_str(&format!("PVEAPIToken={value}")).map_err(|_| malformed())?;
    header.set_sensitive(true);
    Ok(header::HeaderMap::from_iter([(header::AUTHORIZATION, header)]))
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        _ => "DELETE",
    }
}
