//! The fields of control messages: little-endian integers, strings and lists with their length before them.

use super::MalformedMessage;

/// Appends fields to a message.
pub(super) struct Writer<'a>(pub &'a mut Vec<u8>);

impl Writer<'_> {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn i32(&mut self, value: i32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    /// Length u16 ‖ UTF-8, cut at the last whole character that fits into `limit` bytes.
    pub fn text(&mut self, value: &str, limit: u16) -> &mut Self {
        let mut end = value.len().min(limit.into());
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        self.u16(end as u16).bytes(value.as_bytes().get(..end).unwrap_or_default())
    }
}

/// Takes fields off a message. Bytes it leaves are a later version's.
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedMessage> {
        let (array, rest) = self.0.split_first_chunk().ok_or(MalformedMessage::Short)?;
        self.0 = rest;
        Ok(*array)
    }

    pub fn u8(&mut self) -> Result<u8, MalformedMessage> {
        self.array().map(|[byte]| byte)
    }

    pub fn flag(&mut self) -> Result<bool, MalformedMessage> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(MalformedMessage::Flag { got }),
        }
    }

    pub fn u16(&mut self) -> Result<u16, MalformedMessage> {
        self.array().map(u16::from_le_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, MalformedMessage> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, MalformedMessage> {
        self.array().map(i32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, MalformedMessage> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn slice(&mut self, len: usize) -> Result<&'a [u8], MalformedMessage> {
        let (slice, rest) = self.0.split_at_checked(len).ok_or(MalformedMessage::Short)?;
        self.0 = rest;
        Ok(slice)
    }

    pub fn text(&mut self, limit: u16) -> Result<String, MalformedMessage> {
        let len = self.u16()?;
        if len > limit {
            return Err(MalformedMessage::TextLen { got: len, limit });
        }
        let bytes = self.slice(len.into())?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| MalformedMessage::Utf8)
    }
}
