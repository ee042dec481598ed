//! What several sections have in common.

use crate::compile::schema::{
    Field,
    Shape::{self, Either, List, Number, Pattern, Record, Text},
};

pub(super) const SECRET_FIELDS: &[Field] =
    &[Field("secret", Text, "The secret's name, such as shop/dev/cookie_key.")];

/// A secret instead of a value.
pub(super) const SECRET: Shape = Record(&[SECRET_FIELDS]);

pub(super) const TEXTS: Shape = List(&Text);
pub(super) const TEXT_OR_TEXTS: Shape = Either(&[Text, TEXTS]);
pub(super) const NUMBER_OR_TEXT: Shape = Either(&[Number(1, 65535), Text]);
/// A port: a number, or a template that makes one.
pub(super) const PORT: Shape = NUMBER_OR_TEXT;

/// An absolute path, or a template that makes one.
pub(super) const PATH: Shape = Pattern(r"^(/|.*\{\{)");
/// Four octal digits.
pub(super) const MODE: Shape = Pattern(r"^(0[0-7]{3}$|.*\{\{)");

pub(super) const ACCESS_RIGHTS: &[Field] = &[
    Field("owner", Text, "Its owner; root when it is not said."),
    Field("group", Text, "Its group; the owner's own when it is not said."),
    Field("mode", MODE, "Four octal digits, such as \"0644\"."),
];

pub(super) const COMMANDS: Shape = List(&Record(&[&[
    Field("folder", Text, "Where in the release it runs; at its top when it is not said."),
    Field("run", Text, "One line of shell."),
    Field("timeout_seconds", Number(1, 7200), "How long it may take; 600 when it is not said."),
]]));
