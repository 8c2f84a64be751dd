//! Our peer against ENet itself (its transpiled C), over a bad network in virtual time, dying whenever it likes.

use crate::enet::*;
use lumen_core::Timestamp;
use lumen_netem::{Loss, Netem, NetemConfig};
use proptest::prelude::*;
use rusty_enet::{EventNoRef, Host, HostSettings, Packet, PeerID, ReadWrite};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

const CHANNELS: usize = 48;
const TOKEN: u32 = 0x1234_5678;
const STEP: Duration = Duration::from_millis(5);

struct World {
    clock: Rc<Cell<Duration>>,
    client: Host<ReadWrite<(), Infallible>>,
    to_host: Netem,
    to_client: Netem,
    host: Option<Peer>,
    /// What each side got, by channel.
    at_host: Vec<Vec<u32>>,
    at_client: Vec<u32>,
    client_events: Vec<&'static str>,
    host_events: Vec<Event>,
    sent: Vec<u32>,
    answered: u32,
}

impl World {
    fn new(network: NetemConfig, seed: u64) -> Self {
        let clock = Rc::new(Cell::new(Duration::from_secs(100)));
        let time = Rc::clone(&clock);
        let settings = HostSettings {
            peer_limit: 1,
            time: Box::new(move || time.get()),
            seed: Some(seed as u32),
            ..HostSettings::default()
        };
        let mut client = Host::new(ReadWrite::new(), settings).unwrap();
        // What Moonlight sets. ENet's own five seconds are over when three resends fall into outages.
        client.connect((), CHANNELS, TOKEN).unwrap().set_timeout(2, 10_000, 10_000);
        Self {
            clock,
            client,
            to_host: Netem::new(network, seed),
            to_client: Netem::new(network, !seed),
            host: None,
            at_host: vec![Vec::new(); CHANNELS],
            at_client: Vec::new(),
            client_events: Vec::new(),
            host_events: Vec::new(),
            sent: vec![0; CHANNELS],
            answered: 0,
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ns(0) + self.clock.get()
    }

    /// Five milliseconds pass.
    fn step(&mut self) {
        self.clock.set(self.clock.get() + STEP);
        let elapsed = self.clock.get();
        while let Some((_, datagram)) = self.to_client.poll(elapsed) {
            self.client.socket_mut().write((), datagram);
        }
        while let Some(event) = self.client.service().unwrap() {
            match event.no_ref() {
                EventNoRef::Connect { .. } => self.client_events.push("connect"),
                EventNoRef::Disconnect { .. } => self.client_events.push("disconnect"),
                EventNoRef::Receive { packet, .. } => {
                    self.at_client.push(u32::from_be_bytes(packet.data().try_into().unwrap()));
                }
            }
        }
        while let Some(((), datagram)) = self.client.socket_mut().read() {
            self.to_host.push(elapsed, &datagram);
        }
        while let Some((_, datagram)) = self.to_host.poll(elapsed) {
            self.host_receives(&datagram);
        }
        let now = self.now();
        if let Some(host) = &mut self.host
            && host.poll_timeout().is_some_and(|when| when <= now)
        {
            host.handle_timeout(now);
        }
        self.drain();
    }

    fn host_receives(&mut self, datagram: &[u8]) {
        let now = self.now();
        match (PeerId::of(datagram), Connect::parse(datagram), &mut self.host) {
            (Some(_), _, Some(host)) => host.handle_datagram(datagram, now),
            (None, Some(connect), None) => {
                assert_eq!(connect.data, TOKEN);
                self.host = Some(Peer::accept(&connect, PeerId::new(3).unwrap(), now));
            }
            (None, Some(connect), Some(host)) => assert_eq!(connect.connect_id, host.record().connect_id()),
            _ => {}
        }
        self.drain();
    }

    fn drain(&mut self) {
        let elapsed = self.clock.get();
        while let Some(output) = self.host.as_mut().and_then(Peer::poll_output) {
            match output {
                Output::Send(datagram) => self.to_client.push(elapsed, &datagram),
                Output::Event(Event::Message { channel, bytes }) => {
                    let number = u32::from_be_bytes(bytes[..4].try_into().unwrap());
                    assert!(bytes[4..].iter().all(|&byte| byte == number as u8), "bytes are the client's");
                    self.at_host[usize::from(channel)].push(number);
                }
                Output::Event(event) => self.host_events.push(event),
            }
        }
    }

    /// The process dies after it wrote the record; `drained` says whether it still did what it was about to.
    fn kill(&mut self, drained: bool) {
        if drained {
            self.drain();
        }
        let now = self.now();
        self.host = self.host.take().map(|host| Peer::restore(host.record().clone(), now));
    }

    /// The client sends on a channel: reliable on even ones, unreliable on odd ones.
    fn client_sends(&mut self, channel: usize, len: usize) {
        let number = self.sent[channel];
        self.sent[channel] += 1;
        let data = [&number.to_be_bytes()[..], &vec![number as u8; len]].concat();
        let packet =
            if channel.is_multiple_of(2) { Packet::reliable(data) } else { Packet::unreliable(data) };
        self.client.peer_mut(PeerID(0)).send(channel as u8, &packet).unwrap();
    }

    fn host_sends(&mut self) {
        let (now, number) = (self.now(), self.answered);
        if let Some(host) = &mut self.host
            && host.send(0, &number.to_be_bytes(), now).is_ok()
        {
            self.answered += 1;
        }
        self.drain();
    }

    fn until_connected(&mut self) {
        for _ in 0..2000 {
            self.step();
            if self.client_events == ["connect"] && self.host_events == [Event::Connected] {
                return;
            }
        }
        panic!("no connection: {:?}, {:?}", self.client_events, self.host_events);
    }

    /// Nothing is lost any more, and all has time to arrive.
    fn settle(&mut self) {
        self.to_host.set_config(NetemConfig::default());
        self.to_client.set_config(NetemConfig::default());
        (0..1600).for_each(|_| self.step());
    }

    fn verify_order(&self) {
        for (channel, numbers) in self.at_host.iter().enumerate() {
            assert!(numbers.is_sorted_by(|a, b| a < b), "channel {channel}: {numbers:?}");
        }
        assert!(self.at_client.iter().copied().eq(0..self.at_client.len() as u32), "{:?}", self.at_client);
        assert_eq!(self.client_events, ["connect"], "the client noticed nothing");
        assert_eq!(self.host_events, [Event::Connected]);
    }
}

fn bad_network() -> NetemConfig {
    NetemConfig {
        loss: Loss::Random { rate: 0.1 },
        delay: Duration::from_millis(10),
        jitter: Duration::from_millis(10),
        reorder: 0.1,
        reorder_by: Duration::from_millis(15),
        duplicate: 0.05,
        ..NetemConfig::default()
    }
}

#[test]
fn enet_connects_speaks_and_leaves() {
    let mut world = World::new(NetemConfig::default(), 1);
    world.until_connected();
    for len in [0, 100, 900, 1020] {
        world.client_sends(0, len);
    }
    world.client_sends(1, 20);
    world.host_sends();
    (0..40).for_each(|_| world.step());
    assert_eq!((&world.at_host[0], &world.at_host[1]), (&vec![0, 1, 2, 3], &vec![0]));
    assert_eq!(world.at_client, [0]);
    world.verify_order();
    world.client.peer_mut(PeerID(0)).disconnect(7);
    (0..40).for_each(|_| world.step());
    assert_eq!(world.host_events[1..], [Event::Closed(CloseReason::ByClient { data: 7 })]);
    assert_eq!(world.client_events, ["connect", "disconnect"], "and the client knows that it was heard");
}

#[test]
fn the_hosts_goodbye_reaches_the_client() {
    let mut world = World::new(bad_network(), 2);
    world.until_connected();
    let now = world.now();
    world.host.as_mut().unwrap().disconnect(0, now);
    (0..1000).for_each(|_| world.step());
    assert_eq!(world.client_events, ["connect", "disconnect"]);
    assert_eq!(world.host_events[1..], [Event::Closed(CloseReason::ByHost)]);
}

// More than 65,536 messages on one channel. Sabotage: compare sequences without wrapping.
#[test]
fn sequences_wrap() {
    let mut world = World::new(NetemConfig::default(), 3);
    world.until_connected();
    while world.sent[0] < 70_000 {
        (0..60).for_each(|_| world.client_sends(0, 0));
        world.host_sends();
        world.step();
    }
    world.settle();
    assert_eq!(world.at_host[0].len(), world.sent[0] as usize);
    world.verify_order();
}

// Sabotage: keep the parts of all channels in one place.
#[test]
fn messages_in_fragments_on_all_channels_come_through() {
    let mut world = World::new(bad_network(), 4);
    world.until_connected();
    for _ in 0..10 {
        (0..CHANNELS).step_by(2).for_each(|channel| world.client_sends(channel, 1020));
    }
    world.settle();
    world.verify_order();
    assert!(world.at_host.iter().step_by(2).all(|numbers| numbers.len() == 10), "{:?}", world.at_host);
}

/// What can happen to a connection.
#[derive(Clone, Debug)]
enum Op {
    ClientSends {
        channel: usize,
        len: usize,
    },
    HostSends,
    Wait(u32),
    /// The process is killed; what it was about to do is done.
    Kill,
    /// What it was about to do is not: an acknowledgement and a message are lost.
    KillBeforeDraining {
        channel: usize,
    },
    Outage(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (0usize..6, prop_oneof![4 => 0usize..60, 1 => 860usize..1020])
            .prop_map(|(channel, len)| Op::ClientSends { channel, len }),
        4 => Just(Op::HostSends),
        8 => (1u32..12).prop_map(Op::Wait),
        2 => Just(Op::Kill),
        1 => (0usize..6).prop_map(|channel| Op::KillBeforeDraining { channel }),
        1 => (1u32..60).prop_map(Op::Outage),
    ]
}

impl World {
    fn apply(&mut self, op: Op) {
        match op {
            Op::ClientSends { channel, len } => self.client_sends(channel, len),
            Op::HostSends => self.host_sends(),
            Op::Wait(steps) => (0..steps).for_each(|_| self.step()),
            Op::Kill => self.kill(true),
            Op::KillBeforeDraining { channel } => {
                self.client_sends(channel, 10);
                self.client.flush();
                let now = self.now();
                while let Some(((), datagram)) = self.client.socket_mut().read() {
                    self.host.as_mut().unwrap().handle_datagram(&datagram, now);
                }
                self.kill(false);
            }
            Op::Outage(steps) => {
                let silent = NetemConfig { loss: Loss::Random { rate: 1.0 }, ..bad_network() };
                self.to_host.set_config(silent);
                self.to_client.set_config(silent);
                (0..steps).for_each(|_| self.step());
                self.to_host.set_config(bad_network());
                self.to_client.set_config(bad_network());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    // Sabotage: record after the acknowledgement, forget `held` or `parts` in the record, or deliver what comes twice.
    #[test]
    fn messages_come_once_and_in_order_whoever_dies(ops in prop::collection::vec(op(), 1..80), seed: u64) {
        let mut world = World::new(bad_network(), seed);
        world.until_connected();
        let mut lost = 0;
        for op in ops {
            lost += u32::from(matches!(op, Op::KillBeforeDraining { .. }));
            world.apply(op);
            world.verify_order();
        }
        world.settle();
        world.verify_order();
        prop_assert_eq!(world.at_client.len() as u32, world.answered, "all that the host said arrived");
        let reliable = (0..6).step_by(2);
        let (sent, got): (Vec<u32>, Vec<usize>) =
            reliable.map(|channel| (world.sent[channel], world.at_host[channel].len())).unzip();
        if lost == 0 {
            prop_assert!(sent.iter().zip(&got).all(|(&sent, &got)| sent as usize == got), "{:?} {:?}", sent, got);
        }
    }
}
