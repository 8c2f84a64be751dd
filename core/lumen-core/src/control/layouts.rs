//! The longer messages' fields.

use super::MalformedMessage;
use super::fields::{Reader, Writer};
use super::messages::{Codec, Launch, Launched, MAX_CODECS, MAX_NAME_LEN, Mode, SessionId, Stats};
use super::microphone::Microphone;
use crate::wire::ChannelId;

impl Mode {
    /// width u32 ‖ height u32 ‖ refresh_mhz u32
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.u32(self.width).u32(self.height).u32(self.refresh_mhz);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self { width: from.u32()?, height: from.u32()?, refresh_mhz: from.u32()? })
    }
}

impl Launch {
    /// mode ‖ bitrate_bps u32 ‖ parity_percent u16 ‖ datagram_len u16 ‖ has_app flag ‖ app text, if so ‖ codecs: count u8 ‖ u8 each ‖
    /// separate pointer flag ‖ channels u8 ‖ has_microphone flag
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        self.mode.write(to);
        to.u32(self.bitrate_bps)
            .u16(self.parity_percent)
            .u16(self.datagram_len)
            .u8(self.app.is_some().into());
        if let Some(app) = &self.app {
            to.text(app, MAX_NAME_LEN);
        }
        let codecs = self.codecs.get(..self.codecs.len().min(MAX_CODECS.into())).unwrap_or_default();
        to.u8(codecs.len() as u8);
        for codec in codecs {
            to.u8(*codec as u8);
        }
        to.u8(self.is_pointer_separate.into()).u8(self.channels).u8(self.has_microphone.into());
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self {
            mode: Mode::read(from)?,
            bitrate_bps: from.u32()?,
            parity_percent: from.u16()?,
            datagram_len: from.u16()?,
            app: if from.flag()? { Some(from.text(MAX_NAME_LEN)?) } else { None },
            codecs: read_codecs(from)?,
            is_pointer_separate: from.flag()?,
            // Clients of before there was sound end here.
            channels: if from.0.is_empty() { 0 } else { from.u8()? },
            // And those of before there were microphones here.
            has_microphone: !from.0.is_empty() && from.flag()?,
        })
    }
}

fn read_codecs(from: &mut Reader<'_>) -> Result<Vec<Codec>, MalformedMessage> {
    let got = from.u8()?;
    if got > MAX_CODECS {
        return Err(MalformedMessage::ListLen { got, limit: MAX_CODECS });
    }
    Ok(from.slice(got.into())?.iter().filter_map(|code| Codec::from_code(*code)).collect())
}

impl Launched {
    /// session 16 ‖ channel u32 ‖ video_port u16 ‖ mode ‖ codec u8 ‖ next_frame u64 ‖ microphone u8
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.bytes(&self.session.0).u32(self.channel.0).u16(self.video_port);
        self.mode.write(to);
        to.u8(self.codec as u8).u64(self.next_frame).u8(self.microphone.code());
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self {
            session: SessionId(from.array()?),
            channel: ChannelId(from.u32()?),
            video_port: from.u16()?,
            mode: Mode::read(from)?,
            codec: from.u8().and_then(|got| Codec::from_code(got).ok_or(MalformedMessage::Codec { got }))?,
            next_frame: from.u64()?,
            // Hosts of before there were microphones end here.
            microphone: if from.0.is_empty() { Microphone::None } else { Microphone::from_code(from.u8()?) },
        })
    }
}

impl Stats {
    /// frames u64 ‖ lost_frames u64 ‖ recovered_frames u64 ‖ datagrams u64 ‖ forged u64 ‖ rtt_us u32
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        to.u64(self.frames).u64(self.lost_frames).u64(self.recovered_frames);
        to.u64(self.datagrams).u64(self.forged).u32(self.rtt_us);
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, MalformedMessage> {
        Ok(Self {
            frames: from.u64()?,
            lost_frames: from.u64()?,
            recovered_frames: from.u64()?,
            datagrams: from.u64()?,
            forged: from.u64()?,
            rtt_us: from.u32()?,
        })
    }
}
