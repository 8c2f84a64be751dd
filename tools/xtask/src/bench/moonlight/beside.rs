//! lumen beside another host of the same client: the same program on the screen, in turn in one run.

use std::{env, os::unix::process::CommandExt, path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stamp::Content;
use lumen_tests::{
    Moonlight,
    constellation::{Setup, text},
    wheel,
};

use super::{
    MODE, SIZE, cancel, glance, millis,
    peer::{self, Peer},
    sharpness,
    stream::Stream,
};
use crate::bench::{
    Spread,
    cpu::{self, Case},
};

/// How often each streams each content: where its program's pictures fall between two looks at them is a matter of chance.
const ROUNDS: usize = 5;
/// Both are asked for the colours that the judge of sharpness knows.
const COLOURS: [&str; 2] = ["--colors", "bt709"];
/// Set where this process has a network of its own.
const ALONE: &str = "LUMEN_BENCH_ALONE";
/// Between two sessions of one client: the other host ends the first one in the background.
const PAUSE: Duration = Duration::from_secs(1);

/// What came of all rounds of one host.
#[derive(Default)]
struct Seen {
    fps: Vec<f64>,
    host: Vec<Duration>,
    captured: Vec<Duration>,
    drawn: Vec<Duration>,
    cpu: Vec<f64>,
    launched: Vec<Duration>,
    resumed: Vec<Duration>,
    sharp: Option<sharpness::Sharpness>,
}

/// Streams `seconds` at a time from lumen and from the Sunshine in `program`, in turn, and prints both and their ratios.
///
/// # Errors
/// `program` is no Sunshine, or something did not start or stream: with its log.
pub fn run(program: &Path, seconds: u32) -> Result<()> {
    let program = &program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
    let version = peer::version(program)?;
    leave_the_network()?;
    println!(
        "lumen beside Sunshine {version}: {MODE}, 10 Mbit/s asked, all sealed, {ROUNDS} times {seconds} s each"
    );
    for (content, only) in [(Content::Noise, "noise"), (Content::Text, "text")] {
        let case = Case { content, still: false, size: SIZE };
        let (mut ours, mut theirs) = (Seen::default(), Seen::default());
        for round in 1..=ROUNDS {
            of_lumen(&mut ours, case, only, seconds)
                .with_context(|| format!("lumen, {only}, round {round}"))?;
            of_peer(&mut theirs, program, case, only, seconds)
                .with_context(|| format!("Sunshine, {only}, round {round}"))?;
        }
        print(case, &ours, &theirs);
    }
    Ok(())
}

/// Sunshine listens on every network, and tells it of itself: this process goes on where there is none but loopback.
fn leave_the_network() -> Result<()> {
    // Fetched once, while there is a network.
    wheel::python()?;
    if env::var_os(ALONE).is_none() {
        let mut again = Command::new("unshare");
        again.arg("--net").arg(env::current_exe()?).args(env::args_os().skip(1)).env(ALONE, "1");
        return Err(again.exec()).context("cannot run unshare: apt install util-linux");
    }
    let up = lumen_tests::constellation::run("ip", &["link", "set", "lo", "up"])?;
    ensure!(up.status.success(), "loopback does not come up: {}", text(&up));
    Ok(())
}

fn of_lumen(seen: &mut Seen, case: Case, only: &str, seconds: u32) -> Result<()> {
    let drawn = super::drawn()?;
    let host = Setup::stamp(&["--only", only, "--drawn", &drawn]).start()?;
    let client = Moonlight::paired(&host)?;
    seen.begin(&client, &[])?;
    cancel(&host, &client)?;
    let stream = Stream::record(&client, &COLOURS, seconds, &drawn, || Ok(cpu::used(&host)?.to_vec()))?;
    seen.captured.extend(stream.since_capture());
    seen.add(stream, case)?;
    host.end().map(drop)
}

fn of_peer(seen: &mut Seen, program: &Path, case: Case, only: &str, seconds: u32) -> Result<()> {
    let peer = Peer::start(program, only)?;
    let mut stream = || {
        let (client, app) = peer.paired()?;
        let wishes = ["--app", &app];
        seen.begin(&client, &wishes)?;
        leave(&client)?;
        let used = || Ok(vec![cpu::of_process(peer.pid())?]);
        let stream = Stream::record(&client, &[wishes, COLOURS].concat(), seconds, &peer.drawn(), used)?;
        seen.add(stream, case)?;
        leave(&client)
    };
    stream().with_context(|| peer.log())
}

fn leave(client: &Moonlight) -> Result<()> {
    thread::sleep(PAUSE);
    let said = client.ask("cancel")?;
    ensure!(said.get("error").is_none(), "{said:#}");
    thread::sleep(PAUSE);
    Ok(())
}

impl Seen {
    /// How soon there is a picture.
    fn begin(&mut self, client: &Moonlight, wishes: &[&str]) -> Result<()> {
        self.launched.push(glance(client, "launch", wishes)?);
        thread::sleep(PAUSE);
        self.resumed.push(glance(client, "resume", wishes)?);
        Ok(())
    }

    fn add(&mut self, stream: Stream, case: Case) -> Result<()> {
        self.fps.push(stream.fps);
        self.host.extend(stream.host);
        self.drawn.extend(stream.drawn);
        self.cpu.push(stream.costs.iter().sum());
        self.sharp = Some(sharpness::judge(stream.played.dump(), case)?);
        Ok(())
    }
}

fn print(case: Case, ours: &Seen, theirs: &Seen) {
    println!("\n{case}");
    println!("{:<42}{:>18}{:>18}{:>8}", "milliseconds, p50 and p99", "lumen", "Sunshine", "ratio");
    latency("host latency, as told to the client", &ours.host, &theirs.host);
    latency("captured until received", &ours.captured, &theirs.captured);
    latency("drawn until received", &ours.drawn, &theirs.drawn);
    latency("launch until the first frame", &ours.launched, &theirs.launched);
    latency("resume until the first frame", &ours.resumed, &theirs.resumed);
    let (our_cpu, their_cpu) = (median(&ours.cpu), median(&theirs.cpu));
    let ratio = our_cpu / their_cpu;
    println!("{:<42}{our_cpu:>18.2}{their_cpu:>18.2}{ratio:>8.2}", "CPU a frame, median of the rounds");
    println!("{:<42}{:>18.1}{:>18.1}", "frames a second", median(&ours.fps), median(&theirs.fps));
    sharpness::heading();
    for (name, seen) in [("lumen", ours), ("Sunshine", theirs)] {
        seen.sharp.iter().for_each(|sharp| sharp.print(name));
    }
}

fn latency(name: &str, ours: &[Duration], theirs: &[Duration]) {
    let [ours, theirs] = [ours, theirs].map(|took| (!took.is_empty()).then(|| Spread::of(took.to_vec())));
    let both = |spread: Option<Spread>| {
        spread.map_or("not known".into(), |at| format!("{:.2} {:>8.2}", millis(at.p50), millis(at.p99)))
    };
    let ratio = ours.zip(theirs).map(|(ours, theirs)| ours.p50.as_secs_f64() / theirs.p50.as_secs_f64());
    let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    println!("{name:<42}{:>18}{:>18}{ratio:>8}", both(ours), both(theirs));
}

fn median(of: &[f64]) -> f64 {
    let mut of = of.to_vec();
    of.sort_unstable_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or(f64::NAN)
}
