//! A RESP reply for programs, as `redis-cli` writes it into a pipe: values bare, one element per line.
//!
//! ```text
//! +OK  OK          $3 foo  foo         :3  3        -ERR x  ERR x       $-1  an empty line
//! #t   true        ,1.5    1.5         %1  key value, blank between     *0   an empty line
//! *2   a           |1      left out
//!      b                               ; what is nested is written one after the other
//! ```
//!
//! Enters: one whole reply. Leaves: bytes without an LF at the end. Promised: the bytes of a string are not changed.

use super::value::Value;

/// Appends one reply, bare, to `out`. What is no reply is appended as it is.
pub fn raw_reply(reply: &[u8], out: &mut Vec<u8>) {
    match Value::read(reply) {
        Some(value) => write(&value, out),
        None => out.extend_from_slice(reply),
    }
}

fn write(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        Value::Status(text)
        | Value::Error(text)
        | Value::Integer(text)
        | Value::Double(text)
        | Value::Big(text)
        | Value::Verbatim(text) => out.extend_from_slice(text),
        Value::Bool(is_true) => out.extend_from_slice(if *is_true { b"true" } else { b"false" }),
        Value::Text(text) => out.extend_from_slice(text),
        Value::Array(values) | Value::Set(values) => separated(values, b"\n", out),
        Value::Map(values) => {
            for (at, pair) in values.chunks(2).enumerate() {
                out.extend_from_slice(if at == 0 { b"" } else { b"\n" });
                separated(pair, b" ", out);
            }
        }
        Value::Attributed(_, value) => write(value, out),
    }
}

fn separated(values: &[Value<'_>], separator: &[u8], out: &mut Vec<u8>) {
    for (at, value) in values.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"" } else { separator });
        write(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(reply: &[u8]) -> String {
        let mut out = Vec::new();
        raw_reply(reply, &mut out);
        out.escape_ascii().to_string()
    }

    #[test]
    fn values_are_bare_and_strings_unchanged() {
        for (reply, shown) in [
            (&b"+OK\r\n"[..], "OK"),
            (b"-ERR no\r\n", "ERR no"),
            (b":-3\r\n", "-3"),
            (b"$4\r\na\0\xff\n\r\n", r"a\x00\xff\n"),
            (b"$-1\r\n", ""),
            (b"*-1\r\n", ""),
            (b"*0\r\n", ""),
            (b"#t\r\n", "true"),
            (b"=5\r\ntxt:x\r\n", "x"),
            (b"no reply", "no reply"),
        ] {
            assert_eq!(raw(reply), shown);
        }
    }

    #[test]
    fn elements_have_a_line_each_and_pairs_share_one() {
        assert_eq!(raw(b"*3\r\n:1\r\n*2\r\n+a\r\n$-1\r\n+z\r\n"), r"1\na\n\nz");
        assert_eq!(raw(b"%2\r\n+a\r\n:1\r\n+b\r\n:2\r\n"), r"a 1\nb 2");
        assert_eq!(raw(b"|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n"), "v");
    }
}
