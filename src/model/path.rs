//! Paths: on a guest, and inside a bundle.

use serde::{Deserialize, Serialize};
use std::fmt;
use unicase::UniCase;

/// The longest path, in bytes. Source: `PATH_MAX` in linux/limits.h.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest component of a path, in bytes. Source: `NAME_MAX` in linux/limits.h.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// A component of a path as a regular expression, for `concat!`; it has none of these characters either.
macro_rules! component_form {
    ($refused:literal) => {
        concat!(
            $crate::model::component_form!(first "[^./", $refused, "]", "[^/", $refused, "]{0,254}"),
            $crate::model::component_form!(first r"|\.[^./", $refused, "]", "[^/", $refused, "]{0,253}"),
            $crate::model::component_form!(first r"|\.\.[^/", $refused, "]", "[^/", $refused, "]{0,252}"),
        )
    };
    (first $a:literal, $refused:literal, $b:literal, $c:literal, $same:literal, $d:literal) => {
        concat!(
            $a,
            r"\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069",
            $refused,
            $b,
            $c,
            r"\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069",
            $same,
            $d
        )
    };
}

/// An absolute path without these characters, as a regular expression for `concat!`.
macro_rules! path_form {
    ($refused:literal) => {
        concat!("(/(", $crate::model::component_form!($refused), "))+")
    };
}

/// A relative one.
macro_rules! relative_form {
    ($refused:literal) => {
        concat!(
            "(",
            $crate::model::component_form!($refused),
            ")(/(",
            $crate::model::component_form!($refused),
            "))*"
        )
    };
}

pub(crate) use component_form;
#[cfg(feature = "operator")]
pub(crate) use {path_form, relative_form};

/// Text that is not a path of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a usable path: {rule}")]
pub struct ParsePathError {
    pub text: String,
    pub rule: &'static str,
}

/// An absolute path on a guest: no `.`, `..`, empty component, control character or trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(String);

/// A path inside a bundle, relative to it: `manifest.json`'s own words for its entries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EntryPath(String);

impl GuestPath {
    /// The rule as a regular expression of the whole text; lengths are of characters, and of components only.
    pub const FORM: &str = path_form!("");

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its leading slash, to be joined to a root.
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, name)| name)
    }
}

impl EntryPath {
    /// The rule as a regular expression of the whole text; lengths are of characters, and of components only.
    pub const FORM: &str = relative_form!("");

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The entry of the overlay that stands at this path on the guest.
    pub fn of_overlay(path: &GuestPath) -> Self {
        Self(format!("rootfs{}", path.0))
    }

    /// Where an entry of the overlay stands on the guest; none for the bundle's own documents.
    pub fn on_guest(&self) -> Option<GuestPath> {
        self.0
            .strip_prefix("rootfs")
            .filter(|rest| rest.starts_with('/'))
            .map(|rest| GuestPath(rest.to_owned()))
    }
}

/// What two paths have in common that differ in upper and lower case only: full case folding, by which `ß` is `ss`.
/// Source: Unicode, chapter 3.13, `toCasefold`.
pub fn fold_case(path: &str) -> String {
    UniCase::new(path).to_folded_case()
}

fn check(text: &str, components: &str) -> Result<(), ParsePathError> {
    let refuse = |rule| Err(ParsePathError { text: text.to_owned(), rule });
    if text.len() > PATH_BYTES_MAX {
        return refuse("it is longer than 4,096 bytes");
    }
    if text.chars().any(|c| {
        c.is_control()
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    }) {
        return refuse("control characters are not allowed in paths");
    }
    for component in components.split('/') {
        if component.is_empty() {
            return refuse("leave out empty components and the slash at the end");
        }
        if component == "." || component == ".." {
            return refuse("write it without `.` and `..`");
        }
        if component.len() > COMPONENT_BYTES_MAX {
            return refuse("a component is longer than 255 bytes");
        }
    }
    Ok(())
}

impl TryFrom<String> for GuestPath {
    type Error = ParsePathError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let Some(components) = text.strip_prefix('/') else {
            return Err(ParsePathError {
                text,
                rule: "write it from the root, with a leading `/`",
            });
        };
        check(&text, components)?;
        Ok(Self(text))
    }
}

impl TryFrom<String> for EntryPath {
    type Error = ParsePathError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.starts_with('/') {
            return Err(ParsePathError { text, rule: "write it without the leading `/`" });
        }
        check(&text, &text)?;
        Ok(Self(text))
    }
}

macro_rules! text_like {
    ($($name:ident),*) => {$(
        impl From<$name> for String {
            fn from(path: $name) -> Self {
                path.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParsePathError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.to_owned().try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
text_like!(GuestPath, EntryPath);
