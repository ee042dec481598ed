//! Probes: one question each, to a port of the guest itself or to a command.

use super::child;
use super::system::Command;
use crate::model::Probe;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Asks once; the reason when it does not pass.
pub fn ask(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { address, port, timeout_seconds } => {
            let to = SocketAddr::new(*address, *port);
            connect(to, seconds(*timeout_seconds)).map(drop).map_err(|e| e.to_string())
        }
        Probe::Http { address, port, path, status, timeout_seconds } => {
            let to = SocketAddr::new(*address, *port);
            let found = http_status(to, path, seconds(*timeout_seconds));
            match found.map_err(|error| error.to_string())? {
                found if found == *status => Ok(()),
                found => Err(format!("HTTP status {found} instead of {status}")),
            }
        }
        Probe::Command { argv, timeout_seconds } => {
            let words: Vec<&str> = argv.iter().map(String::as_str).collect();
            let output = child::run(&Command::new(&words, seconds(*timeout_seconds)), &mut |_| {});
            let output = output.map_err(|error| error.to_string())?;
            match output.code {
                Some(0) => Ok(()),
                code => Err(format!("exit code {code:?}: {}", output.tail(3).join(" / "))),
            }
        }
        Probe::Unit { unit } => Err(format!("`{unit}` is the service manager's to judge")),
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.max(1)))
}

fn connect(to: SocketAddr, limit: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

/// The status of `GET path`; only the first line of the answer is read. Source: RFC 9112 §4.
fn http_status(to: SocketAddr, path: &str, limit: Duration) -> std::io::Result<u16> {
    let mut stream = connect(to, limit)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: stackc-guest\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let started = Instant::now();
    let mut head = Vec::new();
    let mut buffer = [0; 256];
    while !head.contains(&b'\n') && head.len() < 4096 && started.elapsed() < limit {
        match stream.read(&mut buffer)? {
            0 => break,
            count => head.extend_from_slice(&buffer[..count]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.split_ascii_whitespace();
    let version = words.next().filter(|word| word.starts_with("HTTP/1."));
    let status = version.and(words.next()).and_then(|word| word.parse().ok());
    status.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn probes(address: &str, port: u16) -> [Probe; 2] {
        let (address, path) = (address.parse().expect("an address"), "/".to_owned());
        [
            Probe::Tcp { address, port, timeout_seconds: 1 },
            Probe::Http { address, port, path, status: 204, timeout_seconds: 1 },
        ]
    }

    #[test]
    fn a_probe_asks_the_address_that_it_names_and_no_other() {
        for (own, other) in [("127.0.0.2", "127.0.0.1"), ("::1", "127.0.0.1")] {
            let listener = TcpListener::bind((own, 0)).expect("a port is free");
            let to = listener.local_addr().expect("it is bound");
            let server = std::thread::spawn(move || {
                let mut seen = Vec::new();
                for _ in 0..2 {
                    let (mut stream, _) = listener.accept().expect("somebody asks");
                    let mut buffer = [0; 512];
                    let count = stream.read(&mut buffer).expect("it is read");
                    seen.extend_from_slice(&buffer[..count]);
                    // Who only connects has gone by now.
                    drop(stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"));
                }
                (listener, String::from_utf8_lossy(&seen).into_owned())
            });
            assert_eq!(probes(own, to.port()).map(|probe| ask(&probe)), [Ok(()), Ok(())], "{own}");
            let (listener, seen) = server.join().expect("it ended");
            assert!(seen.contains(&format!("\r\nHost: {to}\r\n")), "{seen}");
            assert!(probes(other, to.port()).iter().all(|probe| ask(probe).is_err()), "{other}");
            drop(listener);
        }
    }
}
