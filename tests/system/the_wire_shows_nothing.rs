//! No run of the bitstream stands in a capture of the wire.
//!
//! Sabotage: send one shard unsealed.

use std::{
    collections::HashSet,
    fs,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Probe,
    constellation::{PORT, Setup},
    proxy::{Fate, Proxy},
};

/// Sixteen equal bytes by chance: about one in 2⁸⁰ for a capture and a stream of this size.
const RUN: usize = 16;

#[test]
fn the_wire_shows_nothing() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let wire = Arc::new(Mutex::new(Vec::new()));
    let tap = wire.clone();
    let judge = move |datagram: &[u8]| {
        tap.lock().unwrap_or_else(PoisonError::into_inner).push(datagram.to_vec());
        Fate::Pass
    };
    let proxy = Proxy::start(PORT, PORT + 1, judge)?;
    let probe = Probe::allowed(&host)?;
    let file = probe.file("stream.h264");
    let path = file.to_str().context("a path that is no text")?;
    probe.start_from("127.0.0.2", &["--seconds", "3", "--h264", path])?.finish()?.success()?;
    drop(proxy);
    let stream = fs::read(&file)?;
    // Sixteen bytes at every sixteenth place of the stream, looked for at every place of the wire; runs of a
    // single value are no evidence.
    let runs: HashSet<&[u8]> =
        stream.chunks_exact(RUN).filter(|run| run.windows(2).any(|pair| pair[0] != pair[1])).collect();
    ensure!(runs.len() > 10_000, "the stream has only {} runs", runs.len());
    let wire = wire.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(wire.iter().map(Vec::len).sum::<usize>() > stream.len(), "the capture is not whole");
    let shown = wire.iter().flat_map(|datagram| datagram.windows(RUN)).find(|window| runs.contains(window));
    ensure!(shown.is_none(), "these bytes of the stream were on the wire: {shown:02x?}");
    Ok(())
}
