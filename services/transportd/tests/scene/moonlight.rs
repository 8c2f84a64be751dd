//! A Moonlight client of a few hundred lines: RTSP, and the data shards of each frame.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use aws_lc_rs::aead::{Aad, Nonce};
use lumen_core::trust::Fingerprint;
use lumen_gamestream::{
    http::{LaunchQuery, Query, ResumeQuery, answers},
    keys::{SessionKey, Side},
    rtsp::seal,
};
use lumen_transportd::gamestream::streams::{App, Caller, Refused, Streams};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

pub use super::enet::Control;
use super::{
    Host,
    answer::{number, word},
    enet::cipher,
    fakes::Fakes,
};

pub fn caller(n: u8) -> Caller {
    Caller {
        fingerprint: Fingerprint::from_bytes([n; 32]),
        name: format!("client {n}"),
        local: "127.0.0.1:47984".parse().unwrap(),
        remote: IpAddr::from([127, 0, 0, 1]),
    }
}

pub fn app(id: i32, name: Option<&str>) -> App {
    App { listed: answers::App { id, title: "App".into(), hdr: false }, name: name.map(str::to_owned) }
}

fn query(key: [u8; 16], rest: &str) -> Query {
    let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    Query::parse(&format!("rikey={key}&rikeyid=-7&corever=1{rest}")).unwrap()
}

/// What this client is, and how far it is.
pub struct Moonlight {
    pub key: [u8; 16],
    /// Whether ANNOUNCE asks for a DSCP.
    pub asks_dscp: bool,
    rtsp: SocketAddr,
    number: u32,
    /// Of RTSP's SETUP.
    video: (u16, String),
    control: (u16, u32),
}

/// What ANNOUNCE chooses.
#[derive(Clone, Copy)]
pub struct Choice {
    pub packet_size: u16,
    pub is_sealed: bool,
}

pub const PLAIN: Choice = Choice { packet_size: 1024, is_sealed: false };

impl Moonlight {
    /// `/launch`.
    pub async fn launch(host: &Host, caller: &Caller, app: &App, key: [u8; 16]) -> Result<Self, Refused> {
        let query = query(key, &format!("&appid={}&mode=1280x720x60&localAudioPlayMode=0", app.listed.id));
        let launch = LaunchQuery::parse(&query).unwrap();
        let started = host.launches.launch(caller, app, &launch).await?;
        Ok(Self::at(started.rtsp, key))
    }

    /// `/resume`.
    pub async fn resume(host: &Host, caller: &Caller, key: [u8; 16]) -> Result<Self, Refused> {
        let resume = ResumeQuery::parse(&query(key, "")).unwrap();
        let started = host.launches.resume(caller, &resume).await?;
        Ok(Self::at(started.rtsp, key))
    }

    fn at(rtsp: u16, key: [u8; 16]) -> Self {
        let rtsp = SocketAddr::from(([127, 0, 0, 1], rtsp));
        Self {
            key,
            asks_dscp: false,
            rtsp,
            number: 0,
            video: Default::default(),
            control: Default::default(),
        }
    }

    /// Where RTSP is.
    pub fn rtsp(&self) -> SocketAddr {
        self.rtsp
    }

    /// What pings to the video port begin with.
    pub fn token(&self) -> &str {
        &self.video.1
    }

    /// Of video and control.
    pub fn ports(&self) -> (u16, u16) {
        (self.video.0, self.control.0)
    }

    /// One request; the answer's text, `None` if the connection was closed without one.
    pub async fn ask(&mut self, method: &str, target: &str, body: &str) -> Option<String> {
        self.number += 1;
        let text = format!(
            "{method} {target} RTSP/1.0\r\nCSeq: {}\r\nHost: h\r\nContent-length: {}\r\n\r\n{body}",
            self.number,
            body.len()
        );
        let key = SessionKey::from_bytes(self.key);
        let sealed = seal::seal(&key, Side::Client, self.number, text.as_bytes());
        let answer = exchange(self.rtsp, &sealed).await?;
        let (_, text) = seal::open(&key, Side::Host, &answer).expect("answers are sealed by the host");
        Some(String::from_utf8(text).unwrap())
    }

    /// Up to ANNOUNCE.
    pub async fn announce(&mut self, choice: Choice) -> Option<String> {
        assert!(self.ask("OPTIONS", "rtspenc://h", "").await?.starts_with("RTSP/1.0 200"));
        let offer = self.ask("DESCRIBE", "rtspenc://h", "").await?;
        assert!(!offer.contains("sprop-parameter-sets") && !offer.contains("AV1/90000"), "{offer}");
        self.ask("SETUP", "streamid=audio/0/0", "").await?;
        let video = self.ask("SETUP", "streamid=video/0/0", "").await?;
        self.video = (number(&video, "server_port="), word(&video, "X-SS-Ping-Payload: "));
        let control = self.ask("SETUP", "streamid=control/13/0", "").await?;
        self.control = (number(&control, "server_port="), number(&control, "X-SS-Connect-Data: "));
        let sdp = [
            "x-ml-general.featureFlags:3".to_owned(),
            format!("x-ss-general.encryptionEnabled:{}", if choice.is_sealed { 3 } else { 1 }),
            "x-nv-video[0].clientViewportWd:1280".to_owned(),
            "x-nv-video[0].clientViewportHt:720".to_owned(),
            "x-nv-video[0].maxFPS:60".to_owned(),
            format!("x-nv-video[0].packetSize:{}", choice.packet_size),
            "x-ml-video.configuredBitrateKbps:12000".to_owned(),
            "x-nv-vqos[0].bitStreamFormat:0".to_owned(),
            "x-nv-video[0].maxNumReferenceFrames:0".to_owned(),
            "x-nv-vqos[0].fec.minRequiredFecPackets:2".to_owned(),
            "x-nv-general.useReliableUdp:13".to_owned(),
            format!("x-nv-vqos[0].qosTrafficType:{}", if self.asks_dscp { 5 } else { 0 }),
        ];
        let sdp: String = sdp.iter().map(|line| format!("a={line} \r\n")).collect();
        self.ask("ANNOUNCE", "streamid=control/13/0", &sdp).await
    }

    /// All of RTSP.
    pub async fn negotiate(&mut self, choice: Choice) {
        let announced = self.announce(choice).await.unwrap();
        assert!(announced.starts_with("RTSP/1.0 200"), "{announced}");
        assert!(self.ask("PLAY", "/", "").await.unwrap().starts_with("RTSP/1.0 200"));
    }

    /// ENet.
    pub fn connect(&self) -> Control {
        Control::start(SocketAddr::from(([127, 0, 0, 1], self.control.0)), self.control.1, self.key)
    }

    /// Video, from the first ping on.
    pub async fn video(&self, choice: Choice, fakes: Fakes) -> Video {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(("127.0.0.1", self.video.0)).await.unwrap();
        let mut video = Video {
            socket,
            payload: self.video.1.clone(),
            pings: 0,
            key: choice.is_sealed.then_some(self.key),
            frames: BTreeMap::new(),
            nonces: Vec::new(),
            fakes,
        };
        video.ping().await;
        video
    }
}

/// Sends bytes to RTSP's port; what is answered until it closes.
pub async fn exchange(to: SocketAddr, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(8), stream.read_to_end(&mut answer)).await;
    read.expect("RTSP closes what it does not answer").ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// A frame whose data shards all came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    pub number: u32,
    pub is_idr: bool,
    /// What it refers to: 1 the frame before, 2 nothing, 5 none that was lost.
    pub kind: u8,
    /// With the zeroes that fill the last payload.
    pub bytes: Vec<u8>,
    /// Parity of its first Block, in percent.
    pub percent: u8,
}

/// Shards so far by block and place: data shards and percent of the block, and the payload.
type Shards = BTreeMap<(u8, u32), (u32, u8, Vec<u8>)>;

/// The receiving end of video.
pub struct Video {
    socket: UdpSocket,
    payload: String,
    pings: u32,
    key: Option<[u8; 16]>,
    frames: BTreeMap<u32, (u8, Shards)>,
    /// Of sealed datagrams, in the order in which they came.
    pub nonces: Vec<u64>,
    fakes: Fakes,
}

impl Video {
    pub async fn ping(&mut self) {
        self.pings += 1;
        let ping = [self.payload.as_bytes(), &self.pings.to_be_bytes()].concat();
        // A host that died for a moment refuses for a moment.
        let _ = self.socket.send(&ping).await;
    }

    /// The next whole frames.
    pub async fn frames(&mut self, count: usize) -> Vec<Got> {
        let mut frames = Vec::new();
        let collect = async {
            while frames.len() < count {
                let mut datagram = [0; 2048];
                let Ok(received) = timeout(Duration::from_millis(200), self.socket.recv(&mut datagram)).await
                else {
                    self.ping().await;
                    continue;
                };
                let Ok(len) = received else { continue };
                if let Some(frame) = self.take(&datagram[..len]) {
                    self.fakes.saw(1);
                    frames.push(frame);
                }
            }
        };
        let done = timeout(Duration::from_secs(8), collect).await;
        done.unwrap_or_else(|_| panic!("{} of {count} frames within eight seconds", frames.len()));
        frames
    }

    fn take(&mut self, datagram: &[u8]) -> Option<Got> {
        let shard = match self.key {
            None => datagram.to_vec(),
            Some(key) => {
                let (head, sealed) = datagram.split_at(32);
                self.nonces.push(u64::from_le_bytes(head[..8].try_into().unwrap()));
                let nonce = Nonce::assume_unique_for_key(head[..12].try_into().unwrap());
                let mut body = [sealed, &head[16..]].concat();
                cipher(key).open_in_place(nonce, Aad::empty(), &mut body).expect("sealed").to_vec()
            }
        };
        let word = |at: usize| u32::from_le_bytes(shard[at..at + 4].try_into().unwrap());
        let (number, info) = (word(20), word(28));
        let (block, last) = (shard[27] >> 4 & 3, shard[27] >> 6);
        let (index, data) = (info >> 12 & 0x3ff, info >> 22);
        let (_, shards) = self.frames.entry(number).or_insert((last, Shards::new()));
        if index < data {
            shards.insert((block, index), (data, (info >> 4) as u8, shard[32..].to_vec()));
        }
        let is_whole = (0..=last).all(|block| {
            let of_block = shards.range((block, 0)..(block + 1, 0));
            shards.get(&(block, 0)).is_some_and(|(data, ..)| of_block.count() == *data as usize)
        });
        is_whole.then(|| {
            let (_, shards) = self.frames.remove(&number).unwrap();
            let percent = shards[&(0, 0)].1;
            let bytes: Vec<u8> = shards.into_values().flat_map(|(.., payload)| payload).collect();
            Got { number, is_idr: bytes[3] == 2, kind: bytes[3], bytes: bytes[8..].to_vec(), percent }
        })
    }
}
