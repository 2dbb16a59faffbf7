//! A host that is away, and then is there: it answers each line with the same line, as fast as it can.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, getsockname, listen, setsockopt, socket, sockopt,
};

/// A port that refuses connections, and that nobody else can take.
pub(crate) struct Away {
    socket: OwnedFd,
    port: u16,
}

/// Hears when the last request has come.
pub(crate) struct Host {
    told: Receiver<Duration>,
}

impl Away {
    pub(crate) fn new() -> Self {
        let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        setsockopt(&socket, sockopt::ReuseAddr, &true).expect("an option");
        let [a, b, c, d] = Ipv4Addr::LOCALHOST.octets();
        bind(socket.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).expect("a port");
        let address: SockaddrIn = getsockname(socket.as_raw_fd()).expect("its number");
        Self { socket, port: address.port() }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// It is there from now on, and says when it has had `requests` requests.
    pub(crate) fn come(self, requests: usize) -> Host {
        listen(&self.socket, Backlog::new(16).expect("a backlog")).expect("it can listen");
        let listener = TcpListener::from(self.socket);
        let (tell, told) = channel();
        std::thread::spawn(move || {
            let counted = std::sync::Mutex::new((0, None));
            std::thread::scope(|scope| {
                for stream in listener.incoming().map_while(Result::ok) {
                    let (tell, counted) = (tell.clone(), &counted);
                    scope.spawn(move || drop(echo(stream, counted, requests, &tell)));
                }
            });
        });
        Host { told }
    }
}

impl Host {
    /// The time from the first request to the last.
    pub(crate) fn wait(&self) -> Duration {
        self.told.recv_timeout(Duration::from_secs(60)).expect("every request has come")
    }
}

/// Requests that came, and when the first one did.
type Counted = std::sync::Mutex<(usize, Option<Instant>)>;

fn echo(mut stream: TcpStream, counted: &Counted, requests: usize, tell: &Sender<Duration>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = stream.read(&mut buffer)?;
        if got == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..got])?;
        let lines = memchr::memchr_iter(b'\n', &buffer[..got]).count();
        let mut counted = counted.lock().expect("nobody panicked");
        let begun = *counted.1.get_or_insert_with(Instant::now);
        counted.0 += lines;
        if counted.0 >= requests && counted.0 - lines < requests {
            tell.send(begun.elapsed()).ok();
        }
    }
}
