//! The API's HTTPS face: connections, authentication, envelopes. Source of the behaviour: pve-http-server, `PVE/APIServer/AnyEvent.pm`.

mod cluster;
mod create;
mod disk;
mod guests;
mod reply;
mod request;
mod routes;

use super::{LabError, node::Node};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, Method, Response, Uri, header},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use reply::Refusal;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// An idle connection is closed after this long, as on a node.
const IDLE: Duration = Duration::from_secs(5);

/// A node answers a wrong token after 3 s; a lab has nobody to slow down.
const REFUSED_TOKEN_DELAY: Duration = Duration::from_millis(100);

/// Source: AnyEvent.pm, `$limit_max_post`.
const BODY_BYTES_MAX: usize = 512 * 1024;

/// A TLS handshake on loopback that takes longer is no handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Serves the API until this daemon ends. `listener` is bound already, so that a taken port is found before anything else is done.
pub(super) fn serve(
    listener: std::net::TcpListener,
    tls: ServerConfig,
    node: Arc<Node>,
) -> Result<Infallible, LabError> {
    let port = node.lab.port();
    let refused = |cause| LabError::Listen { port, cause };
    let runtime = tokio::runtime::Runtime::new().map_err(refused)?;
    runtime.block_on(async {
        listener.set_nonblocking(true).map_err(refused)?;
        let listener = TcpListener::from_std(listener).map_err(refused)?;
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(node);
        loop {
            // Out of file descriptors for a moment, or a client that is gone already: the next one may do better.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(REFUSED_TOKEN_DELAY).await;
                continue;
            };
            tokio::spawn(converse(acceptor.clone(), stream, router.clone()));
        }
    })
}

async fn converse(acceptor: TlsAcceptor, stream: tokio::net::TcpStream, router: Router) {
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await else {
        return;
    };
    // A broken connection is the client's affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
}

async fn answer(
    State(node): State<Arc<Node>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    if let Err(refusal) = authorised(&headers, &node.lab.token) {
        tokio::time::sleep(REFUSED_TOKEN_DELAY).await;
        return refusal.into_response();
    }
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    // Handlers wait for locks and programs.
    let answered = tokio::task::spawn_blocking(move || {
        let call = request::Call::parse(&method, &uri, &content_type, &body)?;
        routes::answer(&node, &call)
    });
    match answered.await {
        Ok(Ok(reply)) => reply.into_response(),
        Ok(Err(refusal)) => refusal.into_response(),
        Err(panicked) => Refusal::Die(format!("the lab's own fault: {panicked}")).into_response(),
    }
}

/// Source: pve-manager, `PVE/HTTPServer.pm`, `auth_handler`.
fn authorised(headers: &HeaderMap, token: &str) -> Result<(), Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|text| text.strip_prefix("PVEAPIToken"))
        .and_then(|text| text.strip_prefix(['=', ' ']));
    match given {
        Some(given) if given == token => Ok(()),
        Some(_) => Err(Refusal::Unauthorized("Authentication failed!")),
        None => Err(Refusal::Unauthorized("No ticket")),
    }
}
