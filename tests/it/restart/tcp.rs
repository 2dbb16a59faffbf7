//! A requester over the loopback listener, in lines.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use crate::common::LONG;

/// One connection.
pub(super) struct TcpRequester(BufReader<TcpStream>);

impl TcpRequester {
    pub(super) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the loopback listener accepts");
        stream.set_read_timeout(Some(LONG)).expect("a timeout can be set");
        Self(BufReader::new(stream))
    }

    /// Sends the request and waits for its reply.
    pub(super) fn ask(&mut self, text: &str) -> String {
        self.0.get_mut().write_all(format!("{text}\n").as_bytes()).expect("it stays connected");
        let mut reply = String::new();
        self.0.read_line(&mut reply).expect("it is answered");
        reply.trim_end().to_owned()
    }
}
