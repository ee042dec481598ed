//! A TCP proxy that counts what passes and cuts it at a chosen byte, and the rule that leads a guest's SSH through it.

use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket, sockopt};
use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The proxy's own connections leave from these ports, and `Redirect` leaves them alone: otherwise it would meet itself.
const OWN_PORTS: (u16, u16) = (20_000, 29_999);
/// How often a waiting thread looks whether its connection was cut by the other one.
const GLANCE: Duration = Duration::from_millis(10);

/// Which way bytes go: `Up` from the client to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Up,
    Down,
}

/// What both ends see of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// RST to both.
    Reset,
    /// FIN to both.
    Close,
    /// Nothing ever again.
    BlackHole,
}

/// What a cut takes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// That connection; the others live on, and new ones come through.
    Connection,
    /// The network, for this long: every connection, and new ones too. What was cut stays cut.
    Network(Duration),
}

/// A cut: connection number `connection` (0 is the first) ends after exactly `after` of its bytes in that direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cut {
    pub connection: usize,
    pub direction: Direction,
    pub after: u64,
    pub how: How,
    pub scope: Scope,
}

/// Bytes that one connection carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub up: u64,
    pub down: u64,
}

impl Traffic {
    pub fn in_direction(self, direction: Direction) -> u64 {
        match direction {
            Direction::Up => self.up,
            Direction::Down => self.down,
        }
    }

    fn add(&mut self, direction: Direction, bytes: u64) {
        match direction {
            Direction::Up => self.up += bytes,
            Direction::Down => self.down += bytes,
        }
    }
}

/// A running proxy. Dropped: every connection through it is reset.
pub struct CutProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

struct Shared {
    target: SocketAddr,
    cut: Option<Cut>,
    traffic: Mutex<Vec<Traffic>>,
    /// When the cut happened.
    cut_at: OnceLock<Instant>,
    over: AtomicBool,
}

impl CutProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target`.
    pub fn start(target: SocketAddr, cut: Option<Cut>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target,
            cut,
            traffic: Mutex::default(),
            cut_at: OnceLock::new(),
            over: AtomicBool::new(false),
        });
        let accepting = Some(thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        }));
        Self { address, shared, accepting }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What each connection has carried so far, in the order in which they came.
    pub fn traffic(&self) -> Vec<Traffic> {
        self.shared.traffic.lock().expect("no thread panics with it").clone()
    }

    /// Whether the cut has happened.
    pub fn has_cut(&self) -> bool {
        self.shared.has_cut()
    }
}

impl Drop for CutProxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            accepting.join().expect("accepting does not panic");
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn has_cut(&self) -> bool {
        self.cut_at.get().is_some()
    }

    fn network_is_down(&self) -> bool {
        match (self.cut.map(|cut| cut.scope), self.cut_at.get()) {
            (Some(Scope::Network(time)), Some(since)) => since.elapsed() < time,
            _ => false,
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads = Vec::new();
    for client in listener.incoming() {
        if shared.is_over() {
            break;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        let number = {
            let mut traffic = shared.traffic.lock().expect("no thread panics with it");
            traffic.push(Traffic::default());
            traffic.len() - 1
        };
        threads.push(thread::spawn(move || serve(number, client, &shared)));
    }
    for thread in threads {
        thread.join().expect("serving does not panic");
    }
}

/// One connection, until it ends, is cut, or the proxy is over.
struct Link<'a> {
    number: usize,
    shared: &'a Shared,
    /// This connection was cut or has broken: neither direction goes on.
    ended: AtomicBool,
    /// It ended because of the cut.
    cut: AtomicBool,
}

fn serve(number: usize, client: TcpStream, shared: &Shared) {
    let link = Link { number, shared, ended: AtomicBool::new(false), cut: AtomicBool::new(false) };
    let server = if link.must_stop() { None } else { open(shared.target) };
    if let Some(server) = &server {
        thread::scope(|scope| {
            scope.spawn(|| link.pump(Direction::Up, &client, server));
            link.pump(Direction::Down, server, &client);
        });
    }
    link.end(client, server);
}

impl Link<'_> {
    fn must_stop(&self) -> bool {
        if self.shared.network_is_down() {
            self.cut.store(true, Ordering::SeqCst);
        }
        let cut = self.cut.load(Ordering::SeqCst);
        cut || self.ended.load(Ordering::SeqCst) || self.shared.is_over()
    }

    fn pump(&self, direction: Direction, mut from: &TcpStream, mut to: &TcpStream) {
        from.set_read_timeout(Some(GLANCE)).expect("the limit is not zero");
        let mut buffer = [0; 16 << 10];
        while !self.must_stop() && !self.reach_cut(direction) {
            let wanted = self.allowed(direction, buffer.len());
            match from.read(&mut buffer[..wanted]) {
                Ok(0) => {
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(count) if to.write_all(&buffer[..count]).is_ok() => self.add(direction, count),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => self.ended.store(true, Ordering::SeqCst),
            }
        }
    }

    fn planned(&self, direction: Direction) -> Option<Cut> {
        self.shared.cut.filter(|c| c.connection == self.number && c.direction == direction)
    }

    fn passed(&self, direction: Direction) -> u64 {
        let traffic = self.shared.traffic.lock().expect("no thread panics with it");
        traffic[self.number].in_direction(direction)
    }

    fn add(&self, direction: Direction, count: usize) {
        let mut traffic = self.shared.traffic.lock().expect("no thread panics with it");
        traffic[self.number].add(direction, count as u64);
    }

    /// How many bytes may be read before the cut.
    fn allowed(&self, direction: Direction, most: usize) -> usize {
        let Some(cut) = self.planned(direction) else { return most };
        usize::try_from(cut.after - self.passed(direction)).unwrap_or(most).min(most)
    }

    fn reach_cut(&self, direction: Direction) -> bool {
        let reached =
            self.planned(direction).is_some_and(|cut| self.passed(direction) >= cut.after);
        if reached {
            let _ = self.shared.cut_at.set(Instant::now());
            self.cut.store(true, Ordering::SeqCst);
        }
        reached
    }

    /// Both directions are done: what do the ends see of it?
    fn end(&self, client: TcpStream, server: Option<TcpStream>) {
        while self.how() == How::BlackHole {
            thread::sleep(GLANCE);
        }
        for end in [Some(client), server].iter().flatten() {
            match self.how() {
                How::Reset => {
                    let _ = sockopt::set_socket_linger(end, Some(Duration::ZERO));
                }
                How::Close => {
                    let _ = end.shutdown(Shutdown::Write);
                    // Closing with unread bytes would send a RST.
                    self.discard(end);
                }
                How::BlackHole => unreachable!("it was waited for"),
            }
        }
    }

    fn how(&self) -> How {
        let was_cut = self.cut.load(Ordering::SeqCst);
        match self.shared.cut.filter(|_| was_cut) {
            Some(cut) if !self.shared.is_over() => cut.how,
            _ if self.ended.load(Ordering::SeqCst) || self.shared.is_over() => How::Reset,
            _ => How::Close,
        }
    }

    fn discard(&self, mut from: &TcpStream) {
        let mut buffer = [0; 16 << 10];
        while !self.shared.is_over() {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Err(e) if !matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return;
                }
                _ => {}
            }
        }
    }
}

/// Connects from one of `OWN_PORTS`; none when the target does not answer.
fn open(target: SocketAddr) -> Option<TcpStream> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = OWN_PORTS.1 - OWN_PORTS.0;
    // Processes start at different places, so that their closed connections do not stand in each other's way.
    let start = u16::try_from(std::process::id() * 97 % u32::from(span)).expect("it is below span");
    for _ in 0..100 {
        let step = NEXT.fetch_add(1, Ordering::SeqCst) % span;
        let port = OWN_PORTS.0 + (start + step) % span;
        let socket = socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP)).ok()?;
        let own = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
        if bind(&socket, &own).is_ok() {
            return connect(&socket, &target).is_ok().then(|| TcpStream::from(socket));
        }
    }
    None
}

/// Leads this machine's connections to a guest's SSH through a proxy, until dropped. Needs root and nft.
pub struct Redirect {
    table: String,
}

impl Redirect {
    pub fn install(guest: IpAddr, proxy: SocketAddr) -> Self {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let number = NUMBER.fetch_add(1, Ordering::SeqCst);
        let table = format!("stackc_cut_{}_{number}", std::process::id());
        let (low, high) = OWN_PORTS;
        nft(&format!(
            "table ip {table} {{\n chain output {{\n  type nat hook output priority -100; policy accept;\n  \
             ip daddr {guest} tcp dport 22 tcp sport != {low}-{high} dnat to {proxy}\n }}\n}}\n"
        ));
        Self { table }
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        nft(&format!("delete table ip {}\n", self.table));
    }
}

fn nft(rules: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn();
    let nft = nft.as_mut().expect("nft is installed (apt-get install nftables)");
    let mut stdin = nft.stdin.take().expect("it is piped");
    stdin.write_all(rules.as_bytes()).expect("nft reads its rules");
    drop(stdin);
    assert!(nft.wait().expect("nft is a child").success(), "nft refuses:\n{rules}");
}

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

fn dial(proxy: &CutProxy) -> TcpStream {
    TcpStream::connect(proxy.address()).expect("the proxy listens")
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
    assert_eq!(proxy.traffic(), [Traffic { up: 5, down: 5 }, Traffic { up: 3, down: 3 }]);
    assert!(!proxy.has_cut());
}

#[test]
fn cut_proxy_cuts_after_the_very_byte_in_either_direction() {
    let up = CutProxy::start(capitals(), Some(cut(Direction::Up, 3, How::Close)));
    let stream = dial(&up);
    assert_eq!(say(&stream, "hello", 4), Err(ErrorKind::UnexpectedEof));
    assert!(up.has_cut());
    assert_eq!(up.traffic()[0].up, 3, "the other bytes never reached the server");

    let down = CutProxy::start(capitals(), Some(cut(Direction::Down, 3, How::Close)));
    let stream = dial(&down);
    assert_eq!(say(&stream, "hello", 3), Ok("HEL".to_owned()));
    assert_eq!(say(&stream, "", 1), Err(ErrorKind::UnexpectedEof));
    assert_eq!(down.traffic(), [Traffic { up: 5, down: 3 }]);
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

    let down = Duration::from_millis(400);
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
