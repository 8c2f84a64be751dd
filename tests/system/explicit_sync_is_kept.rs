//! Explicit sync, with real dmabufs and the real timelines of a DRM device (virtio-gpu of the emulated machine, with PipeWire
//! 1.4): no picture is handed on before it is drawn, and every release point is signalled once, whoever dies.
//!
//! A program judges a session of captured from both sides (services/captured/examples/explicit_sync.rs); then the shipped
//! units stream from a desk that draws each picture only after it was given, while encoded and captured are killed.

use std::fs;

use anyhow::{Context, Result, ensure};
use lumen_tests::{constellation::binaries, vm::Job};
use serde_json::Value;

const SCRIPT: &str = r#"
set -eu
as() {
    setpriv --reuid=lumen --regid=lumen --init-groups env -i HOME=/home/lumen USER=lumen PATH=/usr/bin:/bin \
        XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
chmod 666 /dev/udmabuf /dev/dri/*
/job/explicit_sync || echo "it ended with $?"

tar -C /job/root -cf - . | tar -C / --no-overwrite-dir -xf -
install -m755 /job/dmabuf_desk /usr/lib/lumen/lumen-vdisplayd
as mkdir -p /home/lumen/.config/lumen
as systemctl --user daemon-reload
as systemctl --user start pipewire.service wireplumber.service
echo 'memory = "dmabuf"' | as tee /home/lumen/.config/lumen/encoded.toml >/dev/null
printf 'memory = "udmabuf"\ntimelines = true\n' | as tee /home/lumen/.config/lumen/vdisplayd.toml >/dev/null
as systemctl --user start lumen.target
as lumenctl allow "$(as lumen-probe fingerprint)" --name probe
as lumen-probe --patience 90 --json /tmp/units.json --mode 320x180@60 --stamp --seconds 600 &
probe=$!
for stage in encoded captured encoded; do
    sleep 12
    # It says by its exit status that the fake has no status to give.
    as lumenctl status --json >/job/units.$stage.json || true
    as systemctl --user kill --signal=SIGKILL lumen-$stage
done
sleep 5
# It streams until it is told to end: how many pictures that are is the machine's.
pkill --signal INT lumen-probe
wait "$probe" || echo "the probe ended with $?"
as lumenctl status >/job/units.after || true
as lumenctl logs -n 40 || as journalctl --user --no-pager -n 60 -u 'lumen-*'
cp /tmp/units.json /job/
"#;

/// What the program prints when it was true.
const SENTENCES: [&str; 6] = [
    "a picture is handed on when it is drawn and not before",
    "each release follows its return and comes once",
    "a reader that dies leaves no buffer unreleased",
    "a picture that is never drawn holds nobody up",
    "a buffer that PipeWire lost is released too",
    "a producer that never draws is read without explicit sync",
];

// Sabotage: hand a picture on when it comes; release nothing, or only what the reader returned; wait for ever; or keep the
// render node from captured's unit.
#[test]
fn no_picture_is_read_before_it_is_drawn_and_every_buffer_is_released() -> Result<()> {
    let job = Job::with_lumen()?;
    for program in ["explicit_sync", "dmabuf_desk"] {
        job.add(&binaries().join("examples").join(program))?;
    }
    let said = job.run(SCRIPT)?;
    for sentence in SENTENCES {
        ensure!(said.contains(&format!("true: {sentence}")), "not true: {sentence}\n{said}");
    }
    judge_units(&job).context(said)
}

fn read(job: &Job, name: &str) -> Result<Value> {
    let text = fs::read_to_string(job.file(name)).with_context(|| format!("no {name}"))?;
    Ok(serde_json::from_str(&text)?)
}

/// The units' pictures were read whole and in order, and captured used the timelines each time.
fn judge_units(job: &Job) -> Result<()> {
    let summary = read(job, "units.json")?;
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    println!("{} pictures, {:.1} a second", number("/stamp/read"), number("/fps"));
    ensure!(number("/stamp/read") >= 60.0, "too few pictures: {summary:#}");
    ensure!(number("/stamp/unreadable") == 0.0, "pictures that were not drawn: {summary:#}");
    // The newest picture may come once more, by an encoder that is back; an older one never.
    let backwards = number("/stamp/fallen") + number("/stamp/false_repeats");
    ensure!(backwards == 0.0, "older pictures came: {summary:#}");
    ensure!(number("/stamp/patch_error_max") <= 3.0, "colours are off: {summary:#}");
    for stage in ["encoded", "captured"] {
        let status = read(job, &format!("units.{stage}.json"))?;
        let session =
            status.pointer("/stages/1/status/sessions/0").context("captured shows no session")?.clone();
        let count = |name: &str| session.get(name).and_then(Value::as_u64).unwrap_or(u64::MAX);
        ensure!(session["why"].as_str().is_some_and(|why| why.contains("explicit sync")), "{session:#}");
        ensure!((1..u64::MAX).contains(&count("sync_released")), "{session:#}");
        let broken = ["sync_refused", "sync_failed", "copied"].map(count);
        ensure!(broken == [0; 3], "{session:#}");
    }
    Ok(())
}
