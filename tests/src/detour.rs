//! A stock client's way through a bad network: who is told `--stream-at` [`proxy::ADDRESS`] finds RTSP, video, control and audio of the
//! host there, at the same ports. HTTP goes to the host itself.

use std::{
    io,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    constellation::MOONLIGHT,
    proxy::{self, Counters, Fate, Proxy},
};

const RTSP: u16 = MOONLIGHT + 21;
const VIDEO: u16 = MOONLIGHT + 9;
const CONTROL: u16 = MOONLIGHT + 10;
const AUDIO: u16 = MOONLIGHT + 11;
/// A UDP port that nobody asks: a proxy has two.
const UNUSED: u16 = MOONLIGHT + 12;

/// A running detour; ends when dropped.
pub struct Detour {
    video: Proxy,
    _audio: Proxy,
    ended: Arc<AtomicBool>,
    rtsp: Option<JoinHandle<()>>,
}

impl Detour {
    /// Leads to the host under test; `judge` decides over each video datagram to the client.
    ///
    /// # Errors
    /// The ports are taken.
    pub fn start(judge: impl FnMut(&[u8]) -> Fate + Send + 'static) -> io::Result<Self> {
        let video = Proxy::start(CONTROL, VIDEO, judge)?;
        let audio = Proxy::start(UNUSED, AUDIO, |_: &[u8]| Fate::Pass)?;
        let listener = TcpListener::bind((proxy::ADDRESS, RTSP))?;
        listener.set_nonblocking(true)?;
        let ended = Arc::new(AtomicBool::new(false));
        let ends = ended.clone();
        let rtsp = thread::spawn(move || {
            while !ends.load(Relaxed) {
                match listener.accept() {
                    // One that came to nothing is the client's to make again.
                    Ok((client, _)) => drop(thread::spawn(|| carry(client))),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(Self { video, _audio: audio, ended, rtsp: Some(rtsp) })
    }

    /// What became of the video so far.
    pub fn counters(&self) -> &Counters {
        self.video.counters()
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        if self.rtsp.take().is_some_and(|thread| thread.join().is_err()) {
            eprintln!("the thread of RTSP's detour panicked");
        }
    }
}

/// Both ways, until both are over.
fn carry(client: TcpStream) -> io::Result<()> {
    client.set_nonblocking(false)?;
    let host = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST, RTSP))?;
    let (from_client, to_host) = (client.try_clone()?, host.try_clone()?);
    let up = thread::spawn(move || pour(from_client, to_host));
    pour(host, client);
    // A panic of the other thread is on its own standard error.
    let _ = up.join();
    Ok(())
}

/// One way; whoever ends it, ends it for the other.
fn pour(mut from: TcpStream, mut to: TcpStream) {
    // What breaks off in the middle breaks off for both sides.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
