//! One RTSP request, and the answer's form.

/// Because the longest, an ANNOUNCE, has about 4 KiB.
pub const MAX_MESSAGE: usize = 16 << 10;
/// Because clients send six.
const MAX_HEADERS: usize = 32;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// What the host can do.
    Options,
    /// What it offers.
    Describe,
    /// A port.
    Setup,
    /// The client's choice.
    Announce,
    /// Begin.
    Play,
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtspError {
    /// Longer than [`MAX_MESSAGE`], or it says it will be.
    #[error("an RTSP message has more than {MAX_MESSAGE} bytes")]
    TooLong,
    /// The first line is not `METHOD target RTSP/1.0`.
    #[error("the request line is malformed")]
    RequestLine,
    /// A method that no client uses.
    #[error("the method is not known here")]
    Method,
    /// A line that is no header, or too many.
    #[error("a header is malformed, or there are more than {MAX_HEADERS}")]
    Header,
    /// No `CSeq`, or none that is a number.
    #[error("the request has no CSeq, so that its answer would not be recognised")]
    CSeq,
    /// A plain message where a sealed one is due, or the other way round.
    #[error("the message is not of the kind that this session speaks")]
    Framing,
}

/// What was read of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request.
    Whole(Request),
    /// More must come.
    Partial,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Of what.
    pub target: String,
    /// To be repeated in the answer.
    pub cseq: u32,
    /// The `Host` header, empty if there is none.
    pub host: String,
    /// SDP of an ANNOUNCE.
    pub body: String,
}

impl Request {
    /// Reads plain text, as sent or after it was opened.
    ///
    /// # Errors
    /// [`RtspError`]: close the connection.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, RtspError> {
        let limited = bytes.get(..MAX_MESSAGE.min(bytes.len())).unwrap_or_default();
        let Some(end) = limited.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() >= MAX_MESSAGE { Err(RtspError::TooLong) } else { Ok(Parsed::Partial) };
        };
        let (head, body) = limited.split_at(end);
        let head = std::str::from_utf8(head).map_err(|_| RtspError::RequestLine)?;
        let mut lines = head.split("\r\n");
        let (method, target) = request_line(lines.next().unwrap_or_default())?;
        let headers = Headers::read(lines)?;
        let body = body.get(4..).unwrap_or_default();
        if headers.body_len > MAX_MESSAGE - (end + 4).min(MAX_MESSAGE) {
            return Err(RtspError::TooLong);
        }
        let Some(body) = body.get(..headers.body_len) else {
            return Ok(Parsed::Partial);
        };
        Ok(Parsed::Whole(Self {
            method,
            target,
            cseq: headers.cseq.ok_or(RtspError::CSeq)?,
            host: headers.host,
            body: String::from_utf8_lossy(body).into_owned(),
        }))
    }
}

#[derive(Default)]
struct Headers {
    cseq: Option<u32>,
    host: String,
    body_len: usize,
}

impl Headers {
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Self, RtspError> {
        let mut headers = Self::default();
        for (line, count) in lines.zip(1..) {
            let (name, value) = line.split_once(':').ok_or(RtspError::Header)?;
            let value = value.trim();
            if count > MAX_HEADERS || name.is_empty() || name.contains(' ') {
                return Err(RtspError::Header);
            }
            match name.to_ascii_lowercase().as_str() {
                "cseq" => headers.cseq = Some(value.parse().map_err(|_| RtspError::CSeq)?),
                "host" => headers.host = value.to_owned(),
                "content-length" => headers.body_len = value.parse().map_err(|_| RtspError::Header)?,
                _ => {}
            }
        }
        Ok(headers)
    }
}

fn request_line(line: &str) -> Result<(Method, String), RtspError> {
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some("RTSP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(RtspError::RequestLine);
    };
    let method = match method {
        "OPTIONS" => Method::Options,
        "DESCRIBE" => Method::Describe,
        "SETUP" => Method::Setup,
        "ANNOUNCE" => Method::Announce,
        "PLAY" => Method::Play,
        _ => return Err(RtspError::Method),
    };
    Ok((method, target.to_owned()))
}

/// An answer: status, `CSeq`, headers, payload.
pub(super) fn answer(
    status: u16,
    reason: &str,
    cseq: u32,
    headers: &[(&str, String)],
    payload: &str,
) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("RTSP/1.0 {status} {reason}\r\nCSeq: {cseq}\r\n{headers}\r\n{payload}").into_bytes()
}
