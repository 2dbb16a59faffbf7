//! The line dialect: a host that answers each line with the same line.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use super::{load, saturated};
use crate::contender::{Contender, DEFAULT, DIRECT, Door, TIELINE, haproxy, tieline};
use crate::load::Exchange;
use crate::measure::Measure;
use crate::plan::Plan;
use crate::table::Table;

pub(crate) fn run(plan: &Plan) -> Vec<Table> {
    let host = echo();
    let mut contenders = vec![Contender::direct(DIRECT, Door::Tcp(host), Vec::new())];
    contenders.extend(haproxy(&[host], Vec::new()));
    contenders.push(tieline(DEFAULT, &[host], "line", Vec::new()));
    contenders.push(tieline(TIELINE, &[host], "line connections=1 pipeline=1024", Vec::new()));
    let line = b"a line of thirty-two bytes now.\n".to_vec();
    let (load, exchange) = (load(plan, 50, 1), Exchange { request: line.clone(), reply: line });
    let table = Table::compare("A line, 50 requesters, to a host that echoes", plan, &contenders, |contender| {
        saturated(contender, &exchange, &load)
    });
    let told =
        "The row with 1 connection has 1024 transactions in flight on it at most; by default it is 1 on each of 10.";
    vec![table.note(told).no_peer_wins(&[Measure::Rate, Measure::Cpu])]
}

/// A thread for each connection. They end with the program.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream).ok());
        }
    });
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    while let count @ 1.. = stream.read(&mut buffer)? {
        stream.write_all(&buffer[..count])?;
    }
    Ok(())
}
