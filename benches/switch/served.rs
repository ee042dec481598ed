//! What guests answer over HTTP, as the world outside sees it.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(5);
/// A lost SYN would sit in back-off for a second, and hide when the answer came.
const PATIENCE: Duration = Duration::from_millis(250);
/// Nothing here takes as long.
const LIMIT: Duration = Duration::from_secs(60);

/// What is served at a port; none when nobody answers.
pub fn value(address: Ipv4Addr, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&(address, port).into(), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// How long it takes until this is served while `work` is at it, and until `work` is done.
pub fn while_at(
    (address, port): (Ipv4Addr, u16),
    wanted: &str,
    work: impl FnOnce() + Send,
) -> (Duration, Duration) {
    let started = Instant::now();
    thread::scope(|scope| {
        let work = scope.spawn(move || {
            work();
            started.elapsed()
        });
        while value(address, port).as_deref() != Some(wanted) {
            assert!(started.elapsed() < LIMIT, "`{wanted}` is never served");
            thread::sleep(PAUSE);
        }
        let served = started.elapsed();
        (served, work.join().expect("what is measured does well"))
    })
}

/// New connections while `work` is at it: how many there were, and how many of them got no answer.
pub fn lost_while((address, port): (Ipv4Addr, u16), work: impl FnOnce() + Send) -> (usize, usize) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let asker = scope.spawn(|| {
            let (mut all, mut lost) = (0, 0);
            while !done.load(Ordering::Relaxed) {
                all += 1;
                lost += usize::from(value(address, port).is_none());
            }
            (all, lost)
        });
        work();
        done.store(true, Ordering::Relaxed);
        asker.join().expect("asking does not fail")
    })
}
