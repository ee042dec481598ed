//! How a switch is judged, and what runs around it.

use super::{forms, parts::PORT};
use crate::compile::schema::{
    Field,
    Shape::{Boolean, Number, Record, Word},
};

pub(super) const HEALTH: &[Field] = &[
    Field("window_seconds", Number(1, 600), "How long every probe must hold; 5."),
    Field("start_seconds", Number(1, 3600), "How long a service may take to pass its probes; 30."),
    Field("confirm_seconds", Number(15, 3600), "How long the guest waits for the confirm; 60."),
];

pub(super) const PROBE: &[Field] = &[
    Field("http", Record(&[HTTP]), "A request that the guest makes to itself."),
    Field("tcp", Record(&[TCP]), "A connection that is taken."),
    Field("command", forms::PROGRAM, "A program and its arguments; 0 is well."),
    Field("unit", forms::UNIT, "A unit that must be active."),
    Field("timeout_seconds", Number(1, 300), "How long it may take; 5. Not for `unit`."),
];

const TCP: &[Field] = &[ADDRESS, Field("port", PORT, "The port, on the guest itself."), LOCAL];

const ADDRESS: Field =
    Field("address", forms::IP, "The address of the guest that is asked; 127.0.0.1.");

const LOCAL: Field = Field(
    "local",
    Boolean,
    "Whether only the guest itself asks there, so that the firewall may shut it; false.",
);

const HTTP: &[Field] = &[
    ADDRESS,
    LOCAL,
    Field("port", PORT, "The port, on the guest itself."),
    Field("path", forms::URL_PATH, "The path of the URL; `/` when it is not said."),
    Field("status", Number(100, 599), "The status that is well; 200 when it is not said."),
];

pub(super) const HOOK: &[Field] = &[
    Field(
        "when",
        Word(&["before_switch", "after_switch"]),
        "before_switch (a failure changes nothing) or after_switch, before the probes (a failure undoes); an undo runs none.",
    ),
    Field(
        "run",
        forms::PROGRAM,
        "A program, by its absolute path, and its arguments. Before the switch, a program of the bundle is the new one.",
    ),
    Field("user", forms::OWNER, "Who runs it; root when it is not said."),
    Field(
        "timeout_seconds",
        Number(1, 3600),
        "How long it may take until it is killed with all that it started; 60.",
    ),
];
