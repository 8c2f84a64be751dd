//! What a client says.

use super::seal::ControlError;
use crate::fields::Fields;
use crate::input::Event;

/// What became of a frame at the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FecStatus {
    /// The frame.
    pub frame: u32,
    /// The highest sequence number of its block that came.
    pub highest: u16,
    /// The first that did not.
    pub next_contiguous: u16,
    /// Shards missing below the highest.
    pub missing_before_highest: u16,
    /// Shards of the block.
    pub data: u16,
    /// Parity shards of the block.
    pub parity: u16,
    /// Shards that came.
    pub received_data: u16,
    /// Parity shards that came.
    pub received_parity: u16,
    /// Parity in percent, as the block said.
    pub percent: u8,
    /// The block.
    pub block: u8,
    /// Blocks of the frame.
    pub blocks: u8,
}

/// What clients of before 7.1.415 report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LossStats {
    /// Frames lost since the last report.
    pub lost: u32,
    /// How long that is.
    pub period_ms: u32,
    /// The newest frame that came whole.
    pub last_good_frame: u32,
}

/// A message of the client.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// The next frame shall be an IDR. Also the first thing a client says.
    RequestIdr,
    /// The client is set up.
    Start,
    /// These frames did not come whole: no later one may refer to them.
    InvalidateReferences {
        /// The first.
        first: u32,
        /// The last, not before the first.
        last: u32,
    },
    /// A frame marked as a long-term reference came whole.
    LongTermReference {
        /// The frame.
        frame: u32,
    },
    /// The client lives.
    Ping,
    /// What became of a frame.
    Fec(FecStatus),
    /// What became of the last frames.
    Loss(LossStats),
    /// A person did something.
    Input(Event),
    /// A type that this host does not know; it is ignored.
    Unknown {
        /// The type.
        kind: u16,
    },
}

impl Incoming {
    /// Reads the payload of a message of `kind`.
    ///
    /// # Errors
    /// [`ControlError::Payload`], [`ControlError::Range`], [`ControlError::Input`].
    pub fn parse(kind: u16, payload: &[u8]) -> Result<Self, ControlError> {
        let short = ControlError::Payload { kind, got: payload.len() };
        Ok(match kind {
            0x0302 => Self::RequestIdr,
            0x0307 => Self::Start,
            0x0301 => return invalidate(Fields(payload)).ok_or(short)?,
            0x0350 => Self::LongTermReference { frame: Fields(payload).u32().ok_or(short)? },
            0x0200 => Self::Ping,
            0x0201 => Self::Loss(loss(Fields(payload)).ok_or(short)?),
            0x5502 => Self::Fec(fec_status(Fields(payload)).ok_or(short)?),
            0x0206 => Self::Input(Event::parse(payload)?),
            kind => Self::Unknown { kind },
        })
    }
}

/// u32 first ‖ u32 0 ‖ u32 last ‖ 3 × u32 0, little-endian.
fn invalidate(mut fields: Fields<'_>) -> Option<Result<Incoming, ControlError>> {
    let (first, _, last, _) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
    // Numbers wrap: a range is what is less than half the circle long.
    Some(if last.wrapping_sub(first) < 1 << 31 {
        Ok(Incoming::InvalidateReferences { first, last })
    } else {
        Err(ControlError::Range { first, last })
    })
}

/// 8 × u32 little-endian, of which three are known.
fn loss(mut fields: Fields<'_>) -> Option<LossStats> {
    let (lost, period_ms, _, last_good_frame) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
    fields.bytes(16).map(|_| LossStats { lost, period_ms, last_good_frame })
}

/// Big-endian, 21 bytes.
fn fec_status(mut fields: Fields<'_>) -> Option<FecStatus> {
    Some(FecStatus {
        frame: fields.u32_be()?,
        highest: fields.u16_be()?,
        next_contiguous: fields.u16_be()?,
        missing_before_highest: fields.u16_be()?,
        data: fields.u16_be()?,
        parity: fields.u16_be()?,
        received_data: fields.u16_be()?,
        received_parity: fields.u16_be()?,
        percent: fields.u8()?,
        block: fields.u8()?,
        blocks: fields.u8()?,
    })
}
