//! A RESP reply for people, much as `redis-cli` shows it on a terminal.
//!
//! ```text
//! +OK  OK               $3 foo  "foo"          :3  (integer) 3        -ERR x  (error) ERR x
//! $-1  (nil)            ,1.5    (double) 1.5   #t  (true)             *0      (empty array)
//! *2   1) "a"           %1      1# "a" => "b"  ~1  1~ "a"             |1      1| "a" => "b", then the value
//!      2) 1) "nested"
//! ```
//!
//! Enters: one whole reply. Leaves: lines without an LF at the end. Promised: nothing that a terminal could take for
//! an order.

use super::value::Value;

/// Shows one reply, in lines for people. What is no reply is shown as such, quoted.
#[must_use]
pub fn render_reply(reply: &[u8]) -> String {
    let mut out = String::new();
    match Value::read(reply) {
        Some(value) => show(&value, 0, &mut out),
        None => {
            out.push_str("(not a RESP reply) ");
            quote(reply, &mut out);
        }
    }
    out
}

/// Appends `value`; its lines but the first begin with `indent` blanks.
fn show(value: &Value<'_>, indent: usize, out: &mut String) {
    match value {
        Value::Null => out.push_str("(nil)"),
        Value::Status(text) => escape(text, "", out),
        Value::Error(text) => label("(error) ", text, out),
        Value::Integer(text) => label("(integer) ", text, out),
        Value::Double(text) => label("(double) ", text, out),
        Value::Big(text) => label("(big number) ", text, out),
        Value::Bool(true) => out.push_str("(true)"),
        Value::Bool(false) => out.push_str("(false)"),
        Value::Text(text) => quote(text, out),
        Value::Verbatim(text) => escape(text, "\n\t", out),
        Value::Array(values) => list(values, "(empty array)", ')', indent, out),
        Value::Set(values) => list(values, "(empty set)", '~', indent, out),
        Value::Map(values) => pairs(values, '#', indent, out),
        Value::Attributed(about, value) => {
            pairs(about, '|', indent, out);
            new_line(indent, out);
            show(value, indent, out);
        }
    }
}

fn label(label: &str, text: &[u8], out: &mut String) {
    out.push_str(label);
    escape(text, "", out);
}

fn list(values: &[Value<'_>], empty: &str, mark: char, indent: usize, out: &mut String) {
    if values.is_empty() {
        out.push_str(empty);
    }
    let width = values.len().to_string().len();
    for (at, value) in values.iter().enumerate() {
        number(at, width, mark, indent, out);
        show(value, indent + width + 2, out);
    }
}

fn pairs(values: &[Value<'_>], mark: char, indent: usize, out: &mut String) {
    if values.is_empty() {
        out.push_str("(empty hash)");
    }
    let width = (values.len() / 2).to_string().len();
    for (at, pair) in values.chunks(2).enumerate() {
        number(at, width, mark, indent, out);
        for (side, value) in pair.iter().enumerate() {
            out.push_str(if side == 0 { "" } else { " => " });
            show(value, indent + width + 2, out);
        }
    }
}

/// Begins the line of the element `at`; the first one stands in the line that its aggregate begins in.
fn number(at: usize, width: usize, mark: char, indent: usize, out: &mut String) {
    if at > 0 {
        new_line(indent, out);
    }
    let number = at + 1;
    out.push_str(&format!("{number:>width$}{mark} "));
}

fn new_line(indent: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
}

fn quote(text: &[u8], out: &mut String) {
    out.push('"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            _ => escape(&[byte], "", out),
        }
    }
    out.push('"');
}

/// Appends `text` with everything but printable ASCII and the characters of `plain` escaped.
fn escape(text: &[u8], plain: &str, out: &mut String) {
    for &byte in text {
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            _ if plain.as_bytes().contains(&byte) => out.push(char::from(byte)),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x07 => out.push_str("\\a"),
            0x08 => out.push_str("\\b"),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_shown_as_redis_cli_shows_them() {
        for (reply, shown) in [
            ("+OK\r\n", "OK"),
            ("-ERR no\r\n", "(error) ERR no"),
            (":-3\r\n", "(integer) -3"),
            ("$4\r\na\"\\\n\r\n", r#""a\"\\\n""#),
            ("$2\r\né\r\n", r#""\xc3\xa9""#),
            ("$-1\r\n", "(nil)"),
            ("*-1\r\n", "(nil)"),
            ("_\r\n", "(nil)"),
            ("*0\r\n", "(empty array)"),
            ("~0\r\n", "(empty set)"),
            ("%0\r\n", "(empty hash)"),
            (",1.5\r\n", "(double) 1.5"),
            ("#t\r\n", "(true)"),
            ("#f\r\n", "(false)"),
            ("(12\r\n", "(big number) 12"),
            ("!5\r\nERR x\r\n", "(error) ERR x"),
            ("=8\r\ntxt:a\n\x1bb\r\n", "a\n\\x1bb"),
            ("$?\r\n;2\r\nab\r\n;1\r\nc\r\n;0\r\n", "\"abc\""),
        ] {
            assert_eq!(render_reply(reply.as_bytes()), shown, "{reply:?}");
        }
    }

    #[test]
    fn lists_are_numbered_and_nested_ones_indented() {
        let reply = "*3\r\n*2\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n%2\r\n+k\r\n~1\r\n:1\r\n+l\r\n*?\r\n.\r\n$-1\r\n";
        let shown = [
            "1) 1) \"a\"",
            "   2) 1) (integer) 1",
            "      2) (integer) 2",
            "2) 1# k => 1~ (integer) 1",
            "   2# l => (empty array)",
            "3) (nil)",
        ];
        assert_eq!(render_reply(reply.as_bytes()), shown.join("\n"));
        let ten = format!("*10\r\n{}", "*1\r\n:1\r\n".repeat(10));
        assert!(render_reply(ten.as_bytes()).starts_with(" 1) 1) (integer) 1\n 2) 1) (integer) 1\n"));
    }

    #[test]
    fn attributes_stand_before_what_they_are_about() {
        let reply = b"*1\r\n|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n";
        assert_eq!(render_reply(reply), "1) 1| ttl => (integer) 5\n   \"v\"");
    }

    #[test]
    fn what_is_no_reply_is_quoted() {
        assert_eq!(render_reply(b"$5\r\nab\x1b"), "(not a RESP reply) \"$5\\r\\nab\\x1b\"");
        assert_eq!(render_reply(b""), "(not a RESP reply) \"\"");
    }
}
