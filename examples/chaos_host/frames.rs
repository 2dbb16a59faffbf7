//! Frames of the three dialects, read and written plainly.
//!
//! Enters: bytes. Leaves: the text of requests, and the bytes of replies. Written without the library under test, so
//! that a mistake there is not repeated here.
//!
//! A RESP request is an array of bulk strings whose first is the command; its text is the others, joined by blanks.

/// One dialect.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Frames {
    Line,
    Len32,
    Resp,
}

/// One request taken off the front of the bytes.
pub(crate) struct Request {
    /// How many bytes it took.
    pub(crate) length: usize,
    /// `TAG word…`
    pub(crate) text: String,
}

impl Frames {
    pub(crate) fn named(name: &str) -> Result<Self, String> {
        match name {
            "line" => Ok(Self::Line),
            "len32" => Ok(Self::Len32),
            "resp" => Ok(Self::Resp),
            _ => Err(format!("no such dialect: {name}")),
        }
    }

    /// The first request in `bytes`, if it is there completely; an error if it cannot be one.
    pub(crate) fn request(self, bytes: &[u8]) -> Result<Option<Request>, &'static str> {
        Ok(match self {
            Self::Line => bytes.iter().position(|b| *b == b'\n').map(|end| Request::new(end + 1, &bytes[..end])),
            Self::Len32 => bytes.split_first_chunk::<4>().and_then(|(length, rest)| {
                let length = u32::from_be_bytes(*length) as usize;
                Some(Request::new(4 + length, rest.get(..length)?))
            }),
            Self::Resp => return resp_request(bytes),
        })
    }

    /// The reply to the request with this tag, which stands at both ends of it around `size` bytes.
    pub(crate) fn reply(self, tag: &str, size: usize) -> Vec<u8> {
        let filling = "x".repeat(size);
        let text = format!("{tag} {filling} {tag}");
        match self {
            Self::Line => format!("{text}\n").into_bytes(),
            Self::Len32 => [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat(),
            Self::Resp => resp_reply(tag, &text).into_bytes(),
        }
    }

    /// A refusal, for good or for now.
    pub(crate) fn refusal(self, for_good: bool) -> Vec<u8> {
        match (self, for_good) {
            (Self::Resp, true) => b"-ERR no such account\r\n".to_vec(),
            (Self::Resp, false) => b"-LOADING not yet\r\n".to_vec(),
            (Self::Line, _) => b"error no such account\n".to_vec(),
            (Self::Len32, _) => [&21u32.to_be_bytes()[..], b"error no such account"].concat(),
        }
    }

    /// What no reply begins with. In `line` every line is a reply: there, a line that holds no tag.
    pub(crate) fn garbage(self) -> &'static [u8] {
        match self {
            Self::Line => b"\0\xff\xfe garbage\n",
            Self::Len32 => &[0xff; 64],
            Self::Resp => b"\0\x01 garbage\r\n\r\n",
        }
    }

    /// The beginning of a reply that has no end.
    pub(crate) fn endless(self) -> &'static [u8] {
        match self {
            Self::Line => b"",
            Self::Len32 => &[0x7f, 0xff, 0xff, 0xff],
            Self::Resp => b"+",
        }
    }
}

impl Request {
    fn new(length: usize, text: &[u8]) -> Self {
        Self { length, text: String::from_utf8_lossy(text).into_owned() }
    }
}

/// `*N CRLF`, then N times `$LENGTH CRLF bytes CRLF`.
fn resp_request(bytes: &[u8]) -> Result<Option<Request>, &'static str> {
    let Some((count, mut at)) = header(bytes, 0, b'*')? else {
        return Ok(None);
    };
    let mut words = Vec::new();
    for _ in 0..count {
        let Some((length, start)) = header(bytes, at, b'$')? else {
            return Ok(None);
        };
        let Some(word) = bytes.get(start..start + length) else {
            return Ok(None);
        };
        let Some(end) = bytes.get(start + length..start + length + 2) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err("a bulk string does not end in CRLF");
        }
        words.push(word);
        at = start + length + 2;
    }
    Ok(Some(Request::new(at, &words.get(1..).unwrap_or_default().join(&b' '))))
}

/// The number after `kind` at `at`, and where the line after it begins.
fn header(bytes: &[u8], at: usize, kind: u8) -> Result<Option<(usize, usize)>, &'static str> {
    let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) else {
        return Ok(None);
    };
    if rest[0] != kind {
        return Err("the wrong type");
    }
    let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
        return Ok(None);
    };
    let number = std::str::from_utf8(&rest[1..end]).ok().and_then(|digits| digits.parse().ok());
    Ok(Some((number.ok_or("not a number")?, at + end + 2)))
}

/// One of the shapes that a RESP reply can have, with the tag at both ends.
fn resp_reply(tag: &str, text: &str) -> String {
    let (tag_length, text_length) = (tag.len(), text.len());
    let bulk = format!("${text_length}\r\n{text}\r\n");
    match fastrand::u8(0..6) {
        0 => format!("+{text}\r\n"),
        1 => format!("*3\r\n+{tag}\r\n:17\r\n{bulk}"),
        2 => format!("*2\r\n*2\r\n{bulk}$-1\r\n*1\r\n${tag_length}\r\n{tag}\r\n"),
        3 => format!("%2\r\n+{tag}\r\n_\r\n#t\r\n{bulk}"),
        _ => bulk,
    }
}
