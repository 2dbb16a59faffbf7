//! Lines of bounded length, for the control channels and the control socket.
//!
//! Enters: a buffered stream. Leaves: one line at a time. Promised: memory for one line of the limit, no more.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Reads the next line into `line`, its line feed included; false at the end of the stream. Half a line at the end is
/// no line: its writer died.
///
/// # Errors
/// Those of the stream, and `InvalidData` for a line of more than `longest` bytes.
pub(super) async fn read_line<R>(stream: &mut R, line: &mut Vec<u8>, longest: u64) -> io::Result<bool>
where
    R: AsyncBufRead + Unpin,
{
    line.clear();
    stream.take(longest).read_until(b'\n', line).await?;
    if line.ends_with(b"\n") {
        return Ok(true);
    }
    if line.len() as u64 >= longest {
        let text = format!("a line of more than {longest} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn lines(mut bytes: &[u8]) -> (Vec<String>, io::Result<bool>) {
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        loop {
            match read_line(&mut bytes, &mut line, 4).await {
                Ok(true) => lines.push(String::from_utf8(line.clone()).unwrap()),
                end => return (lines, end),
            }
        }
    }

    #[tokio::test]
    async fn whole_lines_up_to_the_limit_are_read_and_half_ones_are_none() {
        let (got, end) = lines(b"a\nbcd\n\nef").await;
        assert_eq!(got, ["a\n", "bcd\n", "\n"]);
        assert!(!end.unwrap());
    }

    #[tokio::test]
    async fn a_line_without_end_is_refused_at_the_limit() {
        let (got, end) = lines(b"a\nbcdefghijk").await;
        assert_eq!((got.len(), end.unwrap_err().kind()), (1, io::ErrorKind::InvalidData));
    }
}
