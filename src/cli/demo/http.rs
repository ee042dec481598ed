//! One GET, as curl does it: enough to show what an app answers.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// An app in the same machine answers in milliseconds; a second of database start is granted on top.
const LIMIT: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(100);

/// An answer over HTTP.
pub(super) struct Answer {
    pub status: u16,
    pub body: String,
}

/// The same, for a service that has just been started: a refused connection is tried again, as `curl --retry-connrefused`.
pub(super) fn get_when_ready(ip: IpAddr, port: u16, path: &str) -> io::Result<Answer> {
    let started = Instant::now();
    loop {
        match get(ip, port, path) {
            Err(error)
                if error.kind() == io::ErrorKind::ConnectionRefused
                    && started.elapsed() < LIMIT =>
            {
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

/// Asks for `path`. The server must close the connection after its answer, which HTTP/1.0 has it do.
fn get(ip: IpAddr, port: u16, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, port), LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {ip}:{port}\r\nAccept: */*\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::get;
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        thread,
    };

    #[test]
    fn an_answer_is_status_and_body() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client comes");
            // Closing with something unread would reset the connection.
            let mut request = BufReader::new(&stream).lines();
            assert!(request.any(|line| line.expect("it asks").is_empty()), "a whole request");
            let answer = "HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\nno\n\r\n\r\nmore";
            stream.write_all(answer.as_bytes()).expect("it listens");
        });
        let answer = get(address.ip(), address.port(), "/").expect("it answers");
        assert_eq!((answer.status, answer.body.as_str()), (503, "no\n\r\n\r\nmore"));
        server.join().expect("it ended");
    }
}
