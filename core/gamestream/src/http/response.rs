//! What goes back over a connection, which is then closed.

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// What follows the head.
    pub body: Vec<u8>,
}

impl Response {
    /// XML.
    pub(super) fn xml(body: String) -> Self {
        Self { status: 200, content_type: "application/xml; charset=utf-8", body: body.into_bytes() }
    }

    /// The picture of an app.
    pub fn png(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "image/png", body }
    }

    /// Head and body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            505 => "HTTP Version Not Supported",
            _ => "Bad Request",
        };
        let (status, kind, len) = (self.status, self.content_type, self.body.len());
        let head = format!(
            "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
        );
        [head.into_bytes(), self.body.clone()].concat()
    }
}
