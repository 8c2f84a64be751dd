//! Real dmabufs, of udmabuf and of vgem, go from a PipeWire node through captured to encoded without a copy: the shipped
//! units in an emulated machine, whose kernel has those devices, import, map and read them with the right stride.
//! vdisplayd alone is a fake there (services/captured/examples/dmabuf_desk.rs): its node gives nothing but dmabufs.
//!
//! Sabotage: ignore the stride of the buffer, copy in captured, or keep a descriptor of each pool.

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
open() { ls "/proc/$(as systemctl --user show --value --property MainPID "lumen-$1")/fd" | wc -l; }
tar -C /job/root -cf - . | tar -C / --no-overwrite-dir -xf -
install -m755 /job/dmabuf_desk /usr/lib/lumen/lumen-vdisplayd
chmod 666 /dev/udmabuf /dev/dri/card*
as mkdir -p /home/lumen/.config/lumen
as systemctl --user daemon-reload
as systemctl --user start pipewire.service wireplumber.service
echo 'memory = "dmabuf"' | as tee /home/lumen/.config/lumen/encoded.toml >/dev/null
for memory in udmabuf vgem; do
    echo "memory = \"$memory\"" | as tee /home/lumen/.config/lumen/vdisplayd.toml >/dev/null
    as systemctl --user start lumen.target
    as lumenctl allow "$(as lumen-probe fingerprint)" --name probe
    as lumen-probe --mode 320x180@60 --stamp --patience 90 --seconds 60 --json /tmp/$memory.json &
    sleep 12
    open captured >/job/$memory.captured.early; open encoded >/job/$memory.encoded.early
    # It says by its exit status that the fake has no status to give.
    as lumenctl status --json >/job/$memory.status.json || true
    sleep 20
    open captured >/job/$memory.captured.late; open encoded >/job/$memory.encoded.late
    wait $! || echo "the probe ended with $?"
    as lumenctl logs -n 40 || as journalctl --user --no-pager -n 60 -u 'lumen-*'
    cp /tmp/$memory.json /job/
    as systemctl --user stop lumen.target
done
"#;

#[test]
fn dmabufs_of_udmabuf_and_vgem_reach_the_encoder() -> Result<()> {
    let job = Job::with_lumen()?;
    job.add(&binaries().join("examples/dmabuf_desk"))?;
    let said = job.run(SCRIPT)?;
    for memory in ["udmabuf", "vgem"] {
        judge(&job, memory).with_context(|| format!("{memory}:\n{said}"))?;
    }
    Ok(())
}

fn judge(job: &Job, memory: &str) -> Result<()> {
    let read = |name: &str| {
        let name = format!("{memory}.{name}");
        fs::read_to_string(job.file(&name)).with_context(|| format!("no {name}"))
    };
    let summary: Value = serde_json::from_str(&read("json")?)?;
    let number = |pointer: &str| summary.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    println!("{memory}: {} pictures, {:.1} a second", number("/stamp/read"), number("/fps"));
    ensure!(number("/stamp/read") >= 100.0, "too few pictures: {summary:#}");
    ensure!(number("/stamp/unreadable") == 0.0, "pictures without a number: {summary:#}");
    ensure!(summary.pointer("/stamp/strictly_rising") == Some(&Value::Bool(true)), "not rising: {summary:#}");
    ensure!(number("/stamp/patch_error_max") <= 3.0, "colours are off: {summary:#}");
    let status: Value = serde_json::from_str(&read("status.json")?)?;
    // The node gives nothing but dmabufs, so what was taken and not copied is dmabufs.
    let session = status.pointer("/stages/1/status/sessions/0").context("captured shows no session")?;
    let count = |name: &str| session.get(name).and_then(Value::as_u64);
    ensure!(count("taken") > Some(100) && count("copied") == Some(0), "captured copied: {session:#}");
    for stage in ["captured", "encoded"] {
        let count = |when: &str| -> Result<usize> { Ok(read(&format!("{stage}.{when}"))?.trim().parse()?) };
        let (early, late) = (count("early")?, count("late")?);
        ensure!(late <= early, "{stage} had {early} descriptors and then {late}");
    }
    Ok(())
}
