//! One changed value of an env file, to the moment when it is served.

use crate::{
    Report,
    figures::Figure,
    guests::{Guests, STILL, WEB},
    runs::in_turn,
    served,
};
use std::time::Duration;

const AIM: Duration = Duration::from_secs(1);
/// Switches beside which a service that has nothing to do with them is asked all the time.
const SWITCHES: usize = 3;

/// The unit's own restart, until it takes a connection again, in microseconds of the guest's own clock.
const RESTART: &str = "bash -c 'from=$EPOCHREALTIME; systemctl restart web; \
     until exec 3<>/dev/tcp/127.0.0.1/8000; do :; done 2>/dev/null; to=$EPOCHREALTIME; \
     echo $((${to/./} - ${from/./}))'";

/// What it takes beyond `noop`, an activation with nothing to do.
pub fn change(guests: &Guests, noop: Figure, report: &mut Report) {
    let web = (guests.address(), WEB);
    let mut wholes = Vec::new();
    let mut number = 0;
    let change = || {
        number += 1;
        let value = format!("value {number}");
        guests.define(&value, 0);
        let (served, whole) = served::while_at(web, &value, || guests.activate(1));
        wholes.push(whole);
        served
    };
    let restart = || {
        let microseconds = guests.say(RESTART).parse().expect("it is a number");
        Duration::from_micros(microseconds)
    };
    let [restart, served] = in_turn(restart, change);
    let floor = Figure { median: noop.median + restart.median, ..noop };
    report.beyond("systemctl restart of the unit", restart, restart, None);
    report.beyond("one changed value, to where it is served", served, noop, Some(AIM));
    report.beyond("  the same without the unit's own restart", served, floor, None);
    report.beyond("  to its confirm, with a window of 1 s", Figure::of(wholes), noop, None);
}

/// Connections to a service that need not restart, while another one changes beside it.
pub fn lose_nothing(guests: &Guests, report: &mut Report) {
    let (mut all, mut lost) = (0, 0);
    for switch in 0..SWITCHES {
        guests.define(&format!("beside {switch}"), 0);
        let found = served::lost_while((guests.address(), STILL), || guests.activate(1));
        (all, lost) = (all + found.0, lost + found.1);
    }
    assert!(
        all > 100 * SWITCHES,
        "the service was asked all the time: {all} times in {SWITCHES} switches"
    );
    report.limit(&format!("lost of {all} connections to a unit that stays"), lost as u64, 0);
}
