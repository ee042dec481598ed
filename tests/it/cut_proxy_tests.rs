//! The proxy counts, and cuts where and as it is told; the redirect leads to it and goes.

use crate::{
    cut_proxy::CutProxy,
    cut_redirect::Redirect,
    cut_traffic::{Cut, Direction, How, Message, Scope},
};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

/// Answers each connection with what it receives, in capitals.
fn capitals() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 64];
                while let Ok(count @ 1..) = client.read(&mut buffer) {
                    buffer[..count].make_ascii_uppercase();
                    if client.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Says `word` and returns the first `count` bytes of the answer, or how the connection ended.
fn say(mut stream: &TcpStream, word: &str, count: usize) -> Result<String, ErrorKind> {
    stream.set_read_timeout(Some(Duration::from_millis(300))).expect("not zero");
    stream.write_all(word.as_bytes()).map_err(|e| e.kind())?;
    let mut answer = vec![0; count];
    stream.read_exact(&mut answer).map_err(|e| e.kind())?;
    Ok(String::from_utf8(answer).expect("capitals are text"))
}

/// Opens a connection; waits a little for the proxy to have one to the server, so that connections keep their order.
fn dial(proxy: &CutProxy) -> TcpStream {
    let (before, since) = (proxy.traffic().len(), Instant::now());
    let stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
    while proxy.traffic().len() == before && since.elapsed() < Duration::from_millis(200) {
        thread::sleep(Duration::from_millis(5));
    }
    stream
}

/// How many bytes each connection has carried, up and down.
fn counts(proxy: &CutProxy) -> Vec<(u64, u64)> {
    let count = |direction| move |t: &crate::cut_traffic::Traffic| t.bytes(direction);
    let (up, down) = (count(Direction::Up), count(Direction::Down));
    proxy.traffic().iter().map(|traffic| (up(traffic), down(traffic))).collect()
}

fn cut(direction: Direction, after: u64, how: How) -> Cut {
    Cut { connection: 0, direction, after, how, scope: Scope::Connection }
}

#[test]
fn cut_proxy_counts_both_directions_of_each_connection() {
    let proxy = CutProxy::start(capitals(), None);
    let (first, second) = (dial(&proxy), dial(&proxy));
    assert_eq!(say(&first, "hello", 5), Ok("HELLO".to_owned()));
    assert_eq!(say(&second, "you", 3), Ok("YOU".to_owned()));
    // An answer is counted just after it was sent.
    thread::sleep(Duration::from_millis(50));
    assert_eq!(counts(&proxy), [(5, 5), (3, 3)]);
    assert!(!proxy.has_cut());
}

#[test]
fn cut_proxy_tells_messages_apart_by_their_direction_and_by_pauses() {
    let proxy = CutProxy::start(capitals(), None);
    let stream = dial(&proxy);
    for word in ["hello", "you"] {
        say(&stream, word, word.len()).expect("it answers");
        thread::sleep(Duration::from_millis(50));
    }
    say(&stream, "there", 0).expect("it is written");
    thread::sleep(Duration::from_millis(100));
    say(&stream, "now", 0).expect("it is written");
    thread::sleep(Duration::from_millis(50));
    let message = |direction, start, end| Message { direction, start, end };
    let messages = &proxy.traffic()[0].messages;
    let both = |start, end| [Direction::Up, Direction::Down].map(|d| message(d, start, end));
    let all = [both(0, 5), both(5, 8), both(8, 13), both(13, 16)].concat();
    assert_eq!(messages, &all);
}

#[test]
fn cut_proxy_cuts_after_the_very_byte_in_either_direction() {
    let up = CutProxy::start(capitals(), Some(cut(Direction::Up, 3, How::Close)));
    let stream = dial(&up);
    assert_eq!(say(&stream, "hello", 4), Err(ErrorKind::UnexpectedEof));
    assert!(up.has_cut());
    assert_eq!(counts(&up)[0].0, 3, "the other bytes never reached the server");

    let down = CutProxy::start(capitals(), Some(cut(Direction::Down, 3, How::Close)));
    let stream = dial(&down);
    assert_eq!(say(&stream, "hello", 3), Ok("HEL".to_owned()));
    assert_eq!(say(&stream, "", 1), Err(ErrorKind::UnexpectedEof));
    assert_eq!(counts(&down), [(5, 3)]);
}

#[test]
fn cut_proxy_resets_or_goes_silent_as_asked() {
    let reset = CutProxy::start(capitals(), Some(cut(Direction::Up, 0, How::Reset)));
    let stream = dial(&reset);
    thread::sleep(Duration::from_millis(100));
    assert_eq!(say(&stream, "", 1), Err(ErrorKind::ConnectionReset));

    let silent = CutProxy::start(capitals(), Some(cut(Direction::Up, 2, How::BlackHole)));
    let stream = dial(&silent);
    assert_eq!(say(&stream, "hello", 5), Err(ErrorKind::WouldBlock));
    assert!(silent.has_cut());
    drop(silent);
    assert_eq!(say(&stream, "", 1), Err(ErrorKind::ConnectionReset), "over: nothing stays open");
}

#[test]
fn cut_proxy_takes_one_connection_or_the_whole_network() {
    let one = CutProxy::start(capitals(), Some(cut(Direction::Up, 1, How::Reset)));
    let (first, second) = (dial(&one), dial(&one));
    assert!(say(&first, "hello", 5).is_err());
    assert_eq!(say(&second, "hello", 5), Ok("HELLO".to_owned()));
    assert_eq!(say(&dial(&one), "hello", 5), Ok("HELLO".to_owned()));

    let down = Duration::from_secs(1);
    let network = Cut { scope: Scope::Network(down), ..cut(Direction::Up, 1, How::Reset) };
    let all = CutProxy::start(capitals(), Some(network));
    let (first, second) = (dial(&all), dial(&all));
    assert!(say(&first, "hello", 5).is_err());
    thread::sleep(Duration::from_millis(100));
    assert!(say(&second, "hello", 5).is_err());
    assert!(say(&dial(&all), "hello", 5).is_err());
    thread::sleep(down);
    assert_eq!(say(&dial(&all), "hello", 5), Ok("HELLO".to_owned()), "the network is back");
    assert!(say(&second, "hello", 5).is_err(), "what was cut stays cut");
}

#[test]
fn redirect_leads_ssh_through_the_proxy_and_is_gone_afterwards() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may redirect connections");
        return;
    }
    // A documentation address (RFC 5737): nobody answers there unless the redirect stands.
    let guest: SocketAddr = "192.0.2.222:22".parse().expect("it is an address");
    let reachable = || TcpStream::connect_timeout(&guest, Duration::from_millis(300));
    let proxy = CutProxy::start(capitals(), None);
    let redirect = Redirect::install(guest.ip(), proxy.address());
    assert_eq!(say(&reachable().expect("led astray"), "hello", 5), Ok("HELLO".to_owned()));
    drop(redirect);
    assert!(reachable().is_err());
}
