//! The page as HTML: a template, which escapes all text, with its style and script inside.

use super::{
    GONE_GUEST, Reviewed,
    guest::{Guest, Shown},
    ports,
};
use crate::model::Target;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tera::{Context, Tera};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// So many guests with changes are shown opened.
const OPEN_MAX: usize = 3;

#[derive(Serialize)]
struct Page<'a> {
    style: &'a str,
    script: &'a str,
    policy: String,
    networks: Vec<ports::Network>,
    new: usize,
    changed: usize,
    unchanged: usize,
    open: bool,
    guests: &'a [Guest],
    gone: Vec<String>,
    gone_guest: &'a str,
}

/// The page. The same bundles give the same bytes.
pub fn html(reviewed: &[Reviewed<'_>], gone: &[Target]) -> String {
    let mut shown = Shown::default();
    let guests: Vec<Guest> = reviewed.iter().map(|guest| Guest::of(guest, &mut shown)).collect();
    let count = |state| guests.iter().filter(|guest| guest.state == state).count();
    let (new, changed) = (count("new"), count("changed"));
    let page = Page {
        style: STYLE,
        script: SCRIPT,
        policy: policy(),
        networks: ports::networks(reviewed),
        new,
        changed,
        unchanged: count("unchanged"),
        open: new + changed <= OPEN_MAX,
        guests: &guests,
        gone: gone.iter().map(ToString::to_string).collect(),
        gone_guest: GONE_GUEST,
    };
    let context = Context::from_serialize(&page).expect("an object has names");
    // Tera escapes what it prints into a template whose name ends like this.
    let mut tera = Tera::new();
    tera.add_raw_template("page.html", TEMPLATE).expect("the template is one of ours");
    tera.render("page.html", &context).expect("the template names what the page has")
}

/// Nothing is loaded, sent, or run but the page's own style and script.
fn policy() -> String {
    let (style, script) = (source(STYLE), source(SCRIPT));
    format!(
        "default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
    )
}

/// A text that a policy allows. Source: CSP 3, section 2.3.1, `hash-source`.
fn source(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())))
}

/// Source: RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*chunk.get(at).unwrap_or(&0)));
        for place in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * place) & 63];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (text, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(text.as_bytes()), coded);
        }
    }
}
