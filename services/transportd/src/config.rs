//! `transportd.toml`: every key has a default, and every limit a unit.

use std::{net::SocketAddr, time::Duration};

use lumen_stage::config::Span;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IntoDeserializer as _},
};

use crate::gamestream::config::Settings;

/// Where lumen listens until it is told otherwise: this machine alone can reach it.
const LISTEN: &str = "127.0.0.1:47777";

/// How [`Keep`] is written where nothing but the administrator ends it.
const UNTIL_RELEASED: &str = "until-released";

/// What an administrator may set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and UDP port of the QUIC control: `"127.0.0.1:47777"`, or `"[::]:47777"` for every network.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// UDP port of the video, on the same address.
    pub video_port: u16,
    /// What clients call this host; the machine's name if it is not set.
    pub name: Option<String>,
    /// Within which a client must have finished its handshake.
    pub handshake: Span,
    /// After which a silent client's connection counts as lost.
    pub idle: Span,
    /// How long video goes on for a client whose connection was lost.
    pub resume: Span,
    /// How long the Output and all else of such a client is kept for it.
    pub keep: Keep,
    /// Whether clients of lumen/1 may bring a microphone: programs hear it from a source of the session.
    pub microphone: bool,
    /// Stock Moonlight clients.
    pub gamestream: Settings,
}

/// A span of time, or `"until-released"`: until `lumenctl end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep(pub Duration);

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == UNTIL_RELEASED {
            return Ok(Self(Duration::MAX));
        }
        let span = Span::deserialize(text.into_deserializer());
        span.map(|span| Self(span.0)).map_err(|error: serde::de::value::Error| {
            D::Error::custom(format!("{error}, or {UNTIL_RELEASED:?}"))
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: LISTEN.parse().expect("it is an address and a port"),
            video_port: 47778,
            name: None,
            handshake: Span(Duration::from_secs(10)),
            idle: Span(Duration::from_secs(10)),
            resume: Span(Duration::from_secs(10)),
            keep: Keep(Duration::from_secs(10)),
            microphone: false,
            gamestream: Settings::default(),
        }
    }
}

impl Config {
    /// Where the video socket is bound.
    pub fn video(&self) -> SocketAddr {
        SocketAddr::new(self.listen.ip(), self.video_port)
    }

    /// What clients call this host.
    pub fn host_name(&self) -> String {
        self.name.clone().unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format!(
            "{text:?} is not accepted: write an IP address and a port, like {LISTEN:?}, or \"[::]:47777\" for every network"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_stage::config::load;

    #[test]
    fn by_default_only_this_machine_reaches_it() {
        let config: Config = load(&[], &[]).unwrap();
        assert!(config.listen.ip().is_loopback() && config.video().ip().is_loopback());
        assert_ne!(config.listen.port(), config.video_port);
        assert!(!config.microphone, "nor does anybody talk into it");
    }

    #[test]
    fn a_session_is_kept_for_a_time_or_until_it_is_released() {
        let keep = |text: &str| load::<Config>(&[], &[format!("keep={text}")]).map(|config| config.keep.0);
        assert_eq!(load::<Config>(&[], &[]).unwrap().keep.0, Duration::from_secs(10));
        assert_eq!(keep("5 min").unwrap(), Duration::from_secs(300));
        assert_eq!(keep("until-released").unwrap(), Duration::MAX);
        let error = keep("for ever").unwrap_err().to_string();
        assert!(error.contains("ms, s, min") && error.contains("until-released"), "{error}");
    }

    #[test]
    fn a_wrong_address_is_told_with_what_is_accepted() {
        let error = load::<Config>(&[], &["listen=everywhere".into()]).unwrap_err().to_string();
        assert!(error.contains("127.0.0.1:47777"), "{error}");
        let error = load::<Config>(&[], &["port=1".into()]).unwrap_err().to_string();
        assert!(error.contains("video_port"), "{error}");
    }
}
