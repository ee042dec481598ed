//! `hooks`: commands around a switch.

use super::{command, overlay};
use crate::{
    compile::view::View,
    model::{Hook, HooksDocument},
};

/// How long a hook may take when nobody says.
const HOOK_SECONDS: u32 = 60;

#[derive(Clone, Copy)]
enum When {
    BeforeSwitch,
    AfterSwitch,
}

const WHEN: [(&str, When); 2] =
    [("before_switch", When::BeforeSwitch), ("after_switch", When::AfterSwitch)];

/// The hooks of a guest; none when it has none.
pub fn read(stack: &View<'_>) -> Option<HooksDocument> {
    let mut document = HooksDocument::default();
    for (name, view) in stack.tables("hooks") {
        let (when, hook) = (when(&view), hook(&view));
        let (Some(when), Some(hook)) = (when, hook) else { continue };
        let hooks = match when {
            When::BeforeSwitch => &mut document.before_switch,
            When::AfterSwitch => &mut document.after_switch,
        };
        hooks.insert(name.to_owned(), hook);
    }
    (document != HooksDocument::default()).then_some(document)
}

fn when(view: &View<'_>) -> Option<When> {
    view.need_node("when")?;
    Some(view.word("when", &WHEN)?.value)
}

fn hook(view: &View<'_>) -> Option<Hook> {
    let argv = command::argv(view, "run", "a hook's command");
    let user = overlay::optional(view, "user", overlay::root);
    let timeout_seconds = view.number_or("timeout_seconds", HOOK_SECONDS);
    Some(Hook { argv: argv?, user: user?, timeout_seconds: timeout_seconds? })
}
