//! `[gamestream]` of `transportd.toml`.

use std::net::{IpAddr, Ipv6Addr};

use serde::Deserialize;

/// What an administrator may set of GameStream.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether Moonlight is served at all.
    pub enabled: bool,
    /// Where it is: `"::"` is every network, IPv4 as well.
    pub address: IpAddr,
    /// TCP port of plain HTTP, which clients are told by hand or by mDNS. All others they learn from the host.
    pub http: u16,
    /// TCP port of HTTPS.
    pub https: u16,
    /// TCP port of RTSP.
    pub rtsp: u16,
    /// UDP port of video.
    pub video: u16,
    /// UDP port of control.
    pub control: u16,
    /// UDP port of audio.
    pub audio: u16,
    /// Whether clients find this host by mDNS.
    pub announce: bool,
    /// Whether video and sound are marked (DSCP) for clients that ask for it.
    pub dscp: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            // Because strangers reach only what says who the host is and what pairs.
            address: Ipv6Addr::UNSPECIFIED.into(),
            // Because these are what clients try when they are told nothing.
            http: 47989,
            https: 47984,
            rtsp: 48010,
            video: 47998,
            control: 47999,
            audio: 48000,
            announce: true,
            // Because clients ask at home alone, where networks sort by it and none drops what is marked.
            dscp: true,
        }
    }
}
