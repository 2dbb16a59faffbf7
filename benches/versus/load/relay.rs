//! A relay that makes a host seem far away.
//!
//! Enters: the host's address, and the time that a packet needs there and back. Leaves: an address of its own. Promised:
//! every byte arrives half that time later, each way, in its order; the first ones of a connection arrive a whole time
//! later still, for the handshake, which here takes none, would have taken it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Pieces on their way in one direction, at most.
const PIECES: usize = 4096;

/// Its threads end when their connections do; the listening one ends with the program.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
}

/// Bytes, and when they arrive.
type Piece = (Instant, Vec<u8>);

impl Relay {
    pub(crate) fn start(host: SocketAddr, there_and_back: Duration) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A host that is gone closes the connection.
                join(stream, host, there_and_back).ok();
            }
        });
        Self { address }
    }
}

fn join(near: TcpStream, host: SocketAddr, there_and_back: Duration) -> std::io::Result<()> {
    let not_before = Instant::now() + there_and_back;
    let far = TcpStream::connect(host)?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let half = there_and_back / 2;
    carry(near.try_clone()?, far.try_clone()?, half, not_before);
    carry(far, near, half, not_before);
    Ok(())
}

/// From one to the other, `delay` later.
fn carry(from: TcpStream, to: TcpStream, delay: Duration, not_before: Instant) {
    let (sender, receiver) = sync_channel(PIECES);
    std::thread::spawn(move || take(from, &sender, delay, not_before));
    std::thread::spawn(move || give(to, &receiver));
}

fn take(mut from: TcpStream, sender: &SyncSender<Piece>, delay: Duration, not_before: Instant) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let arrives = Instant::now().max(not_before) + delay;
        if sender.send((arrives, buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, receiver: &Receiver<Piece>) {
    while let Ok((arrives, bytes)) = receiver.recv() {
        std::thread::sleep(arrives.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Both).ok();
}
