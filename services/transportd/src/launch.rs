//! What a client launches: checked before any stage is asked, so that what can never be costs nothing.

use lumen_core::{
    PacketiserConfig,
    control::{self, Codec, Launch, RefusalClass, Refused},
};
use lumen_ipc::{
    Failure, FailureClass, Mode,
    bus::{SeatSpec, StreamSpec},
};

/// Fewest bits a second that a client may ask for: less cannot carry a legible picture of the smallest mode.
pub const MIN_BITRATE: u32 = 100_000;

/// Most: a Gbit/s, the fastest wire most clients have.
pub const MAX_BITRATE: u32 = 1_000_000_000;

/// [`StreamSpec::cursor`] of a client that draws the pointer itself.
pub const SEPARATE: &str = "separate";

/// What a session is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// For encoded.
    pub stream: StreamSpec,
    /// For inputd.
    pub seat: SeatSpec,
    /// How frames are cut.
    pub cut: PacketiserConfig,
}

/// What a launch asks for, if it can be served at all.
///
/// # Errors
/// The answer for the client.
pub fn check(launch: &Launch) -> Result<Request, Refused> {
    let mode = check_mode(launch.mode)?;
    if !(MIN_BITRATE..=MAX_BITRATE).contains(&launch.bitrate_bps) {
        let text = format!("A bitrate of {} bit/s cannot be streamed.", launch.bitrate_bps);
        return Err(refuse(RefusalClass::Mode, text, "Ask for 100 kbit/s to 1 Gbit/s."));
    }
    if !launch.codecs.contains(&Codec::H264) {
        let text = "This host encodes H.264 only, which the client does not decode.".to_owned();
        return Err(refuse(RefusalClass::Codec, text, "Use a client that decodes H.264."));
    }
    if !matches!(launch.channels, 0 | 2 | 6 | 8) {
        let text = format!("{} channels of sound cannot be streamed.", launch.channels);
        return Err(refuse(RefusalClass::Mode, text, "Ask for 2, 6 or 8, or for none."));
    }
    let cut =
        PacketiserConfig { datagram_len: launch.datagram_len.into(), parity_percent: launch.parity_percent };
    lumen_core::Packetiser::new(cut).map_err(|error| {
        refuse(RefusalClass::Mode, sentence(&error.to_string()), "Ask for what is allowed.")
    })?;
    Ok(Request {
        stream: StreamSpec {
            width: mode.width,
            height: mode.height,
            refresh_mhz: mode.refresh_mhz,
            app: launch.app.clone(),
            cursor: launch.is_pointer_separate.then(|| SEPARATE.to_owned()),
            repeat_mhz: None,
            references: None,
            channels: (launch.channels > 0).then_some(launch.channels.into()),
            microphone: None,
            codec: "h264".into(),
            bitrate_bps: launch.bitrate_bps,
        },
        seat: SeatSpec { width: mode.width, height: mode.height },
        cut,
    })
}

/// A mode that a client asks for, if it can be streamed at all.
///
/// # Errors
/// The answer for the client.
pub fn check_mode(mode: control::Mode) -> Result<Mode, Refused> {
    let control::Mode { width, height, refresh_mhz } = mode;
    Mode { width, height, refresh_mhz }.check().map_err(|error| {
        refuse(RefusalClass::Mode, sentence(&error.to_string()), "Ask for another mode, like 1280x720@60.")
    })
}

/// A mode in the words of the protocol.
pub fn told(mode: Mode) -> control::Mode {
    control::Mode { width: mode.width, height: mode.height, refresh_mhz: mode.refresh_mhz }
}

fn refuse(class: RefusalClass, text: String, advice: &str) -> Refused {
    Refused { class, text, advice: advice.to_owned() }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

/// A failure of a stage, in the words of the protocol.
pub fn refusal(failure: Failure, has_app: bool) -> Refused {
    let class = match failure.class {
        FailureClass::Request if has_app => RefusalClass::App,
        FailureClass::Request => RefusalClass::Mode,
        FailureClass::Environment
        | FailureClass::Temporary
        | FailureClass::Internal
        | FailureClass::Locked => RefusalClass::Backend,
    };
    Refused { class, text: failure.text, advice: failure.advice }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A launch of a mode (pixels, pixels, mHz).
    pub fn launch(mode: (u32, u32, u32)) -> Launch {
        Launch {
            mode: lumen_core::control::Mode { width: mode.0, height: mode.1, refresh_mhz: mode.2 },
            bitrate_bps: 10_000_000,
            parity_percent: 20,
            datagram_len: 1400,
            app: None,
            codecs: vec![Codec::H264],
            is_pointer_separate: false,
            channels: 0,
            has_microphone: false,
        }
    }

    /// Sabotage: pass any mode on to encoded.
    #[test]
    fn what_can_never_be_streamed_is_refused_with_advice() {
        for mode in [(0, 0, 60_000), (1, 1, 60_000), (20_000, 20_000, 60_000), (1280, 720, 0)] {
            let refused = check(&launch(mode)).unwrap_err();
            assert_eq!(refused.class, RefusalClass::Mode, "{mode:?}");
            assert!(refused.advice.contains("1280x720@60"), "{refused:?}");
        }
        let mut odd = launch((1280, 720, 60_000));
        odd.channels = 3;
        assert_eq!(check(&odd).unwrap_err().class, RefusalClass::Mode);
        odd.channels = 6;
        assert_eq!(check(&odd).unwrap().stream.channels, Some(6));
        odd.parity_percent = 201;
        assert_eq!(check(&odd).unwrap_err().class, RefusalClass::Mode);
        odd.codecs = vec![Codec::Av1];
        assert_eq!(check(&odd).unwrap_err().class, RefusalClass::Codec);
        odd.bitrate_bps = 0;
        assert_eq!(check(&odd).unwrap_err().class, RefusalClass::Mode);
    }
}
