//! Real dmabufs, of udmabuf and of vgem, go from a PipeWire node through captured to encoded without a copy: the shipped
//! units in an emulated machine, whose kernel has those devices, import, map and read them with the right stride.
//! vdisplayd alone is a fake there (services/captured/examples/dmabuf_desk.rs): its node gives nothing but dmabufs. Ten
//! thousand more, small and plain, go the same way for the descriptors' sake. Where encoded cannot read them, captured takes
//! others.

use std::fs;

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    constellation::{binaries, checkout, run, text},
    vm::Job,
};
use serde_json::Value;

/// What is common: `stream` lets the probe watch, and keeps what all said.
const PRELUDE: &str = r#"
set -eu
as() {
    setpriv --reuid=lumen --regid=lumen --init-groups env -i HOME=/home/lumen USER=lumen PATH=/usr/bin:/bin \
        XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
open() { ls "/proc/$(as systemctl --user show --value --property MainPID "lumen-$1")/fd" | wc -l; }
tar -C /job/root -cf - . | tar -C / --no-overwrite-dir -xf -
install -m755 /job/dmabuf_desk /usr/lib/lumen/lumen-vdisplayd
chmod 666 /dev/udmabuf /dev/dri/card*
as mkdir -p /home/lumen/.config/lumen
as systemctl --user daemon-reload
as systemctl --user start pipewire.service wireplumber.service
echo 'memory = "dmabuf"' | as tee /home/lumen/.config/lumen/encoded.toml >/dev/null

stream() { # NAME CONFIGURATION PROBE-OPTIONS: counts descriptors early and late, and keeps what all said
    local name=$1 probe
    echo "$2" | as tee /home/lumen/.config/lumen/vdisplayd.toml >/dev/null
    as systemctl --user start lumen.target
    as lumenctl allow "$(as lumen-probe fingerprint)" --name probe
    as lumen-probe --patience 90 --json "/tmp/$name.json" "${@:3}" &
    probe=$!
    sleep 12
    open captured >"/job/$name.captured.early"; open encoded >"/job/$name.encoded.early"
    while kill -0 "$probe" 2>/dev/null; do
        open captured >/tmp/captured.late; open encoded >/tmp/encoded.late
        # It says by its exit status that the fake has no status to give.
        as lumenctl status --json >/tmp/status || true
        # What was counted when the session was over already says nothing.
        if grep -q '"taken"' /tmp/status; then
            cp /tmp/status "/job/$name.status.json"
            cp /tmp/captured.late "/job/$name.captured.late"; cp /tmp/encoded.late "/job/$name.encoded.late"
        fi
        sleep 3
    done
    wait "$probe" || echo "the probe ended with $?"
    as journalctl --user --no-pager -u lumen-encoded >"/job/$name.encoded.log"
    as lumenctl logs -n 40 || as journalctl --user --no-pager -n 60 -u 'lumen-*'
    cp "/tmp/$name.json" /job/
    as systemctl --user stop lumen.target
}
"#;

const REACH: &str = r#"
for memory in udmabuf vgem; do
    stream $memory "memory = \"$memory\"" --mode 320x180@60 --stamp --seconds 300 --frames 1500
done
stream many "$(printf 'memory = "udmabuf"\nplain = true')" --mode 160x96@240 --bitrate 1M --seconds 900 --frames PICTURES
"#;

/// A driver whose memory a CPU cannot map: a fake that is preloaded into encoded.
const UNREADABLE: &str = r#"
install -m755 /job/unmappable.so /usr/lib/lumen/
as mkdir -p /home/lumen/.config/systemd/user/lumen-encoded.service.d
printf '[Service]\nEnvironment=LD_PRELOAD=/usr/lib/lumen/unmappable.so\n' |
    as tee /home/lumen/.config/systemd/user/lumen-encoded.service.d/90-unmappable.conf >/dev/null
as systemctl --user daemon-reload
stream unreadable "$(printf 'memory = "udmabuf"\nalso_memfds = true')" --mode 320x180@60 --stamp --seconds 200 --frames 1500
"#;

/// Of the stream that shows that descriptors do not grow.
const PICTURES: u64 = 10_000;

// Sabotage: ignore the stride of the buffer, copy in captured, or keep a descriptor of each pool or Frame.
#[test]
fn dmabufs_of_udmabuf_and_vgem_reach_the_encoder() -> Result<()> {
    let job = Job::with_lumen()?;
    job.add(&binaries().join("examples/dmabuf_desk"))?;
    // The probe's count has repeats in it.
    let reach = REACH.replace("PICTURES", &(PICTURES + PICTURES / 10).to_string());
    let said = job.run(&format!("{PRELUDE}{reach}"))?;
    for memory in ["udmabuf", "vgem"] {
        judge(&job, memory, 100).with_context(|| format!("{memory}:\n{said}"))?;
        judge_stamps(&job, memory).with_context(|| format!("{memory}:\n{said}"))?;
    }
    judge(&job, "many", PICTURES).with_context(|| format!("many:\n{said}"))?;
    Ok(())
}

// Sabotage: say nothing to captured in encoded, or let captured go on with the same buffers.
#[test]
fn dmabufs_that_the_encoder_cannot_read_are_replaced_by_memfds() -> Result<()> {
    let job = Job::with_lumen()?;
    job.add(&binaries().join("examples/dmabuf_desk"))?;
    let source = checkout().join("tests/system/unmappable.c").to_string_lossy().into_owned();
    let library = job.file("unmappable.so").to_string_lossy().into_owned();
    let built = run("cc", &["-shared", "-fPIC", "-Wall", "-Werror", "-o", &library, &source])?;
    ensure!(built.status.success(), "{}", text(&built));
    let said = job.run(&format!("{PRELUDE}{UNREADABLE}"))?;
    judge_replaced(&job).and_then(|()| judge_stamps(&job, "unreadable")).with_context(|| said)
}

/// encoded asked for others, and captured gave the compositor's memfds in the same session.
fn judge_replaced(job: &Job) -> Result<()> {
    let log = read(job, "unreadable.encoded.log")?;
    ensure!(log.contains("captured is asked for other buffers"), "encoded could read them:\n{log}");
    let session = session(job, "unreadable")?;
    let memory = session["memory"].as_str().unwrap_or_default();
    ensure!(memory == "memfds, the compositor's own, handed on", "{session:#}");
    ensure!(session["modifiers_dropped"].as_u64() == Some(1), "{session:#}");
    Ok(())
}

/// What captured said of its session.
fn session(job: &Job, name: &str) -> Result<Value> {
    let status: Value = serde_json::from_str(&read(job, &format!("{name}.status.json"))?)?;
    status.pointer("/stages/1/status/sessions/0").cloned().context("captured shows no session")
}

fn read(job: &Job, name: &str) -> Result<String> {
    fs::read_to_string(job.file(name)).with_context(|| format!("no {name}"))
}

/// Each picture was read as it was drawn.
fn judge_stamps(job: &Job, name: &str) -> Result<()> {
    let summary: Value = serde_json::from_str(&read(job, &format!("{name}.json"))?)?;
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    println!("{name}: {} pictures, {:.1} a second", number("/stamp/read"), number("/fps"));
    ensure!(number("/stamp/read") >= 100.0, "too few pictures: {summary:#}");
    ensure!(number("/stamp/unreadable") == 0.0, "pictures without a number: {summary:#}");
    ensure!(summary.pointer("/stamp/strictly_rising") == Some(&Value::Bool(true)), "not rising: {summary:#}");
    ensure!(number("/stamp/patch_error_max") <= 3.0, "colours are off: {summary:#}");
    Ok(())
}

/// At least `pictures` went through, none of them was copied, and no descriptor stayed behind.
fn judge(job: &Job, name: &str, pictures: u64) -> Result<()> {
    let summary: Value = serde_json::from_str(&read(job, &format!("{name}.json"))?)?;
    let came = summary["frames"].as_u64().context("no pictures")?;
    ensure!(came >= pictures, "{came} pictures came: {summary:#}");
    let session = session(job, name)?;
    let count = |name: &str| session.get(name).and_then(Value::as_u64);
    // The last look is some seconds before the end.
    ensure!(
        count("taken") > Some(pictures / 2) && count("copied") == Some(0),
        "captured copied: {session:#}"
    );
    let memory = session["memory"].as_str().unwrap_or_default();
    ensure!(memory == "dmabufs of modifier 0x0, the compositor's own, handed on", "{session:#}");
    for stage in ["captured", "encoded"] {
        let count = |when: &str| -> Result<usize> {
            Ok(read(job, &format!("{name}.{stage}.{when}"))?.trim().parse()?)
        };
        let (early, late) = (count("early")?, count("late")?);
        println!("{name}: {came} pictures, {stage} has {early} and then {late} descriptors");
        ensure!(late <= early, "{stage} had {early} descriptors and then {late}");
    }
    Ok(())
}
