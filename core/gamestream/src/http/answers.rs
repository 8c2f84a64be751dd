//! What a host answers to each [`Call`](super::Call).

use super::request::RequestError;
use super::response::Response;
use super::xml::Document;
use crate::hex;
use crate::pairing::Answer;
use std::net::{IpAddr, Ipv4Addr};

/// The version of GameStream that clients take this host for. The facts of docs/gamestream.md hold for this number only.
pub const APP_VERSION: &str = "7.1.431.-1";
/// A version of NVIDIA's software that clients accept.
const GFE_VERSION: &str = "3.23.0.74";

/// What the encoders that are really there can make, in the bits that clients know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Codecs(u32);

impl Codecs {
    /// 8-bit 4:2:0 H.264.
    pub const H264: Self = Self(0x1);
    /// 8-bit HEVC.
    pub const HEVC: Self = Self(0x100);
    /// 10-bit HEVC.
    pub const HEVC_MAIN10: Self = Self(0x200);
    /// 8-bit AV1.
    pub const AV1: Self = Self(0x1_0000);
    /// 10-bit AV1.
    pub const AV1_MAIN10: Self = Self(0x2_0000);

    /// Both.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What differs between those who ask for `/serverinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Over plain HTTP, whoever it is.
    Anyone,
    /// A Client over TLS.
    Client {
        /// The network card's address, for waking the host.
        mac: [u8; 6],
        /// The app of this client's own session.
        current_app: Option<i32>,
    },
}

/// What `/serverinfo` says.
#[derive(Clone, Copy, Debug)]
pub struct ServerInfo<'a> {
    /// What people call the host, shown in the client's list.
    pub name: &'a str,
    /// What the host stays known by in that list, whatever its name.
    pub unique_id: &'a str,
    /// Where TLS is spoken.
    pub https_port: u16,
    /// Where plain HTTP is spoken.
    pub http_port: u16,
    /// The address the request came to.
    pub local: IpAddr,
    /// Offered; H.264 at least.
    pub codecs: Codecs,
    /// Who asks.
    pub asker: Asker,
}

impl ServerInfo<'_> {
    /// The answer. What anyone gets has at most 512 bytes while name and id have at most 63 and 16.
    pub fn response(&self) -> Response {
        let (mac, app, paired) = match self.asker {
            Asker::Anyone => ([0; 6], None, 0),
            Asker::Client { mac, current_app } => (mac, current_app, 1),
        };
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        // Clients discard addresses of 127/8, which is what they shall do when the request came over IPv6.
        let local = if self.local.is_ipv4() { self.local } else { Ipv4Addr::LOCALHOST.into() };
        let hevc = self.codecs.has(Codecs::HEVC);
        let document = Document::ok()
            .element("hostname", self.name)
            .element("appversion", APP_VERSION)
            .element("GfeVersion", GFE_VERSION)
            .element("uniqueid", self.unique_id)
            .element("HttpsPort", self.https_port)
            .element("ExternalPort", self.http_port)
            .element("mac", mac)
            .element("LocalIP", local)
            .element("ServerCodecModeSupport", self.codecs.0)
            .element("PairStatus", paired);
        // Not for strangers, because their bytes are counted, and clients read it of a paired host.
        let document = match self.asker {
            Asker::Anyone => document,
            Asker::Client { .. } => {
                document.element("MaxLumaPixelsHEVC", if hevc { 1_869_449_984 } else { 0 })
            }
        };
        // Clients look for the ending, and mind the app only with it; moonlight-embedded reads no answer that lacks it.
        let state = if app.is_some() { "LUMEN_SERVER_BUSY" } else { "LUMEN_SERVER_FREE" };
        let document = document.element("currentgame", app.unwrap_or(0)).element("state", state);
        Response::xml(document.finish())
    }
}

/// An app that can be launched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// Never 0, and the same for as long as the app is configured.
    pub id: i32,
    /// What people call it.
    pub title: String,
    /// Whether it can be shown in HDR.
    pub hdr: bool,
}

/// `/applist`
pub fn app_list(apps: &[App]) -> Response {
    let document = apps.iter().fold(Document::ok(), |document, app| {
        document.nested("App", |inner| {
            inner
                .element("IsHdrSupported", u8::from(app.hdr))
                .element("AppTitle", &app.title)
                .element("ID", app.id)
        })
    });
    Response::xml(document.finish())
}

/// Where RTSP of a session is spoken, sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionUrl {
    /// The address the request came to.
    pub local: IpAddr,
    /// The port of RTSP.
    pub port: u16,
}

impl SessionUrl {
    fn text(self) -> String {
        match self.local {
            IpAddr::V4(address) => format!("rtspenc://{address}:{}", self.port),
            IpAddr::V6(address) => format!("rtspenc://[{address}]:{}", self.port),
        }
    }
}

/// `/launch`, done.
pub fn launched(url: SessionUrl) -> Response {
    Response::xml(Document::ok().element("sessionUrl0", url.text()).element("gamesession", 1).finish())
}

/// `/resume`, done.
pub fn resumed(url: SessionUrl) -> Response {
    Response::xml(Document::ok().element("sessionUrl0", url.text()).element("resume", 1).finish())
}

/// `/cancel`, done.
pub fn cancelled() -> Response {
    Response::xml(Document::ok().element("cancel", 1).finish())
}

/// `/unpair`, done.
pub fn unpaired() -> Response {
    Response::xml(Document::ok().finish())
}

/// `/pair`, phases 1 to 4. Clients read `paired` when all went well, and show the message when it did not.
pub fn pair(answer: &Answer) -> Response {
    let paired = Document::ok().element("paired", 1);
    Response::xml(match answer {
        Answer::PlainCert(pem) => paired.element("plaincert", hex::encode(pem.as_bytes())).finish(),
        Answer::ChallengeResponse(bytes) => paired.element("challengeresponse", hex::encode(bytes)).finish(),
        Answer::PairingSecret(bytes) => paired.element("pairingsecret", hex::encode(bytes)).finish(),
        Answer::Paired => paired.finish(),
        Answer::Failed(error) => {
            let message = format!("Pairing failed: {error}.");
            Document::failure(400, &message, "/pair").element("paired", 0).finish()
        }
    })
}

/// `/pair`, phase 5: TLS has shown the Client's certificate.
pub fn pair_challenge() -> Response {
    Response::xml(Document::ok().element("paired", 1).finish())
}

/// What could not be done, for a person: `what` says what happened, why, and what to try.
pub fn failed(status: u16, what: &str, path: &str) -> Response {
    Response::xml(Document::failure(status, what, path).finish())
}

/// What was no request at all.
pub fn malformed(error: RequestError) -> Response {
    let status = error.status();
    let body = Document::failure(status, &error.to_string(), "").finish();
    Response { status, ..Response::xml(body) }
}
