//! The command line. What cannot be right is refused here, before anything is connected.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Parser, Subcommand, builder::TypedValueParser as _};
use lumen_core::{
    DEFAULT_DATAGRAM_LEN,
    control::{self, Codec, Launch},
    trust::Fingerprint,
};

use crate::{change::Change, mouth::Voice};

/// Stream a desktop from a lumen host and judge what arrives.
///
/// Exit status: 0 pictures came; 1 no picture came; 2 wrong usage; 3 host not reachable; 4 the host is not the one that is
/// trusted; 5 the host does not allow this client; 6 the host refused the launch; 7 the session broke off; 8 a local file
/// could not be read or written.
#[derive(Debug, Parser)]
#[command(name = "lumen-probe", version)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub stream: StreamArgs,
    /// Directory of this client's identity; made when missing
    #[arg(long, global = true, value_name = "DIR")]
    pub identity: Option<PathBuf>,
}

/// Something other than streaming.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print this client's fingerprint, for `lumenctl allow` on the host
    Fingerprint,
}

/// What to stream, from where, how long, and what to leave behind.
#[derive(Debug, clap::Args)]
pub struct StreamArgs {
    /// The host's control address, IP and UDP port
    #[arg(long, default_value = "127.0.0.1:47777", value_name = "IP:PORT")]
    pub host: SocketAddr,
    /// Accept only the host with this SHA-256 fingerprint; without it, the first one seen at the address is remembered
    #[arg(long, value_name = "SHA256")]
    pub pin: Option<Fingerprint>,
    /// Where the hosts seen are remembered
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    /// Size and refresh rate
    #[arg(long, default_value = "1280x720@60", value_name = "WxH@HZ")]
    pub mode: Mode,
    /// Bits a second of video; k and M are understood
    #[arg(long, default_value = "10M", value_name = "BITS")]
    pub bitrate: Bitrate,
    /// Parity datagrams per hundred data datagrams
    #[arg(long, default_value_t = 20, value_name = "PERCENT", value_parser = clap::value_parser!(u16).range(0..=200))]
    pub parity: u16,
    /// The app to run on the host's desktop; without it, the host's own choice
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,
    /// Where the pointer is: in the picture, or told apart from it
    #[arg(long, value_enum, default_value_t)]
    pub cursor: Cursor,
    /// Channels of sound to ask for
    #[arg(long, default_value_t = 2, requires = "sound", value_parser = clap::builder::PossibleValuesParser::new(["2", "6", "8"]).map(|count| count.parse::<u8>().unwrap_or(2)))]
    pub channels: u8,
    /// Speak into the session's microphone: tone:HZ, or a WAV file of 16 bits at 48000 Hz, mono or stereo, which is played once
    #[arg(long, requires = "sound", value_name = "FILE|tone:HZ")]
    pub microphone: Option<Voice>,
    /// Stop so many seconds after the first picture
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = seconds)]
    pub seconds: Duration,
    /// Ask for another bitrate or mode so many seconds after the first picture, like 2:bitrate=2M or
    /// 4:mode=1920x1080@60; may be given more than once
    #[arg(long = "change", value_name = "AT:WHAT")]
    pub changes: Vec<Change>,
    /// Do what this file says at this client's keyboard, mouse and touch screen: lines of MILLISECONDS since the first picture and press
    /// CODE, release CODE, move DX DY, to X Y, scroll DX DY, text WHATEVER, touch FINGER X Y, lift FINGER or cancel touches. With -
    /// the standard input is read along, and the milliseconds are those after the line before, or after it came
    #[arg(long, value_name = "FILE")]
    pub script: Option<PathBuf>,
    /// When each of it was done: one line of nanoseconds (CLOCK_MONOTONIC)
    #[arg(long, value_name = "FILE", requires = "script")]
    pub acts_log: Option<PathBuf>,
    /// Stop after so many pictures, even if the seconds are not over
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub frames: Option<u64>,
    /// How long to wait for the first picture, from the launch on
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = seconds)]
    pub patience: Duration,
    /// Send video to this address in place of the host's (a proxy that loses datagrams)
    #[arg(long, value_name = "IP:PORT")]
    pub video: Option<SocketAddr>,
    #[command(flatten)]
    pub outputs: Outputs,
    /// The desktop shows lumen-stamp: read its numbers and judge each picture
    #[arg(long)]
    pub stamp: bool,
    /// Set this client's clock so many seconds ahead; the figures must not change
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub clock_offset: u32,
}

impl StreamArgs {
    /// What the host is asked for.
    pub fn launch(&self) -> Launch {
        Launch {
            mode: self.mode.into(),
            bitrate_bps: self.bitrate.0,
            parity_percent: self.parity,
            datagram_len: DEFAULT_DATAGRAM_LEN as u16,
            app: self.app.clone(),
            codecs: vec![Codec::H264],
            is_pointer_separate: self.cursor == Cursor::Separate,
            channels: if self.outputs.sound.is_some() { self.channels } else { 0 },
            has_microphone: self.microphone.is_some(),
        }
    }
}

/// Who draws the pointer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Cursor {
    /// The host, into the picture.
    #[default]
    Picture,
    /// The client: it is told the shape and each movement.
    Separate,
}

/// Files to leave behind.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Outputs {
    /// The last picture
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// The stream in an MP4 with true timestamps; kept in memory until the end
    #[arg(long, value_name = "FILE")]
    pub mp4: Option<PathBuf>,
    /// The stream as raw H.264
    #[arg(long, value_name = "FILE")]
    pub h264: Option<PathBuf>,
    /// The sound, as packets of Opus with the time when each came
    #[arg(long, value_name = "FILE")]
    pub sound: Option<PathBuf>,
    /// The summary as JSON; `-` is stdout, in place of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// One line of JSON per picture
    #[arg(long, value_name = "FILE")]
    pub frames_log: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// A size and a refresh rate as typed; whether it can be streamed is the host's to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Thousandths of a hertz.
    pub refresh_mhz: u32,
}

impl From<Mode> for control::Mode {
    fn from(mode: Mode) -> Self {
        Self { width: mode.width, height: mode.height, refresh_mhz: mode.refresh_mhz }
    }
}

/// Not a mode.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("write WIDTHxHEIGHT@HZ, like 1280x720@60 or 1920x1080@59.94")]
pub struct ModeSyntax;

impl FromStr for Mode {
    type Err = ModeSyntax;

    fn from_str(text: &str) -> Result<Self, ModeSyntax> {
        let (size, rate) = text.split_once('@').ok_or(ModeSyntax)?;
        let (width, height) = size.split_once('x').ok_or(ModeSyntax)?;
        let hertz: f64 = rate.parse().map_err(|_| ModeSyntax)?;
        if !(0.0..=1e6).contains(&hertz) {
            return Err(ModeSyntax);
        }
        Ok(Self {
            width: width.parse().map_err(|_| ModeSyntax)?,
            height: height.parse().map_err(|_| ModeSyntax)?,
            refresh_mhz: (hertz * 1000.0).round() as u32,
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}@{}", self.width, self.height, f64::from(self.refresh_mhz) / 1000.0)
    }
}

/// Bits a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bitrate(pub u32);

/// Not a bitrate.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("write bits a second, like 10M, 2500k or 8000000; at most 4294M")]
pub struct BitrateSyntax;

impl FromStr for Bitrate {
    type Err = BitrateSyntax;

    fn from_str(text: &str) -> Result<Self, BitrateSyntax> {
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'k') => (text.trim_end_matches('k'), 1e3),
            Some(b'M') => (text.trim_end_matches('M'), 1e6),
            _ => (text, 1.0),
        };
        let number: f64 = digits.parse().map_err(|_| BitrateSyntax)?;
        let bits = number * unit;
        if (0.0..=f64::from(u32::MAX)).contains(&bits) { Ok(Self(bits as u32)) } else { Err(BitrateSyntax) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Sabotage: let f64's parser take "nan", or drop the thousandths of the rate.
    #[test]
    fn modes_and_bitrates_are_read() {
        let mode = |w, h, mhz| Ok(Mode { width: w, height: h, refresh_mhz: mhz });
        assert_eq!("1280x720@60".parse(), mode(1280, 720, 60_000));
        assert_eq!("1920x1080@59.94".parse(), mode(1920, 1080, 59_940));
        assert_eq!("0x0@0".parse(), mode(0, 0, 0));
        for wrong in ["", "1280x720", "1280@60", "x@", "-1x720@60", "1280x720@nan", "1280x720@-60"] {
            assert_eq!(wrong.parse::<Mode>(), Err(ModeSyntax), "{wrong}");
        }
        assert_eq!("10M".parse(), Ok(Bitrate(10_000_000)));
        assert_eq!("2.5M".parse(), Ok(Bitrate(2_500_000)));
        assert_eq!("800k".parse(), Ok(Bitrate(800_000)));
        for wrong in ["", "M", "ten", "-1", "nan", "5000M"] {
            assert_eq!(wrong.parse::<Bitrate>(), Err(BitrateSyntax), "{wrong}");
        }
    }

    // Sabotage: parse the pin after connecting, as a plain string.
    #[test]
    fn a_malformed_pin_is_refused_before_anything_else() {
        let parse = |pin: &str| Args::try_parse_from(["lumen-probe", "--pin", pin]);
        assert!(parse(&"ab".repeat(32)).is_ok());
        for wrong in ["", "abcd", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
