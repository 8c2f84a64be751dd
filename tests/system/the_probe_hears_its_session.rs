//! lumen/1 has sound: each tone of 5.1 in its own channel at the reference client, which hears on over a new connection when
//! captured, encoded or transportd died.
//!
//! Sabotage: send sound to the connection of before, number packets anew after a death, or make a sink of two channels.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_stage::clock::now_ns;
use lumen_stamp::tones;
use lumen_tests::{
    Probe,
    constellation::{Setup, USER, run, user, wait},
    sound::{Heard, PipeWire},
};

const TONES: [f64; 6] = [500.0, 730.0, 1030.0, 170.0, 1370.0, 1790.0];
const SOON: Duration = Duration::from_secs(15);

#[test]
fn the_probe_hears_its_session() -> Result<()> {
    user()?;
    let played = std::env::temp_dir().join(format!("{USER}-probe.wav")).to_string_lossy().into_owned();
    fs::write(&played, tones::wav(&TONES, 60)?)?;
    run("chmod", &["a+r", &played])?;
    // Behind the pictures, of which a session without any would end.
    let script = format!("pw-play {played} & exec /usr/lib/lumen/lumen-stamp");
    let host =
        Setup::default().config("vdisplayd", &format!("app = [\"sh\", \"-c\", {script:?}]\n")).start()?;
    let _pipewire = PipeWire::start(&host)?;
    let probe = Probe::allowed(&host)?;
    let file = probe.file("stream.opus");
    let file = file.to_string_lossy();
    let streaming = probe.start(&["--seconds", "60", "--sound", &file, "--channels", "6"])?;
    let mut last = Ok(());
    let heard = wait("the tones at the probe", SOON, || {
        last = Heard::read(file.as_ref().as_ref()).and_then(|heard| heard.has_tones(&TONES));
        last.is_ok()
    });
    heard.with_context(|| format!("{last:?} {}", host.status()))?;
    let mut deaths = Vec::new();
    for stage in ["captured", "encoded", "transportd"] {
        deaths.push((stage, now_ns()));
        run("kill", &["-KILL", &host.pid(stage)?.to_string()])?;
        thread::sleep(Duration::from_millis(2500));
    }
    run("kill", &["-INT", &streaming.pid().to_string()])?;
    let report = streaming.finish()?.success()?;
    let heard = Heard::read(file.as_ref().as_ref())?;
    heard.has_tones(&TONES)?;
    let arrivals = heard.arrivals();
    for (stage, at_ns) in deaths {
        let near = |pair: &[u64]| pair[1] > at_ns && pair[0] < at_ns + 2_000_000_000;
        let gap = arrivals.windows(2).filter(|pair| near(pair)).map(|pair| pair[1] - pair[0]).max();
        let gap = Duration::from_nanos(gap.with_context(|| format!("no sound after the death of {stage}"))?);
        println!("{stage}: {gap:?} without sound");
    }
    let (late, connections) = (report.number("/sound/late")?, report.number("/connections")?);
    println!("{:#}", report.summary["sound"]);
    ensure!(late == 0.0 && connections == 2.0, "{late} packets came again, over {connections} connections");
    Ok(())
}
