//! No number, and so no nonce, is used twice under a session's key, however often the process that seals is killed.
//!
//! A process of its own goes on with the session's record, cuts and seals frames, and marks each sealed datagram's number in
//! a ledger that outlives it. It is killed after some milliseconds, in the middle of anything; then comes the next one.
//! `cargo xtask kill` sees the same on the wire of the running units, with fewer datagrams.
//!
//! Sabotage: let `Record::reserve` give the numbers out and write them down afterwards, or write every tenth time only.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{
    env, io,
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use lumen_core::{
    ChannelId, ChannelSecret, DatagramBatch, Direction, FrameMeta, Packetiser, PacketiserConfig, Sealer,
    Timestamp, wire::MIN_DATAGRAM_LEN,
};
use lumen_ipc::SessionId;
use lumen_stage::{inherited::Stored, memory::SharedMemory};
use lumen_transportd::record::{Fixed, Record};

/// Promise C3.
const DATAGRAMS: usize = 10_000_000;
/// Places in the ledger: some numbers are lost with each death.
const LEDGER: usize = DATAGRAMS + DATAGRAMS / 5;
const KILLS: usize = 100;
/// Lives last this long at the least, since a process takes some milliseconds to begin.
const SHORTEST: Duration = Duration::from_millis(12);
const CHILD: &str = "LUMEN_TEST_SEALS";

fn main() {
    if env::var_os(CHILD).is_some() {
        return seal_for_ever();
    }
    let began = Instant::now();
    let record = Record::make(&fixed(), 10_000_000).unwrap();
    let ledger = SharedMemory::new("ledger", LEDGER as u64).unwrap();
    let (mut kills, mut sealed) = (0, 0);
    while kills < KILLS || sealed < DATAGRAMS {
        // Any of 50 ms, so that deaths meet every phase.
        let life = SHORTEST + Duration::from_micros(kills as u64 * 7_919 % 50_000);
        live_and_die(&record, &ledger, life);
        kills += 1;
        sealed = ledger.bytes().iter().filter(|times| **times > 0).count();
        assert!(began.elapsed() < Duration::from_secs(600), "{sealed} datagrams after {kills} lives");
    }
    let twice: Vec<usize> = (0..LEDGER).filter(|number| ledger.bytes()[*number] > 1).collect();
    assert!(twice.is_empty(), "{} numbers were used twice, the first is {}", twice.len(), twice[0]);
    println!("{sealed} datagrams sealed in {kills} lives, no number twice: ok");
}

/// One process of the test's own, and its end.
fn live_and_die(record: &Record, ledger: &SharedMemory, life: Duration) {
    let mut child = Command::new(env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdin(Stdio::from(record.duplicate().unwrap().fd))
        .stdout(Stdio::from(ledger.as_fd().try_clone_to_owned().unwrap()))
        .spawn()
        .unwrap();
    thread::sleep(life);
    assert_eq!(child.try_wait().unwrap(), None, "it ended by itself");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The record lies where stdin is, the ledger where stdout is.
fn seal_for_ever() {
    let adopted = |fd: io::Result<OwnedFd>| fd.unwrap();
    let stored = Stored { name: "session".into(), fd: adopted(io::stdin().as_fd().try_clone_to_owned()) };
    let mut ledger =
        SharedMemory::adopt(adopted(io::stdout().as_fd().try_clone_to_owned()), LEDGER as u64).unwrap();
    let (record, fixed) = Record::adopt(stored).unwrap();
    record.forgive();
    let record = Arc::new(record);
    let config =
        PacketiserConfig { datagram_len: fixed.datagram_len.into(), parity_percent: fixed.parity_percent };
    let mut packetiser = Packetiser::new(config).unwrap();
    let secret = ChannelSecret::from_bytes(fixed.secret);
    let mut sealer = Sealer::new(&secret, ChannelId(fixed.channel), Direction::HostToClient);
    let mut batch = DatagramBatch::new();
    let unit = [7; 60_000];
    loop {
        let meta = FrameMeta { number: record.next_frame(), ..FrameMeta::default() };
        record.set_next_frame(meta.number + 1);
        packetiser.packetise(&unit, &meta, &mut batch).unwrap();
        while !batch.is_empty() {
            let burst = batch.seal_next(64, Timestamp::from_ns(0), &mut sealer, &mut &*record).unwrap();
            for datagram in burst.iter().flat_map(|burst| burst.datagrams()) {
                let number = u64::from_le_bytes(datagram[8..16].try_into().unwrap()) as usize;
                if let Some(times) = ledger.bytes_mut().get_mut(number) {
                    *times = times.saturating_add(1);
                }
            }
        }
    }
}

fn fixed() -> Fixed {
    Fixed {
        session: SessionId([3; 16]),
        fingerprint: [3; 32],
        client: "living room".into(),
        channel: 3,
        secret: [3; 32],
        mode: (1280, 720, 60_000),
        app: None,
        parity_percent: 0,
        datagram_len: MIN_DATAGRAM_LEN as u16,
    }
}
