//! Envelopes and status codes.

use super::super::{LabError, power, schema::Faults};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

/// What a call gives back.
pub(super) struct Reply {
    data: Value,
    total: Option<usize>,
}

impl Reply {
    /// Only part of a list of `total`.
    pub(super) fn page(data: Value, total: usize) -> Self {
        Self { data, total: Some(total) }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut body = json!({ "data": self.data });
        if let Some(total) = self.total {
            body["total"] = json!(total);
        }
        respond(StatusCode::OK, None, Some(&body))
    }
}

impl From<Value> for Reply {
    fn from(data: Value) -> Self {
        Self { data, total: None }
    }
}

/// Why a call is refused. There is no 404 and no 409: whatever `die`s is a 500.
#[derive(Debug)]
pub(super) enum Refusal {
    Unauthorized(&'static str),
    Forbidden(String),
    Parameters(Faults),
    Die(String),
    NotImplemented { message: String, body: bool },
}

impl Refusal {
    pub(super) fn parameter(name: &str, fault: impl Into<String>) -> Self {
        Self::Parameters(Faults::from([(name.to_owned(), fault.into())]))
    }

    pub(super) fn into_response(self) -> Response<Body> {
        match self {
            Self::Unauthorized(reason) => respond(StatusCode::UNAUTHORIZED, Some(reason), None),
            Self::Forbidden(why) => {
                error(StatusCode::FORBIDDEN, &format!("Permission check failed ({why})"), None)
            }
            Self::Parameters(faults) => {
                error(StatusCode::BAD_REQUEST, "Parameter verification failed.", Some(&faults))
            }
            Self::Die(message) => error(StatusCode::INTERNAL_SERVER_ERROR, &message, None),
            Self::NotImplemented { message, body: true } => {
                error(StatusCode::NOT_IMPLEMENTED, &message, None)
            }
            Self::NotImplemented { message, body: false } => {
                respond(StatusCode::NOT_IMPLEMENTED, Some(&message), None)
            }
        }
    }
}

impl From<LabError> for Refusal {
    fn from(error: LabError) -> Self {
        Self::Die(power::as_text(&error))
    }
}

fn error(status: StatusCode, message: &str, faults: Option<&Faults>) -> Response<Body> {
    let mut body = json!({ "data": null, "message": format!("{message}\n") });
    if let Some(faults) = faults {
        body["errors"] = json!(faults);
    }
    respond(status, Some(message), Some(&body))
}

fn respond(status: StatusCode, reason: Option<&str>, body: Option<&Value>) -> Response<Body> {
    let mut response =
        Response::new(body.map_or_else(Body::empty, |body| Body::from(body.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(header::SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    if body.is_some() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json;charset=UTF-8"),
        );
    }
    // The reason phrase is one line; what does not fit into one is left to the body.
    let line = reason.and_then(|text| text.lines().next()).map(|line| line.as_bytes().to_vec());
    if let Some(phrase) = line.and_then(|line| ReasonPhrase::try_from(line).ok()) {
        response.extensions_mut().insert(phrase);
    }
    response
}
