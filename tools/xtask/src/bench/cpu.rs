//! CPU time a frame, stage by stage, beside what ffmpeg's libx264 takes for the same frames in the same run.

use std::{
    fmt, fs,
    io::Write,
    process::{ChildStdin, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use lumen_stamp::{Content, Layout, render_in, render_moving_in};
use lumen_tests::{Constellation, Probe, constellation::Setup};

/// The stages on the frame path; the others sleep while a stream runs.
pub(super) const STAGES: [&str; 3] = ["captured", "encoded", "transportd"];

const SIZES: [(u32, u32); 2] = [(1280, 720), (1920, 1080)];

/// Frames a second of the Output, and of what ffmpeg is given.
pub(super) const RATE: u32 = 60;

/// lumen's default for a client that does not ask.
const BITRATE: &str = "10M";

/// Three frames' worth, which is what lumen allows a frame.
const BUFFER: &str = "500k";

/// From the start of the probe until the first picture was made sharp: launching and refining are not counted.
const WARM_UP: Duration = Duration::from_secs(4);

/// What is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case {
    pub content: Content,
    pub still: bool,
    pub size: (u32, u32),
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = if self.content == Content::Noise { "noise" } else { "text" };
        let moves = if self.still { "still" } else { "moving" };
        write!(f, "{}x{} {content}, {moves}", self.size.0, self.size.1)
    }
}

/// Prints for each case what a frame costs. A still screen's frames are the Output's: lumen leaves most of them out.
///
/// # Errors
/// ffmpeg is not installed, the binaries are not built, this is not root, or a stream failed.
pub fn run(seconds: u32) -> anyhow::Result<()> {
    println!("milliseconds of CPU a frame\n");
    print!("{:<26}{:>6}", "", "fps");
    STAGES.iter().chain(&["lumen", "ffmpeg", "of it x264"]).for_each(|name| print!("{name:>12}"));
    println!("{:>16}", "lumen / ffmpeg");
    for (content, only) in [(Content::Text, "text"), (Content::Noise, "noise")] {
        for still in [false, true] {
            let mut arguments = vec!["--only", only];
            arguments.extend(still.then_some("--still"));
            let host = Setup::stamp(&arguments).start()?;
            let probe = Probe::allowed(&host)?;
            for size in SIZES {
                row(&host, &probe, Case { content, still, size }, seconds)?;
            }
            host.end()?;
        }
    }
    Ok(())
}

fn row(host: &Constellation, probe: &Probe, case: Case, seconds: u32) -> anyhow::Result<()> {
    let (fps, stages) = of_stages(host, probe, case, seconds)?;
    let lumen: f64 = stages.iter().sum();
    let frames = seconds * RATE;
    let ffmpeg = of_ffmpeg(case, frames, &x264(), &NOWHERE)?;
    let converting = of_ffmpeg(case, frames, &["-c:v", "wrapped_avframe"].map(str::to_owned), &NOWHERE)?;
    print!("{:<26}{fps:>6.1}", case.to_string());
    stages.iter().chain(&[lumen, ffmpeg, ffmpeg - converting]).for_each(|cost| print!("{cost:>12.2}"));
    println!("{:>16.2}", lumen / ffmpeg);
    Ok(())
}

/// Frames a second that arrived, and what each stage took for one, in milliseconds.
fn of_stages(
    host: &Constellation,
    probe: &Probe,
    case: Case,
    seconds: u32,
) -> anyhow::Result<(f64, [f64; STAGES.len()])> {
    let length = WARM_UP.as_secs() + u64::from(seconds) + 1;
    let mode = format!("{}x{}@{RATE}", case.size.0, case.size.1);
    let streaming = probe.start(&["--mode", &mode, "--seconds", &length.to_string()])?;
    thread::sleep(WARM_UP);
    let (before, begun) = (used(host)?, Instant::now());
    thread::sleep(Duration::from_secs(seconds.into()));
    let (after, took) = (used(host)?, begun.elapsed().as_secs_f64());
    let fps = streaming.finish()?.number("/fps").with_context(|| format!("{case} did not stream"))?;
    let frames = took * if case.still { RATE.into() } else { fps };
    let mut costs = [0.0; STAGES.len()];
    for (cost, (after, before)) in costs.iter_mut().zip(after.into_iter().zip(before)) {
        *cost = after.saturating_sub(before).as_secs_f64() * 1e3 / frames;
    }
    Ok((fps, costs))
}

/// What each stage's threads used so far.
pub(super) fn used(host: &Constellation) -> anyhow::Result<[Duration; STAGES.len()]> {
    let mut used = [Duration::ZERO; STAGES.len()];
    for (used, stage) in used.iter_mut().zip(STAGES) {
        *used = of_process(host.pid(stage)?)?;
    }
    Ok(used)
}

/// What the threads that a process has used so far.
pub(super) fn of_process(pid: u32) -> anyhow::Result<Duration> {
    let mut used = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        used += on_cpu(&text);
    }
    Ok(used)
}

/// The time on a CPU out of a thread's `schedstat`: the first number, in nanoseconds.
fn on_cpu(schedstat: &str) -> Duration {
    let first = schedstat.split_whitespace().next();
    Duration::from_nanos(first.and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// As much for latency as ffmpeg can, with one IDR at the start.
pub(super) fn x264() -> Vec<String> {
    let given = format!(
        "-c:v libx264 -preset superfast -tune zerolatency -g 100000 \
         -b:v {BITRATE} -maxrate {BITRATE} -bufsize {BUFFER}"
    );
    given.split_whitespace().map(str::to_owned).collect()
}

/// Where nobody wants what ffmpeg made.
const NOWHERE: [&str; 3] = ["-f", "null", "-"];

/// What ffmpeg takes to read a frame, convert it and encode it as `coding` says, in milliseconds; the stream goes `to`.
pub(super) fn of_ffmpeg(case: Case, frames: u32, coding: &[String], to: &[&str]) -> anyhow::Result<f64> {
    let size = format!("{}x{}", case.size.0, case.size.1);
    let mut child = Command::new("ffmpeg")
        .args(["-hide_banner", "-benchmark", "-f", "rawvideo", "-pix_fmt", "bgr0"])
        .args(["-video_size", &size, "-framerate", &RATE.to_string(), "-i", "pipe:0"])
        .args(["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"])
        .args(coding)
        .args(to)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("ffmpeg is not installed: apt install ffmpeg")?;
    let pipe = child.stdin.take().context("ffmpeg has no standard input")?;
    let fed = feed(pipe, case, frames);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ffmpeg failed: {said}");
    fed.context("ffmpeg did not read all frames")?;
    let used = benchmark(&said).with_context(|| format!("ffmpeg did not say what it used: {said}"))?;
    Ok(used * 1e3 / f64::from(frames))
}

/// Gives it the pictures that lumen-stamp shows.
fn feed(mut pipe: ChildStdin, case: Case, frames: u32) -> anyhow::Result<()> {
    let layout = Layout::of(case.size.0, case.size.1)?.showing(case.content);
    let mut pixels = vec![0; layout.bytes()];
    render_in(&layout, 0, &mut pixels)?;
    for number in 0..frames {
        if !case.still {
            render_moving_in(&layout, number, &mut pixels)?;
        }
        pipe.write_all(&pixels)?;
    }
    Ok(())
}

/// Seconds of CPU out of what `-benchmark` prints: `bench: utime=1.234s stime=0.056s rtime=0.789s`.
fn benchmark(said: &str) -> Option<f64> {
    let line = said.lines().find_map(|line| line.trim().strip_prefix("bench: utime="))?;
    let (user, rest) = line.split_once("s stime=")?;
    let (system, _) = rest.split_once("s ")?;
    Some(user.parse::<f64>().ok()? + system.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ffmpeg_and_the_kernel_say_is_read() {
        let said = "frame=  300\nbench: utime=1.250s stime=0.050s rtime=0.900s\nbench: maxrss=9kB\n";
        assert_eq!(benchmark(said), Some(1.3));
        assert_eq!(benchmark("bench: maxrss=9kB"), None);
        assert_eq!(on_cpu("3123036194 2560455393 5168\n"), Duration::from_nanos(3_123_036_194));
        assert_eq!(on_cpu(""), Duration::ZERO);
    }
}
