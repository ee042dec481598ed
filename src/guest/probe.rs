//! Probes: one question each, to a port of the guest itself or to a command.

use super::child;
use super::system::Command;
use crate::model::Probe;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Asks once; the reason when it does not pass.
pub fn ask(probe: &Probe) -> Result<(), String> {
    match probe {
        Probe::Tcp { port, timeout_seconds } => {
            connect(*port, seconds(*timeout_seconds)).map(drop).map_err(|e| e.to_string())
        }
        Probe::Http { port, path, status, timeout_seconds } => {
            let found = http_status(*port, path, seconds(*timeout_seconds));
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

fn connect(port: u16, limit: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    Ok(stream)
}

/// The status of `GET path`; only the first line of the answer is read. Source: RFC 9112 §4.
fn http_status(port: u16, path: &str, limit: Duration) -> std::io::Result<u16> {
    let mut stream = connect(port, limit)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: stackc-guest\r\nConnection: close\r\n\r\n"
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
