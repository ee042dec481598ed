//! The exit codes of every verb, with the words that `--help` has for them.

/// How a command ended. Of several guests the highest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    Done = 0,
    Mistake = 1,
    Usage = 2,
    Refused = 3,
    BeforeSwitch = 4,
    Undone = 5,
    NotWhole = 6,
    Changes = 10,
    Interrupted = 130,
}

impl Exit {
    pub fn code(self) -> u8 {
        self as u8
    }

    /// In the words of README.md.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Mistake => "a mistake in definitions",
            Self::Usage => "wrong use of the command line",
            Self::Refused => "refused before anything changed; the message says why",
            Self::BeforeSwitch => "failed before the switch; what runs is untouched",
            Self::Undone => "switched and undone: whole on the old generation",
            Self::NotWhole => {
                "not whole, or unknown: a person is needed; the next command is printed"
            }
            Self::Changes => "there are changes, and --exit-code asked for this",
            Self::Interrupted => "interrupted; how each guest is was told",
        }
    }
}
