use crate::pair::{Client, Host, meta, ms, unit};
use lumen_core::wire::{BlockShape, FrameFlags, Shard};
use lumen_core::{FrameMeta, Output, ReassemblerConfig, Timestamp};

fn deliver(host: &mut Host, client: &mut Client, meta: FrameMeta, now: Timestamp) {
    for datagram in host.send(&unit(3000, meta.number), &meta, now) {
        client.receive(&datagram, now).unwrap();
    }
}

/// What came, briefly: F = decodable frame, f = frame, L = lost, ? = IDR asked for, each with its number.
fn brief(client: &mut Client) -> String {
    let brief = |output: Output| match output {
        Output::Frame(frame) if frame.decodable => format!("F{}", frame.number),
        Output::Frame(frame) => format!("f{}", frame.number),
        Output::Lost { first, count } => format!("L{first}+{count}"),
        Output::NeedIdr { after_frame } => format!("?{after_frame}"),
    };
    client.outputs().into_iter().map(brief).collect::<Vec<_>>().join(" ")
}

// Sabotage: leave `reference` whole when a frame is lost, or never ask again.
#[test]
fn frames_after_a_loss_are_marked_until_an_idr_comes() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    deliver(&mut host, &mut client, meta(0), ms(0));
    deliver(&mut host, &mut client, meta(2), ms(32));
    assert_eq!(brief(&mut client), "F0");
    assert_eq!(client.reassembler.poll_timeout(), Some(ms(42)));
    client.reassembler.handle_timeout(ms(41));
    assert_eq!(brief(&mut client), "");
    client.reassembler.handle_timeout(ms(42));
    assert_eq!(brief(&mut client), "L1+1 f2 ?1");
    deliver(&mut host, &mut client, meta(3), ms(48));
    assert_eq!(brief(&mut client), "f3");
    assert_eq!(client.reassembler.poll_timeout(), Some(ms(192)));
    client.reassembler.handle_timeout(ms(192));
    assert_eq!(brief(&mut client), "?1");
    deliver(&mut host, &mut client, FrameMeta { idr: true, ..meta(4) }, ms(200));
    deliver(&mut host, &mut client, meta(5), ms(216));
    assert_eq!(brief(&mut client), "F4 F5");
    assert_eq!(client.reassembler.poll_timeout(), None);
}

#[test]
fn a_loss_that_an_idr_already_mended_asks_for_nothing() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    deliver(&mut host, &mut client, meta(0), ms(0));
    deliver(&mut host, &mut client, FrameMeta { idr: true, ..meta(2) }, ms(32));
    client.reassembler.handle_timeout(ms(42));
    assert_eq!(brief(&mut client), "F0 L1+1 F2");
}

#[test]
fn a_stream_that_begins_without_an_idr_asks_for_one() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    deliver(&mut host, &mut client, FrameMeta { idr: false, ..meta(0) }, ms(0));
    assert_eq!(brief(&mut client), "f0 ?0");
}

#[test]
fn the_last_frame_before_a_still_screen_is_given_up_when_it_stalls() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    deliver(&mut host, &mut client, meta(0), ms(0));
    let datagrams = host.send(&unit(3000, 1), &meta(1), ms(16));
    client.receive(&datagrams[0], ms(16)).unwrap();
    client.receive(&datagrams[1], ms(50)).unwrap();
    client.reassembler.handle_timeout(ms(149));
    assert_eq!(brief(&mut client), "F0");
    assert_eq!(client.reassembler.poll_timeout(), Some(ms(150)));
    client.reassembler.handle_timeout(ms(150));
    assert_eq!(brief(&mut client), "L1+1 ?1");
    client.receive(&datagrams[2], ms(151)).unwrap();
    assert_eq!(client.counters().late_shards, 1);
}

// Sabotage: count the lost frames of a jump one by one, and this never ends.
#[test]
fn a_jump_to_the_last_number_is_told_in_two_losses() {
    let (mut host, mut client) = (Host::new(0), Client::new());
    deliver(&mut host, &mut client, meta(0), ms(0));
    // The one after it is refused.
    let max = u64::MAX - 1;
    let last = FrameMeta { number: max, idr: true, ..meta(1) };
    deliver(&mut host, &mut client, last, ms(16));
    let left = max - 63;
    assert_eq!(
        brief(&mut client),
        format!("F0 L1+{} ?{}", left - 1, left - 1),
        "what left the window of 64 frames"
    );
    client.reassembler.handle_timeout(ms(1000));
    assert_eq!(brief(&mut client), format!("L{left}+63 F{max}"));
}

// Sabotage: allocate before `held` is compared, or forget to give memory back.
#[test]
fn memory_stays_below_its_limit() {
    let limit = 3 << 20;
    let config = ReassemblerConfig { max_bytes: limit, ..ReassemblerConfig::starting_at(0) };
    let mut client = Client::with(config);
    let bytes = [0; 1024];
    let shape = BlockShape { data: 1000, parity: 10, shard_len: 1024 };
    for frame in 0..40 {
        let shard =
            Shard { frame, flags: FrameFlags::default(), shape, index: 3, sent: ms(0), bytes: &bytes };
        client.reassembler.handle_shard(&shard, ms(0));
        assert!(client.reassembler.held_bytes() <= limit);
    }
    assert_eq!(client.counters().over_memory, 37);
    client.reassembler.handle_timeout(ms(200));
    assert_eq!(client.reassembler.held_bytes(), 0);
}
