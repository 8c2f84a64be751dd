use crate::pair::{Client, Host, meta, ms, unit};
use lumen_core::{Output, Timestamp};
use lumen_netem::{Loss, Netem, NetemConfig};
use std::time::Duration;

const FRAMES: u64 = 600;

/// Streams ten seconds at 60 fps through a network, and returns the numbers of the frames that came whole and of those lost.
fn stream(parity: u16, network: NetemConfig, seed: u64) -> (Vec<u64>, u64, Client) {
    let (mut host, mut client, mut netem) = (Host::new(parity), Client::new(), Netem::new(network, seed));
    let (mut whole, mut lost) = (Vec::new(), 0);
    for tick in 0..FRAMES * 16 + 200 {
        let now = Duration::from_millis(tick);
        if tick % 16 == 0 && tick / 16 < FRAMES {
            let number = tick / 16;
            let len = if number % 60 == 0 { 120_000 } else { 20_000 };
            for datagram in host.send(&unit(len, number), &meta(number), ms(tick)) {
                netem.push(now, &datagram);
            }
        }
        while let Some((at, datagram)) = netem.poll(now) {
            // Doubled ones are refused, and counted.
            let _ = client.receive(&datagram, Timestamp::from_ns(at.as_nanos() as u64));
        }
        client.reassembler.handle_timeout(ms(tick));
        for output in client.outputs() {
            match output {
                Output::Frame(frame) => {
                    let len = if frame.number % 60 == 0 { 120_000 } else { 20_000 };
                    assert!(frame.unit() == unit(len, frame.number), "frame {} differs", frame.number);
                    whole.push(frame.number);
                    client.reassembler.recycle(frame);
                }
                Output::Lost { count, .. } => lost += count,
                Output::NeedIdr { .. } => {}
            }
        }
    }
    (whole, lost, client)
}

fn network(loss: Loss) -> NetemConfig {
    NetemConfig {
        loss,
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(3),
        reorder: 0.02,
        reorder_by: Duration::from_millis(4),
        ..NetemConfig::default()
    }
}

// Sabotage: compute no parity, or give up a frame when the first shard of the next one comes.
#[test]
fn with_half_as_much_parity_every_frame_is_recovered() {
    let (whole, lost, client) = stream(50, network(Loss::Random { rate: 0.05 }), 5);
    assert_eq!(whole, (0..FRAMES).collect::<Vec<_>>());
    assert_eq!(lost, 0);
    assert!(client.counters().recovered_frames > FRAMES / 4, "the network lost too little to show anything");
    assert_eq!(client.opener.counters().forged + client.opener.counters().malformed, 0);
}

// Sabotage: a network that loses nothing.
#[test]
fn without_parity_the_same_network_loses_frames() {
    let (whole, lost, client) = stream(0, network(Loss::Random { rate: 0.05 }), 5);
    assert!(lost > FRAMES / 4, "only {lost} lost");
    assert_eq!(whole.len() as u64 + lost, FRAMES);
    assert_eq!(client.counters().recovered_frames, 0);
}

// Bursts of four in blocks of 15 + 8: by chance a block loses more than its parity about once in ten thousand.
#[test]
fn bursts_are_mended_too() {
    let (whole, lost, _) = stream(50, network(Loss::Bursts { rate: 0.05, length: 4 }), 9);
    assert!(lost <= 3, "{lost} lost");
    assert_eq!(whole.len() as u64 + lost, FRAMES);
}

#[test]
fn a_network_that_doubles_and_reorders_loses_nothing() {
    let network = NetemConfig { duplicate: 0.3, reorder: 0.3, ..network(Loss::Never) };
    let (whole, lost, client) = stream(0, network, 3);
    assert_eq!((whole.len() as u64, lost), (FRAMES, 0));
    assert!(client.opener.counters().replayed > 1000);
}
