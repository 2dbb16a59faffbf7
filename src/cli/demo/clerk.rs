//! `tieline demo-clerk`: who takes the orders at the demo's host, as a worker of its far end.
//!
//! Enters: lines on standard input. Leaves: for `order WORDS` the line `taken WORDS`; for `orders` the line `orders: WORDS,
//! WORDS…`, as they came. Promised: one line for each line, and the end at the end of standard input.

use std::io::{self, BufRead, Write};

use crate::cli::exit;

/// Answers until there is nothing more to be answered; gives the exit code.
pub(in crate::cli) fn run() -> u8 {
    let (mut orders, mut out) = (Vec::new(), io::stdout().lock());
    for line in io::stdin().lock().split(b'\n').map_while(Result::ok) {
        let answer = [&answer(&line, &mut orders)[..], b"\n"].concat();
        if out.write_all(&answer).and_then(|()| out.flush()).is_err() {
            return exit::IOERR;
        }
    }
    exit::OK
}

/// The answer to a line. `orders` is what was ordered so far.
fn answer(line: &[u8], orders: &mut Vec<u8>) -> Vec<u8> {
    if let Some(words) = line.strip_prefix(b"order ") {
        orders.extend([if orders.is_empty() { &b" "[..] } else { b", " }, words].concat());
        [b"taken ", words].concat()
    } else if line == b"orders" {
        [b"orders:", &orders[..]].concat()
    } else {
        b"that is no order".to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_taken_and_told_as_they_came() {
        let mut orders = Vec::new();
        let told = ["orders", "order one tea", "order two", "orders", "what"]
            .map(|line| String::from_utf8(answer(line.as_bytes(), &mut orders)).unwrap());
        assert_eq!(told, ["orders:", "taken one tea", "taken two", "orders: one tea, two", "that is no order"]);
    }
}
