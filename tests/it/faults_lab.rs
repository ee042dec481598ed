//! A lab of its own for tests that disturb activations.

use stackc::lab::{self, Lab, Place, Up};

/// A lab that is up; dropped, it leaves nothing behind but the base.
pub struct FaultLab {
    pub place: Place,
    pub info: Lab,
}

impl FaultLab {
    /// None, with a word on stderr, when this machine cannot have one.
    pub fn start(name: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can have a lab with real guests");
            return None;
        }
        // Two runs on one machine must not meet.
        let name = format!("{name}{}", std::process::id() % 100_000);
        let place = Place::usual(name.parse().expect("it is a lab's name"));
        let program = env!("CARGO_BIN_EXE_stackc").into();
        let up = Up { place: &place, subnet: None, port: None, mirror: None, program };
        let info = lab::up(&up, &mut |line| eprintln!("lab: {line}"));
        let info = info.unwrap_or_else(|error| {
            // A lab that is half up must not stay.
            let _ = lab::down(&place);
            panic!("the lab does not come up: {error}: {:?}", std::error::Error::source(&error));
        });
        Some(Self { place, info })
    }
}

impl Drop for FaultLab {
    fn drop(&mut self) {
        if let Err(error) = lab::down(&self.place) {
            eprintln!("the lab `{}` does not go down: {error}", self.place.name);
        }
    }
}
