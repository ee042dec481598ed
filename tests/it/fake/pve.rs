//! A Proxmox API over TLS in this process: each test says what it answers, a lost reply included.

use axum::body::{Body, to_bytes};
use hyper::{
    Request, Response, StatusCode, body::Incoming, ext::ReasonPhrase, server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub method: String,
    /// Below `/api2/json`, with its query.
    pub path: String,
    /// The form, as it was sent.
    pub form: String,
}

impl Call {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.split('?').next() == Some(path)
    }
}

/// What the API does then.
pub enum Answer {
    Data(Value),
    /// An error whose only text is the status line's reason.
    Reason(u16, &'static str),
    /// An error with a body.
    Error(u16, Value),
    /// The connection closes without a word.
    Silence,
    /// It stays open, without a word.
    Never,
}

type Handler = dyn Fn(&Call) -> Answer + Send + Sync;

/// A running API. It ends with its runtime.
pub struct Pve {
    pub url: String,
    /// PEM text of the CA that signed its certificate.
    pub ca: String,
    pub runtime: Runtime,
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<AtomicUsize>,
}

impl Pve {
    pub fn start(handler: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let (ca, tls) = certificates();
        let runtime = Runtime::new().expect("a runtime starts");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let calls: Arc<Mutex<Vec<Call>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let told = Told { calls: calls.clone(), connections: connections.clone() };
        runtime.spawn(serve(listener, tls, Arc::new(handler), told));
        Self { url: format!("https://127.0.0.1:{port}"), ca, runtime, calls, connections }
    }

    /// Everything that was asked, in order.
    pub fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often this was asked.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.calls().iter().filter(|call| call.is(method, path)).count()
    }

    /// How many connections were opened, refused ones included.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many calls would change something.
    pub fn changes(&self) -> usize {
        self.calls().iter().filter(|call| call.method != "GET").count()
    }
}

fn certificates() -> (String, TlsAcceptor) {
    let key = || KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::new(Vec::new()).expect("no names");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, key()).expect("a CA");
    let mut server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    server.use_authority_key_identifier_extension = true;
    let server_key = key();
    let server = server.signed_by(&server_key, &ca).expect("a certificate");
    let chain = vec![CertificateDer::from(server)];
    let secret = PrivateKeyDer::from_pem_slice(server_key.serialize_pem().as_bytes());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_no_client_auth()
        .with_single_cert(chain, secret.expect("rcgen wrote it"));
    (ca.pem(), TlsAcceptor::from(Arc::new(config.expect("they belong together"))))
}

/// What the server writes down.
#[derive(Clone)]
struct Told {
    calls: Arc<Mutex<Vec<Call>>>,
    connections: Arc<AtomicUsize>,
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, handler: Arc<Handler>, told: Told) {
    while let Ok((stream, _)) = listener.accept().await {
        told.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, handler, calls) = (tls.clone(), handler.clone(), told.calls.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(|request| answer(request, &*handler, &calls));
            // A service that errs closes the connection: that is what `Silence` is for.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    handler: &Handler,
    calls: &Mutex<Vec<Call>>,
) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let form = to_bytes(Body::new(body), 1 << 20).await.map_err(io::Error::other)?;
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let call = Call {
        method: head.method.to_string(),
        path: path.strip_prefix("/api2/json").unwrap_or(path).to_owned(),
        form: String::from_utf8_lossy(&form).into_owned(),
    };
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
    match handler(&call) {
        Answer::Never => std::future::pending().await,
        answer => respond(answer),
    }
}

fn respond(answer: Answer) -> io::Result<Response<Body>> {
    let (status, reason, body) = match answer {
        Answer::Data(value) => (200, None, json!({ "data": value }).to_string()),
        Answer::Reason(status, reason) => (status, Some(reason), String::new()),
        Answer::Error(status, body) => (status, None, body.to_string()),
        Answer::Silence | Answer::Never => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    if let Some(reason) = reason {
        response.extensions_mut().insert(ReasonPhrase::from_static(reason.as_bytes()));
    }
    Ok(response)
}
