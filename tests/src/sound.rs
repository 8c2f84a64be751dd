//! What a Moonlight client's decoder of sound gets, and a user's PipeWire to play into.

use std::{
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_ipc::bus::{SINK_PREFIX, SOURCE_PREFIX};
use lumen_stamp::tones;
use opus::MSDecoder;

use crate::constellation::{Constellation, USER, text, user, wait};

/// Samples of each channel in the longest packet.
const LONGEST: usize = 5760;
/// Within which each of them starts.
const SOON: Duration = Duration::from_secs(10);

/// How packets are to be decoded, as moonlight-common-c says it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Opus streams in a packet.
    pub streams: u8,
    /// Those of them that carry two channels.
    pub coupled: u8,
    /// Which of the streams' channels each channel is.
    pub mapping: Vec<u8>,
}

/// Packets as moonlight-common-c handed them out.
#[derive(Debug, Default)]
pub struct Heard {
    /// How they are to be decoded.
    pub layout: Layout,
    packets: Vec<(u64, Vec<u8>)>,
}

impl Heard {
    /// Reads what `client.py --sound` wrote; nothing, if there is no such file.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).unwrap_or_default();
        let Some((&[channels, streams, coupled], rest)) = bytes.split_first_chunk() else {
            return Ok(Self::default());
        };
        let (mapping, mut rest) = rest.split_at_checked(channels.into()).context("half a layout")?;
        let (layout, mut packets) = (Layout { streams, coupled, mapping: mapping.to_vec() }, Vec::new());
        // The last one of a client that was killed may be half written.
        while let Some((head, after)) = rest.split_first_chunk::<10>() {
            let (at, len) = head.split_first_chunk::<8>().context("too short")?;
            let len = usize::from(u16::from_le_bytes(len.try_into()?));
            let Some((packet, after)) = after.split_at_checked(len) else { break };
            packets.push((u64::from_le_bytes(*at), packet.to_vec()));
            rest = after;
        }
        Ok(Self { layout, packets })
    }

    /// Packets, without those that were lost for good.
    pub fn count(&self) -> usize {
        self.packets.iter().filter(|(_, packet)| !packet.is_empty()).count()
    }

    /// Packets that were lost for good.
    pub fn lost(&self) -> usize {
        self.packets.len() - self.count()
    }

    /// Length of the longest packet.
    pub fn longest(&self) -> usize {
        self.packets.iter().map(|(_, packet)| packet.len()).max().unwrap_or_default()
    }

    /// When each came, CLOCK_MONOTONIC ns.
    pub fn arrivals(&self) -> Vec<u64> {
        self.packets.iter().filter(|(_, packet)| !packet.is_empty()).map(|(at, _)| *at).collect()
    }

    /// Packets that came between two times of CLOCK_MONOTONIC, in ns, and those that were lost for good.
    pub fn between(&self, begin_ns: u64, end_ns: u64) -> (usize, usize) {
        let within = self.packets.iter().filter(|(at, _)| (begin_ns..end_ns).contains(at));
        let (came, lost): (Vec<_>, Vec<_>) = within.partition(|(_, packet)| !packet.is_empty());
        (came.len(), lost.len())
    }

    /// What each packet that came sounds like, interleaved, and when it came.
    fn decoded(&self) -> Result<Vec<(u64, Vec<i16>)>> {
        let Layout { streams, coupled, mapping } = &self.layout;
        ensure!(!mapping.is_empty(), "the client was not told how sound is to be decoded");
        let mut decoder = MSDecoder::new(tones::RATE, *streams, *coupled, mapping)?;
        let mut decode = |(at, packet): &(u64, Vec<u8>)| {
            let mut room = vec![0; LONGEST * mapping.len()];
            let len = decoder.decode(packet, &mut room, false)?;
            room.truncate(len * mapping.len());
            Ok((*at, room))
        };
        self.packets.iter().filter(|(_, packet)| !packet.is_empty()).map(&mut decode).collect()
    }

    /// When clicks begin in the first channel, CLOCK_MONOTONIC ns, if each packet is played as soon as it came.
    ///
    /// # Errors
    /// libopus cannot decode it.
    pub fn clicks(&self) -> Result<Vec<u64>> {
        let (channels, mut samples, mut times) = (self.layout.mapping.len(), Vec::new(), Vec::new());
        for (at, packet) in self.decoded()? {
            for (place, frame) in packet.chunks_exact(channels).enumerate() {
                samples.extend(frame.first());
                times.push(at + place as u64 * 1_000_000_000 / u64::from(tones::RATE));
            }
        }
        Ok(tones::clicks(&samples).into_iter().filter_map(|place| times.get(place).copied()).collect())
    }

    /// What the last `time` of it sounds like, interleaved.
    ///
    /// # Errors
    /// libopus cannot decode it.
    pub fn last(&self, time: Duration) -> Result<Vec<i16>> {
        let mut samples: Vec<i16> = self.decoded()?.into_iter().flat_map(|(_, packet)| packet).collect();
        let mapping = &self.layout.mapping;
        let wanted = (time.as_secs_f64() * f64::from(tones::RATE)) as usize * mapping.len();
        Ok(samples.split_off(samples.len().saturating_sub(wanted)))
    }

    /// The last second has these tones, each strongest in its own channel by 20 dB.
    ///
    /// # Errors
    /// It has not.
    pub fn has_tones(&self, hertz: &[f64]) -> Result<()> {
        let samples = self.last(Duration::from_secs(1))?;
        let channels = self.layout.mapping.len();
        ensure!(channels == hertz.len(), "{channels} channels are heard, not {}", hertz.len());
        ensure!(samples.len() >= 24_000 * channels, "only {} samples were heard", samples.len());
        for (which, &own) in hertz.iter().enumerate() {
            let channel = tones::channel(&samples, channels, which);
            let loudness = tones::loudness(&channel, own);
            for other in hertz.iter().filter(|other| (**other - own).abs() > 1.0) {
                let leaked = tones::loudness(&channel, *other);
                ensure!(
                    loudness > leaked + 20.0,
                    "channel {which}: {loudness:.1} dB of {own} Hz, {leaked:.1} of {other} Hz"
                );
            }
            ensure!(loudness > -30.0, "channel {which} has {own} Hz at {loudness:.1} dB only");
        }
        Ok(())
    }

    /// How loud a tone is in the last second, in the channel where it is loudest.
    ///
    /// # Errors
    /// libopus cannot decode it.
    pub fn loudness(&self, hertz: f64) -> Result<f64> {
        let samples = self.last(Duration::from_secs(1))?;
        let channels = self.layout.mapping.len();
        let of = |which| tones::loudness(&tones::channel(&samples, channels, which), hertz);
        Ok((0..channels).map(of).fold(f64::MIN, f64::max))
    }
}

/// The user's PipeWire and its session manager; killed when dropped. Not those of the distribution's own units, because
/// WirePlumber 0.4 does not run as one where there is no logind.
pub struct PipeWire(Vec<Child>);

impl PipeWire {
    /// Starts them, with a session bus of their own.
    ///
    /// # Errors
    /// They do not start.
    pub fn start(host: &Constellation) -> Result<Self> {
        stop_pipewire(host)?;
        let runtime = host.runtime_dir();
        let bus = format!("unix:path={}", runtime.join("sound-bus").display());
        let mut this = Self(Vec::new());
        this.spawn(host, &bus, &["dbus-daemon", "--session", "--nofork", "--nopidfile", "--address", &bus])?;
        wait("the session bus", SOON, || runtime.join("sound-bus").exists())?;
        this.spawn(host, &bus, &["pipewire"])?;
        wait("PipeWire to listen", SOON, || UnixStream::connect(runtime.join("pipewire-0")).is_ok())?;
        this.spawn(host, &bus, &["wireplumber"])?;
        Ok(this)
    }

    fn spawn(&mut self, host: &Constellation, bus: &str, words: &[&str]) -> Result<()> {
        let mut command = Command::new("setpriv");
        let uid = user()?.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]).args(words);
        command.env("HOME", format!("/home/{USER}")).env("XDG_RUNTIME_DIR", host.runtime_dir());
        command.env("DBUS_SESSION_BUS_ADDRESS", bus).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.0.push(command.spawn().with_context(|| format!("{words:?}"))?);
        Ok(())
    }
}

impl Drop for PipeWire {
    fn drop(&mut self) {
        for child in self.0.iter_mut().rev() {
            // Both fail only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A program of the user's that listens to a source, and to no other one; ended when dropped.
pub struct Listener {
    child: Child,
    file: PathBuf,
}

impl Listener {
    /// Listens to the source of this name.
    ///
    /// # Errors
    /// There is no `pw-cat`.
    pub fn start(host: &Constellation, source: &str) -> Result<Self> {
        let file = host.runtime_dir().join(format!("{source}.wav"));
        let mut command = Command::new("setpriv");
        let uid = user()?.to_string();
        command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "pw-cat", "--record"]);
        command.args(["--target", source, "--channels", "1", "--rate", "48000", "--format", "s16"]);
        command.args(["--properties", "{ node.dont-reconnect = true }"]).arg(&file);
        command.env("HOME", format!("/home/{USER}")).env("XDG_RUNTIME_DIR", host.runtime_dir());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        let child = command.spawn().context("pw-cat")?;
        Ok(Self { child, file })
    }

    /// What it heard until now.
    pub fn heard(&self) -> Vec<i16> {
        let file = fs::read(&self.file).unwrap_or_default();
        let begin = file.windows(4).position(|name| name == b"data").unwrap_or(file.len()) + 8;
        let samples = file.get(begin..).unwrap_or_default().as_chunks().0;
        samples.iter().map(|sample| i16::from_le_bytes(*sample)).collect()
    }

    /// How much louder than the loudest of `others` the tone `own` is in the last `time`, in decibels; nothing before it heard so much.
    pub fn clearness(&self, own: f64, others: &[f64], time: Duration) -> Option<f64> {
        let heard = self.heard();
        let count = (time.as_secs_f64() * f64::from(tones::RATE)) as usize;
        let last = heard.get(heard.len().checked_sub(count)?..)?;
        let loudest = others.iter().map(|other| tones::loudness(last, *other)).fold(f64::MIN, f64::max);
        let own = tones::loudness(last, own);
        (own > -30.0).then_some(own - loudest)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.file);
    }
}

/// Ends what the user's manager starts by itself when somebody asks for PipeWire, if it has such units.
///
/// # Errors
/// The manager does not answer.
pub fn stop_pipewire(host: &Constellation) -> Result<()> {
    let units = ["pipewire.socket", "pipewire-pulse.socket", "wireplumber.service", "pipewire.service"];
    units.iter().try_for_each(|unit| host.systemctl(&["stop", unit]).map(drop))
}

/// Names of the sinks that lumen made, as PipeWire lists them.
///
/// # Errors
/// PipeWire does not answer.
pub fn sinks(host: &Constellation) -> Result<Vec<String>> {
    nodes(host, SINK_PREFIX)
}

/// The same of the sources that clients' microphones are heard from.
///
/// # Errors
/// PipeWire does not answer.
pub fn sources(host: &Constellation) -> Result<Vec<String>> {
    nodes(host, SOURCE_PREFIX)
}

fn nodes(host: &Constellation, prefix: &str) -> Result<Vec<String>> {
    let output = host.as_user(&["pw-cli", "list-objects", "Node"])?;
    ensure!(output.status.success(), "{}", text(&output));
    let names = text(&output);
    let names = names.lines().filter_map(|line| line.split("node.name = \"").nth(1)?.split('"').next());
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}
