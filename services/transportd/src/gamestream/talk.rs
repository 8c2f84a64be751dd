//! One client's control connection, sans-IO: ENet, what is sealed in it, and its record.
//!
//! ```text
//!  datagram ─► enet::Peer ─► Opener ─► Incoming ─┐
//!                                                ├─ all of it into the record, then ─► Output: acknowledgements and what is asked
//!  Outgoing ─► Sealer ─► enet::Peer ─────────────┘
//!
//!  Awaited ── connect with SETUP's number ──► Open ── goodbye, 10 s of silence ──► Over
//! ```
//! **Invariant:** nothing leaves before the record has it: a datagram whose acknowledgement was lost with a process comes
//! again, and one that was acknowledged does not.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use lumen_core::{Timestamp, control::Input};
use lumen_gamestream::{
    control::{FecStatus, Incoming, Opener, Outgoing, Sealer, Termination},
    enet::{self, CloseReason, Connect, PeerId},
    input::Event,
};

use super::{input::translate, touches::Touches};
use crate::{
    peers::hands::{Hands, Held},
    record::{Record, Talk as State, Terms},
    video::outlet::Destination,
};

/// Within which a client that was answered must connect. Because clients try for 10 s.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long a client may take to hear that it is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The channel on which clients listen.
const CHANNEL: u8 = 0;

/// What the client wants.
#[derive(Debug, PartialEq, Eq)]
pub enum Wish {
    /// The next picture shall need nothing before it.
    Idr,
    /// These frames did not come whole; a picture that refers to none of them shall come.
    Lost {
        /// Number of the first.
        first: u32,
        /// Number of the last.
        last: u32,
    },
    /// A person did something.
    Input(Input),
}

/// What is to be done.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Vec<u8>, Destination),
    /// The client said something that nobody else can say.
    Alive,
    /// It wants this.
    Wish(Wish),
    /// It did not get all of a Block.
    Losses(FecStatus),
    /// It is gone, for this reason; nothing follows.
    Closed(&'static str),
}

/// What was not taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that are not the client's, or none.
    pub unreadable: u64,
    /// What a seat cannot be told.
    pub unsaid: u64,
}

#[derive(Debug)]
enum Standing {
    Awaited { until: Timestamp },
    Open { peer: Box<enet::Peer>, place: Destination },
    Over,
}

/// The connection.
#[derive(Debug)]
pub struct Talk {
    record: Arc<Record>,
    /// What the client's connect carries.
    number: u32,
    id: PeerId,
    opener: Opener,
    sealer: Sealer,
    hands: Hands,
    touches: Touches,
    standing: Standing,
    /// The host said goodbye; until then the client may answer.
    leaves_at: Option<Timestamp>,
    turn: u64,
    counters: Counters,
    outputs: VecDeque<Output>,
}

impl Talk {
    /// Of the session that `record` is of, with what an earlier incarnation recorded. `id` is the peer's unless it has one.
    pub fn new(record: Arc<Record>, terms: &Terms, id: PeerId, now: Timestamp) -> Self {
        let (key, state) = (terms.key(), record.talk());
        let window = state.as_ref().map(|state| state.window).unwrap_or_default();
        let held = state.as_ref().map(|state| state.held.clone()).unwrap_or_default();
        let place = state.as_ref().map(State::place);
        let peer = state.map(|state| enet::Peer::restore(state.peer, now));
        let id = peer.as_ref().map_or(id, |peer| peer.record().id());
        let standing = match peer.zip(place) {
            None => Standing::Awaited { until: now + PATIENCE },
            Some((peer, _)) if peer.record().is_closed() => Standing::Over,
            Some((peer, place)) => Standing::Open { peer: Box::new(peer), place },
        };
        let mut talk = Self {
            number: terms.control,
            id,
            opener: Opener::new(&key, window),
            sealer: Sealer::new(&key),
            hands: Hands::holding(held),
            touches: Touches::default(),
            standing,
            leaves_at: None,
            turn: record.talk_turn(),
            record,
            counters: Counters::default(),
            outputs: VecDeque::new(),
        };
        talk.settle(now);
        talk
    }

    /// Which peer it is, or will be.
    pub fn id(&self) -> PeerId {
        self.id
    }

    /// Whether the client is gone.
    pub fn is_over(&self) -> bool {
        matches!(self.standing, Standing::Over)
    }

    /// Whether the host has said goodbye.
    pub fn is_parting(&self) -> bool {
        self.leaves_at.is_some()
    }

    /// What was not taken.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// A datagram that names this session or its peer, from `place`.
    pub fn handle_datagram(&mut self, datagram: &[u8], place: Destination, now: Timestamp) {
        let connect = Connect::parse(datagram).filter(|connect| connect.data == self.number);
        match (&mut self.standing, connect) {
            (Standing::Awaited { .. }, Some(connect)) => self.accept(&connect, place, now),
            // Until a client has answered, whoever connects anew is as good.
            (Standing::Open { peer, .. }, Some(connect))
                if !peer.record().is_connected() && peer.record().connect_id() != connect.connect_id =>
            {
                self.accept(&connect, place, now);
            }
            (Standing::Open { peer, place: known }, None) if known.to == place.to => {
                peer.handle_datagram(datagram, now);
                known.from = place.from;
            }
            // A connect that came again is answered by ENet's own clock.
            _ => return,
        }
        self.settle(now);
    }

    fn accept(&mut self, connect: &Connect, place: Destination, now: Timestamp) {
        let peer = Box::new(enet::Peer::accept(connect, self.id, now));
        self.standing = Standing::Open { peer, place };
    }

    /// Says something to the client.
    pub fn tell(&mut self, message: &Outgoing, now: Timestamp) {
        if let Standing::Open { peer, .. } = &mut self.standing {
            // A client that hears nothing any more is gone in some seconds, and 2³² messages are never said.
            if let Ok(bytes) = self.sealer.seal(message, &mut self.record.control_numbers()) {
                let _ = peer.send(CHANNEL, &bytes, now);
            }
            self.settle(now);
        }
    }

    /// Tells the client that it is over; [`Output::Closed`] follows within [`LAST_WORDS`].
    pub fn part(&mut self, now: Timestamp) {
        if self.leaves_at.is_none() {
            self.tell(&Outgoing::Terminate(Termination::Graceful), now);
            self.leaves_at = Some(now + LAST_WORDS);
        }
    }

    /// Call it at [`poll_timeout`](Self::poll_timeout).
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.leaves_at.is_some_and(|at| at <= now) {
            return self.close("the host ended it");
        }
        match &mut self.standing {
            Standing::Awaited { until } if *until <= now => self.close("it did not connect"),
            Standing::Open { peer, .. } => {
                if peer.poll_timeout().is_some_and(|at| at <= now) {
                    peer.handle_timeout(now);
                    self.settle(now);
                }
            }
            Standing::Awaited { .. } | Standing::Over => {}
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let own = match &self.standing {
            Standing::Awaited { until } => Some(*until),
            Standing::Open { peer, .. } => peer.poll_timeout(),
            Standing::Over => return None,
        };
        own.into_iter().chain(self.leaves_at).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Records what the peer knows now, and only then lets out what follows from it.
    fn settle(&mut self, now: Timestamp) {
        let (mut said, mut is_new, mut closed) = (Vec::new(), false, None);
        let Standing::Open { peer, place } = &mut self.standing else {
            return;
        };
        let place = *place;
        let news: Vec<_> = std::iter::from_fn(|| peer.poll_output()).collect();
        for output in news {
            match output {
                enet::Output::Send(bytes) => said.push(Output::Send(bytes, place)),
                enet::Output::Event(enet::Event::Connected) => is_new = true,
                enet::Output::Event(enet::Event::Message { bytes, .. }) => self.read(&bytes, &mut said),
                enet::Output::Event(enet::Event::Closed(reason)) => closed = Some(words(reason)),
            }
        }
        self.write();
        self.outputs.extend(said);
        if is_new {
            // Clients keep what an earlier host told them.
            self.tell(&Outgoing::Hdr { enabled: false, metadata: Default::default() }, now);
        }
        if let Some(reason) = closed {
            self.close(reason);
        }
    }

    fn write(&mut self) {
        if let Standing::Open { peer, place } = &self.standing {
            self.turn += 1;
            let (peer, window) = (peer.record().clone(), self.opener.window());
            // What nobody can let go any more is not down, for the next incarnation neither.
            let held = if peer.is_closed() { Held::default() } else { self.hands.down() };
            let state = State { peer, window, held, to: place.to, from: place.from };
            self.record.set_talk(self.turn, &state);
        }
    }

    fn close(&mut self, reason: &'static str) {
        if !self.is_over() {
            let held = std::mem::take(&mut self.hands).down();
            self.write();
            self.standing = Standing::Over;
            for code in held {
                self.outputs.push_back(Output::Wish(Wish::Input(Input::Key { code, pressed: false })));
            }
            let cancelled = self.touches.cancel();
            self.outputs.extend(cancelled.map(|input| Output::Wish(Wish::Input(input))));
            self.outputs.push_back(Output::Closed(reason));
        }
    }

    fn read(&mut self, message: &[u8], said: &mut Vec<Output>) {
        let parsed = self.opener.open(message).and_then(|(kind, payload)| Incoming::parse(kind, &payload));
        let Ok(incoming) = parsed else {
            self.counters.unreadable += 1;
            return;
        };
        said.push(Output::Alive);
        let wish = match incoming {
            Incoming::Fec(status) => return said.push(Output::Losses(status)),
            Incoming::RequestIdr => Wish::Idr,
            Incoming::InvalidateReferences { first, last } => Wish::Lost { first, last },
            Incoming::Input(event) => return self.act(&event, said),
            Incoming::Start
            | Incoming::LongTermReference { .. }
            | Incoming::Ping
            | Incoming::Loss(_)
            | Incoming::Unknown { .. } => return,
        };
        said.push(Output::Wish(wish));
    }

    /// A person did something. What is down then is recorded; the seat keeps its own account.
    fn act(&mut self, event: &Event, said: &mut Vec<Output>) {
        let mut inputs = translate(event, &self.hands.down());
        if let Event::Touch(touch) = event {
            inputs.extend(self.touches.handle(touch));
        }
        self.counters.unsaid += u64::from(inputs.is_empty());
        for input in inputs {
            if let Input::Key { code, pressed } | Input::Button { code, pressed } = input {
                self.hands.hold(code, pressed);
            }
            said.push(Output::Wish(Wish::Input(input)));
        }
    }
}

fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ByClient { .. } => "the client quit",
        CloseReason::ByHost => "the host ended it",
        CloseReason::TimedOut => "the client was silent",
    }
}

#[cfg(test)]
mod tests;
