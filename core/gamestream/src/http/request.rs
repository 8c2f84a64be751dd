//! A strict reader of one request's head.

use std::str::Utf8Error;

/// Because the longest request, phase 1 of pairing, has a certificate of at most 8 KiB in hexadecimal digits.
pub const MAX_HEAD: usize = 20 << 10;
/// Because clients send four headers.
const MAX_HEADERS: usize = 32;
/// Because a launch has about twenty.
const MAX_FIELDS: usize = 64;

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No end within [`MAX_HEAD`].
    #[error("the request's head has more than {MAX_HEAD} bytes")]
    TooLong,
    /// The first line is not `GET /… HTTP/1.1`.
    #[error("the request line is malformed")]
    RequestLine,
    /// Another method than GET.
    #[error("only GET is answered here")]
    Method,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("only HTTP/1.1 is spoken here")]
    Version,
    /// A line that is no header, or too many.
    #[error("a header is malformed, or there are more than {MAX_HEADERS}")]
    Header,
    /// A body is announced.
    #[error("no body is taken here")]
    Body,
    /// The query is malformed.
    #[error(
        "the query is malformed: percent signs must be followed by two digits, and the text must be UTF-8"
    )]
    Query,
}

impl RequestError {
    /// The HTTP status that says it.
    pub fn status(self) -> u16 {
        match self {
            Self::TooLong => 431,
            Self::Method => 405,
            Self::Version => 505,
            _ => 400,
        }
    }
}

/// Why a field of the query is not usable. Clients are shown this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// It is not there.
    #[error("the request has no {name}. Update the client")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// It is there twice, and nobody can say which counts.
    #[error("the request has {name} twice. Update the client")]
    Twice {
        /// Its name.
        name: &'static str,
    },
    /// Its value is no such thing.
    #[error("{name} must be {must}, and is not. Update the client")]
    Malformed {
        /// Its name.
        name: &'static str,
        /// What it should be.
        must: &'static str,
    },
    /// Its value is out of what this host takes.
    #[error("{name} is {got}; this host takes {takes}. Choose that in the client's settings")]
    OutOfRange {
        /// Its name.
        name: &'static str,
        /// What it is.
        got: String,
        /// The limits.
        takes: &'static str,
    },
}

/// The fields after the question mark, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `name=value&…`.
    ///
    /// # Errors
    /// [`RequestError::Query`].
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let mut fields = Vec::new();
        for field in text.split('&').filter(|field| !field.is_empty()) {
            if fields.len() == MAX_FIELDS {
                return Err(RequestError::Query);
            }
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            fields.push((decode(name)?, decode(value)?));
        }
        Ok(Self(fields))
    }

    /// The value of a field that may be absent.
    ///
    /// # Errors
    /// [`QueryError::Twice`].
    pub fn get(&self, name: &'static str) -> Result<Option<&str>, QueryError> {
        let mut values = self.0.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str());
        let value = values.next();
        if values.next().is_some() { Err(QueryError::Twice { name }) } else { Ok(value) }
    }

    /// The value of a field that must be there.
    ///
    /// # Errors
    /// [`QueryError::Missing`], [`QueryError::Twice`].
    pub fn need(&self, name: &'static str) -> Result<&str, QueryError> {
        self.get(name)?.ok_or(QueryError::Missing { name })
    }
}

/// Undoes percent signs. A plus stays one: these are no forms.
fn decode(text: &str) -> Result<String, RequestError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit =
            |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).ok_or(RequestError::Query);
        bytes.push(match byte {
            b'%' => (digit(rest.next())? << 4 | digit(rest.next())?) as u8,
            byte => byte,
        });
    }
    String::from_utf8(bytes).map_err(|_| RequestError::Query)
}

/// What was read of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request. What follows it on the connection is not read.
    Whole(Request),
    /// More must come.
    Partial,
}

/// One GET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// As written, without the query.
    pub path: String,
    /// The query.
    pub query: Query,
}

impl Request {
    /// Reads what a connection has sent so far.
    ///
    /// # Errors
    /// [`RequestError`]: answer with its status and close.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, RequestError> {
        let limited = bytes.get(..MAX_HEAD.min(bytes.len())).unwrap_or_default();
        let Some(end) = limited.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() >= MAX_HEAD { Err(RequestError::TooLong) } else { Ok(Parsed::Partial) };
        };
        let head = limited.get(..end).unwrap_or_default();
        let text = std::str::from_utf8(head).map_err(|_: Utf8Error| RequestError::RequestLine)?;
        let mut lines = text.split("\r\n");
        let request = Self::request_line(lines.next().unwrap_or_default())?;
        let mut count = 0;
        for line in lines {
            count += 1;
            if count > MAX_HEADERS {
                return Err(RequestError::Header);
            }
            header(line)?;
        }
        Ok(Parsed::Whole(request))
    }

    fn request_line(line: &str) -> Result<Self, RequestError> {
        let mut words = line.split(' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(RequestError::RequestLine);
        };
        if method != "GET" {
            return Err(RequestError::Method);
        }
        if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
            return Err(RequestError::Version);
        }
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RequestError::RequestLine);
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Self { path: path.to_owned(), query: Query::parse(query)? })
    }
}

/// Checks one header; none of them changes an answer.
fn header(line: &str) -> Result<(), RequestError> {
    let (name, value) = line.split_once(':').ok_or(RequestError::Header)?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) || value.bytes().any(|byte| byte < 32 && byte != b'\t')
    {
        return Err(RequestError::Header);
    }
    let announces_body = name.eq_ignore_ascii_case("transfer-encoding")
        || name.eq_ignore_ascii_case("content-length") && value.trim() != "0";
    if announces_body { Err(RequestError::Body) } else { Ok(()) }
}
