//! Where a RESP reply ends: a plain recursive reading of the protocol, independent of the library's framer.

/// The length of the first reply in `bytes`, if it is there completely.
///
/// Source: <https://redis.io/docs/latest/develop/reference/protocol-spec/>
pub(crate) fn reply_length(bytes: &[u8]) -> Option<usize> {
    let end = bytes.windows(2).position(|two| two == b"\r\n")? + 2;
    let head = std::str::from_utf8(&bytes[1..end - 2]).expect("the head of a RESP reply is text");
    let number = || head.parse::<i64>().unwrap_or_else(|_| panic!("no number in a RESP reply: {head:?}"));
    match bytes[0] {
        b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => Some(end),
        b'$' | b'!' | b'=' => match usize::try_from(number()) {
            Ok(length) => (bytes.len() >= end + length + 2).then_some(end + length + 2),
            Err(_) => Some(end),
        },
        b'*' | b'~' | b'>' => elements(bytes, end, number()),
        b'%' => elements(bytes, end, 2 * number()),
        other => panic!("no RESP reply begins with {:?}", char::from(other)),
    }
}

/// The end of `count` replies that begin at `start`.
fn elements(bytes: &[u8], start: usize, count: i64) -> Option<usize> {
    (0..count).try_fold(start, |at, _| Some(at + reply_length(&bytes[at..])?))
}
