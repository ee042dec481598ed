//! Requests: path, query, form or JSON body.

use super::{
    super::schema::{self, Parameter, Parameters},
    reply::Refusal,
};
use axum::http::{Method, Uri};
use serde_json::Value;

/// One call, decoded.
pub(super) struct Call {
    pub method: String,
    /// The path below `/api2/json`, decoded.
    pub path: Vec<String>,
    /// From the query for GET and DELETE, from the body for POST and PUT.
    parameters: Parameters,
}

impl Call {
    pub(super) fn parse(
        method: &Method,
        uri: &Uri,
        content_type: &str,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let method = method.as_str().to_owned();
        if !["GET", "POST", "PUT", "DELETE"].contains(&method.as_str()) {
            return Err(Refusal::NotImplemented {
                message: format!("method '{method}' not available"),
                body: false,
            });
        }
        let path = uri.path();
        let Some(below) = path.strip_prefix("/api2/json") else {
            return Err(Refusal::NotImplemented {
                message: format!("no such file '{path}'"),
                body: false,
            });
        };
        let path = below
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(|s| decode(s, false))
            .collect();
        let has_body = method == "POST" || method == "PUT";
        let parameters = match (has_body, content_type.starts_with("application/json")) {
            (false, _) => parse_form(uri.query().unwrap_or_default()),
            (true, false) => parse_form(&String::from_utf8_lossy(body)),
            (true, true) => parse_json(body)?,
        };
        Ok(Self { method, path, parameters })
    }

    /// The parameters, if they fit.
    pub(super) fn verified(&self, schema: &[&[Parameter]]) -> Result<&Parameters, Refusal> {
        let faults = schema::faults(&self.parameters, schema);
        if faults.is_empty() { Ok(&self.parameters) } else { Err(Refusal::Parameters(faults)) }
    }
}

/// A form is split at `;` too: an unencoded list of tags breaks, as it does on a node.
fn parse_form(text: &str) -> Parameters {
    let pairs = text.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        })
        .collect()
}

fn parse_json(body: &[u8]) -> Result<Parameters, Refusal> {
    if body.is_empty() {
        return Ok(Parameters::new());
    }
    let Ok(Value::Object(object)) = serde_json::from_slice(body) else {
        return Err(Refusal::Die("malformed JSON string".to_owned()));
    };
    let wrong = |name: &str, got| {
        Refusal::parameter(name, format!("type check ('string') failed - got {got}"))
    };
    object
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            Value::Number(number) => Ok((name, number.to_string())),
            Value::Bool(on) => Ok((name, u8::from(on).to_string())),
            Value::Null => Ok((name, String::new())),
            Value::Array(_) => Err(wrong(&name, "ARRAY")),
            Value::Object(_) => Err(wrong(&name, "HASH")),
        })
        .collect()
}

/// Undoes percent-encoding; in forms `+` is a space. A stray `%` stays.
fn decode(text: &str, form: bool) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut i) = (Vec::with_capacity(bytes.len()), 0);
    while i < bytes.len() {
        let hex = text.get(i + 1..i + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[i], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                i += 2;
            }
            (b'+', _) if form => decoded.push(b' '),
            (byte, _) => decoded.push(byte),
        }
        i += 1;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded_and_split_at_semicolons_too() {
        let form = parse_form("net0=name%3Deth0%2Cbridge%3Dvmbr0&description=a+b&tags=a;b");
        assert_eq!(form["net0"], "name=eth0,bridge=vmbr0");
        assert_eq!(form["description"], "a b");
        assert_eq!((form["tags"].as_str(), form["b"].as_str()), ("a", ""));
    }

    #[test]
    fn a_path_keeps_its_plus_and_a_stray_percent() {
        assert_eq!(decode("a+b%3A%zz%", false), "a+b:%zz%");
    }
}
