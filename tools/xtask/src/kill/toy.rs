//! The toy stage: the least a stage can be, killed as often as the real ones, in the same minute and on the same machine.

use std::{
    fs,
    net::UdpSocket,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_tests::{
    Constellation,
    constellation::{PORT, run, text},
};

use super::witness;

const TOY_PORT: u16 = PORT + 2;
const UNIT: &str = "lumen-toy.service";
/// Between two datagrams: the gap is known to this.
const BEAT: Duration = Duration::from_millis(1);

/// A running toy, and who talks to it.
pub struct Toy<'a> {
    host: &'a Constellation,
    stop: Arc<AtomicBool>,
    talker: Option<JoinHandle<Vec<u64>>>,
}

impl<'a> Toy<'a> {
    /// Starts the toy beside the stages of `host`, restarted by systemd in the same way.
    pub fn start(host: &'a Constellation) -> Result<Self> {
        let unit = format!(
            "[Service]\nType=notify\nSlice=lumen.slice\nExecStart=/usr/lib/lumen/lumen-toy {TOY_PORT}\nRestart=always\n\
             RestartSec=0\nFileDescriptorStoreMax=4\n[Unit]\nStartLimitIntervalSec=0\n"
        );
        let path = host.runtime_dir().join("lumen-run/units").join(UNIT);
        fs::write(&path, unit).with_context(|| format!("cannot write {}", path.display()))?;
        for words in [&["daemon-reload"][..], &["start", UNIT]] {
            let output = host.systemctl(words)?;
            ensure!(output.status.success(), "systemctl {words:?}: {}", text(&output));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let talker = Some(thread::spawn({
            let stop = stop.clone();
            move || talk(&stop).unwrap_or_default()
        }));
        Ok(Self { host, stop, talker })
    }

    /// SIGKILL; the answer is when, on CLOCK_MONOTONIC in ns.
    pub fn kill(&self) -> Result<u64> {
        let pid = self.host.property(UNIT, "MainPID")?;
        let at = now_ns();
        run("kill", &["-9", &pid])?;
        Ok(at)
    }

    /// For how long nothing came back after each of the `kills`.
    pub fn gaps(mut self, kills: &[u64]) -> Vec<Duration> {
        self.stop.store(true, Relaxed);
        let answers = self.talker.take().and_then(|talker| talker.join().ok()).unwrap_or_default();
        kills.iter().filter_map(|kill| witness::gap_after(&answers, *kill)).collect()
    }
}

fn talk(stop: &AtomicBool) -> std::io::Result<Vec<u64>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", TOY_PORT))?;
    socket.set_nonblocking(true)?;
    let (mut answers, mut bytes) = (Vec::new(), [0; 64]);
    while !stop.load(Relaxed) {
        // Refused while the socket is not yet bound for the first time.
        let _ = socket.send(b"beat");
        thread::sleep(BEAT);
        let mut heard = false;
        while socket.recv(&mut bytes).is_ok() {
            heard = true;
        }
        if heard {
            answers.push(now_ns());
        }
    }
    Ok(answers)
}
