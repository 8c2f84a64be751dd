//! What clients say on their video and audio ports: where they are.

use crate::fields::Fields;

/// A client's ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ping {
    /// What SETUP gave the client to say, [`Tokens::ping_payload`](crate::rtsp::Tokens::ping_payload).
    pub payload: [u8; 16],
    /// From 1.
    pub number: u32,
}

impl Ping {
    /// Reads a datagram. The four bytes `PING` that clients without session ids send are no ping: they prove nothing.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut fields = Fields(datagram);
        let ping = Self { payload: fields.array()?, number: fields.u32_be()? };
        fields.0.is_empty().then_some(ping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pings_that_name_their_session_are_read() {
        let datagram = *b"0123456789abcdef\0\0\x01\x02";
        assert_eq!(Ping::parse(&datagram), Some(Ping { payload: *b"0123456789abcdef", number: 0x102 }));
        for len in 0..20 {
            assert_eq!(Ping::parse(&datagram[..len]), None);
        }
        assert_eq!(Ping::parse(b"PING"), None);
        assert_eq!(Ping::parse(&[&datagram[..], b"x"].concat()), None);
    }
}
