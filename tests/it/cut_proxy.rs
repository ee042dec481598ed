//! A TCP proxy that notes what passes and cuts it at a chosen byte.

use crate::cut_traffic::{Cut, Direction, How, Scope, Traffic};
use rustix::net::{AddressFamily, SocketType, bind, connect, ipproto, socket, sockopt};
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The proxy's own connections leave from these ports, and `Redirect` leaves them alone: otherwise it would meet itself.
pub const OWN_PORTS: (u16, u16) = (20_000, 29_999);
/// How often a waiting thread looks whether its connection was cut by the other one.
const GLANCE: Duration = Duration::from_millis(10);
/// What comes later than this after the bytes before is a message of its own: whoever sent it did something in between.
const PAUSE: Duration = Duration::from_millis(20);

/// What a connection carried, and when it last did.
struct Passed {
    traffic: Traffic,
    last: Instant,
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
    passed: Mutex<Vec<Passed>>,
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
            passed: Mutex::default(),
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
        self.shared.passed().iter().map(|passed| passed.traffic.clone()).collect()
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

    fn passed(&self) -> MutexGuard<'_, Vec<Passed>> {
        self.passed.lock().expect("no thread panics with it")
    }

    /// The number of a connection that now begins.
    fn begin(&self) -> usize {
        let mut passed = self.passed();
        passed.push(Passed { traffic: Traffic::default(), last: Instant::now() });
        passed.len() - 1
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
        threads.push(thread::spawn(move || serve(client, &shared)));
    }
    for thread in threads {
        thread.join().expect("serving does not panic");
    }
}

/// One connection, until it ends, is cut, or the proxy is over.
struct Link<'a> {
    /// None when the server could not be reached: then nothing passes.
    number: Option<usize>,
    shared: &'a Shared,
    /// This connection was cut or has broken: neither direction goes on.
    ended: AtomicBool,
    /// It ended because of the cut.
    cut: AtomicBool,
}

/// A server that does not answer yet, because its guest still boots, makes no connection that counts.
fn serve(client: TcpStream, shared: &Shared) {
    let server = if shared.network_is_down() { None } else { open(shared.target) };
    let number = server.is_some().then(|| shared.begin());
    let link = Link {
        number,
        shared,
        ended: AtomicBool::new(false),
        cut: AtomicBool::new(shared.network_is_down()),
    };
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
                Ok(count) => {
                    // Counted first: an answer must not overtake its question.
                    self.add(direction, count);
                    if to.write_all(&buffer[..count]).is_err() {
                        self.ended.store(true, Ordering::SeqCst);
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                _ => self.ended.store(true, Ordering::SeqCst),
            }
        }
    }

    fn planned(&self, direction: Direction) -> Option<Cut> {
        self.shared.cut.filter(|c| Some(c.connection) == self.number && c.direction == direction)
    }

    fn open_number(&self) -> usize {
        self.number.expect("bytes pass between two open ends only")
    }

    fn passed(&self, direction: Direction) -> u64 {
        self.shared.passed()[self.open_number()].traffic.bytes(direction)
    }

    fn add(&self, direction: Direction, count: usize) {
        let passed = &mut self.shared.passed()[self.open_number()];
        let after_pause = passed.last.elapsed() > PAUSE;
        passed.traffic.add(direction, count as u64, after_pause);
        passed.last = Instant::now();
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
