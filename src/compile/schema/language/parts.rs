//! What several sections have in common.

use super::forms;
use crate::compile::schema::{
    Field,
    Shape::{self, Either, List, Number, Record, Text},
};

pub(super) const SECRET_FIELDS: &[Field] =
    &[Field("secret", forms::SECRET_NAME, "The secret's name, such as shop/dev/cookie_key.")];

/// A secret instead of a value.
pub(super) const SECRET: Shape = Record(&[SECRET_FIELDS]);

pub(super) const TEXTS: Shape = List(&Text);
pub(super) const TEXT_OR_TEXTS: Shape = Either(&[Text, TEXTS]);
/// A port: a number, or a template that makes one.
pub(super) const PORT: Shape = Either(&[Number(1, 65535), forms::PORT_TEXT]);

pub(super) const ACCESS_RIGHTS: &[Field] = &[
    Field("owner", forms::OWNER, "Its owner; root when it is not said."),
    Field("group", forms::OWNER, "Its group; the owner's own when it is not said."),
    Field("mode", forms::MODE, "Four octal digits; 0644, 0755 of a folder, 0600 with secrets."),
];

pub(super) const COMMANDS: Shape = List(&Record(&[&[
    Field("folder", forms::FOLDER, "Where in the release it runs; at its top when it is not said."),
    Field("run", forms::LINE, "One line of shell."),
    Field("timeout_seconds", Number(1, 7200), "How long it may take; 600 when it is not said."),
]]));
