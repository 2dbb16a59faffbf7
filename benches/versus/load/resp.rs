//! Requests and replies of Redis.

use super::Exchange;

/// A command as an array of strings.
pub(crate) fn command(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// Of a key that holds so many bytes (`Redis::set`).
pub(crate) fn get(key: &str, size: usize) -> Exchange {
    let reply = format!("${size}\r\n{}\r\n", "x".repeat(size)).into_bytes();
    Exchange { request: command(&["GET", key]), reply }
}

/// Of so many bytes.
pub(crate) fn set(key: &str, size: usize) -> Exchange {
    Exchange { request: command(&["SET", key, &"x".repeat(size)]), reply: b"+OK\r\n".to_vec() }
}
