use super::tests::{World, pin};
use super::*;
use crate::pairing::client::{ClientIdentity, PairingClient};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// What can happen at the door.
#[derive(Clone, Debug)]
enum Op {
    Begin(u8),
    /// What a client does that pairs in good order.
    Advance(u8),
    Pin {
        index: usize,
        right: bool,
    },
    Challenge(u8),
    Response(u8),
    Secret(u8),
    Nonsense {
        from: u8,
        kind: u8,
        len: usize,
    },
    HangUp(u64),
    Refuse(usize),
    Stored {
        works: bool,
    },
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..6).prop_map(Op::Begin),
        16 => (0u8..6).prop_map(Op::Advance),
        4 => (0usize..4, any::<bool>()).prop_map(|(index, right)| Op::Pin { index, right }),
        4 => (0u8..6).prop_map(Op::Challenge),
        4 => (0u8..6).prop_map(Op::Response),
        4 => (0u8..6).prop_map(Op::Secret),
        1 => (0u8..6, 0u8..4, 0usize..60).prop_map(|(from, kind, len)| Op::Nonsense { from, kind, len }),
        1 => (0u64..60).prop_map(Op::HangUp),
        1 => (0usize..4).prop_map(Op::Refuse),
        3 => any::<bool>().prop_map(|works| Op::Stored { works }),
        2 => (0u64..30).prop_map(Op::Wait),
    ]
}

/// The clients of a run, their last answers, and what was decided.
struct Street {
    world: World,
    clients: Vec<PairingClient>,
    replies: Vec<Vec<u8>>,
    /// How far each client has come.
    steps: Vec<usize>,
    storing: Vec<AttemptId>,
    right: BTreeSet<AttemptId>,
    answered: BTreeSet<ConnectionId>,
    hung_up: u64,
}

impl Street {
    fn new() -> Self {
        let client = |_| PairingClient::new(ClientIdentity::make(), pin("1234"));
        Self {
            world: World::new(),
            clients: (0..6).map(client).collect(),
            replies: vec![vec![0; 48]; 6],
            steps: vec![0; 6],
            storing: Vec::new(),
            right: BTreeSet::new(),
            answered: BTreeSet::new(),
            hung_up: 0,
        }
    }

    /// Does it, and says whether phase 4 was asked.
    fn apply(&mut self, op: Op) -> bool {
        let op = match op {
            Op::Advance(from) => self.next(from),
            op => op,
        };
        let is_last = matches!(op, Op::Secret(_) | Op::Nonsense { kind: 2, .. });
        self.act(op);
        is_last
    }

    /// What client `from` does next.
    fn next(&mut self, from: u8) -> Op {
        let step = &mut self.steps[usize::from(from)];
        *step = (*step + 1) % 5;
        match *step {
            1 => Op::Begin(from),
            2 => {
                let mut attempts = self.world.lobby.attempts();
                let index = attempts.position(|attempt| attempt.from == super::tests::address(from));
                Op::Pin { index: index.unwrap_or(usize::MAX), right: true }
            }
            3 => Op::Challenge(from),
            4 => Op::Response(from),
            _ => Op::Secret(from),
        }
    }

    fn act(&mut self, op: Op) {
        let world = &mut self.world;
        match op {
            Op::Advance(_) => {}
            Op::Begin(from) => drop(world.begin(from, &self.clients[usize::from(from)])),
            Op::Pin { index, right } => {
                let Some(id) = world.lobby.attempts().nth(index).map(|attempt| attempt.id) else { return };
                let typed = pin(if right { "1234" } else { "9999" });
                if world.lobby.handle_pin(id, typed, world.now).is_ok() && right {
                    self.right.insert(id);
                }
            }
            Op::Challenge(from) => {
                let bytes = self.clients[usize::from(from)].client_challenge();
                world.request(from, PairRequest::ClientChallenge(bytes));
            }
            Op::Response(from) => {
                let reply = self.replies[usize::from(from)].clone();
                let bytes = self.clients[usize::from(from)].server_challenge_response(&reply);
                world.request(from, PairRequest::ServerChallengeResponse(bytes));
            }
            Op::Secret(from) => {
                let bytes = self.clients[usize::from(from)].client_pairing_secret();
                world.request(from, PairRequest::ClientPairingSecret(bytes));
            }
            Op::Nonsense { from, kind, len } => {
                let bytes = vec![kind; len];
                let request = match kind {
                    0 => PairRequest::ClientChallenge(bytes),
                    1 => PairRequest::ServerChallengeResponse(bytes),
                    2 => PairRequest::ClientPairingSecret(bytes),
                    _ => PairRequest::GetServerCert { salt: [0; 16], certificate: bytes },
                };
                world.request(from, request);
            }
            Op::HangUp(connection) => world.lobby.handle_hangup(ConnectionId(connection)),
            Op::Refuse(index) => {
                let Some(id) = world.lobby.attempts().nth(index).map(|attempt| attempt.id) else { return };
                let _ = world.lobby.refuse(id, world.now);
            }
            Op::Stored { works } => {
                let Some(id) = self.storing.pop() else { return };
                world.lobby.stored(id, if works { Ok(()) } else { Err("full".into()) });
            }
            Op::Wait(seconds) => {
                world.now = world.now + Duration::from_secs(seconds);
                world.lobby.handle_timeout(world.now);
            }
        }
    }

    fn verify_invariants(&mut self, is_last: bool) {
        for output in self.world.outputs() {
            match output {
                Output::Answer(connection, answer) => {
                    assert!(self.answered.insert(connection), "answered twice");
                    if let Answer::ChallengeResponse(bytes) = answer {
                        self.replies.fill(bytes);
                    }
                }
                Output::Store(id, proven) => {
                    assert!(is_last, "only the last phase leads to the store");
                    assert!(self.right.contains(&id), "only the right PIN leads to the store");
                    self.world.stored.push(proven.certificate().fingerprint());
                    self.storing.push(id);
                }
                Output::Ended(id, Ended::Paired) => assert!(self.right.contains(&id)),
                Output::Ended(_, Ended::HungUp) => self.hung_up += 1,
                Output::Began(_) | Output::Ended(..) => {}
            }
        }
        let attempts: Vec<_> = self.world.lobby.attempts().collect();
        let held = attempts.iter().filter(|attempt| attempt.wants_pin).count() + self.storing.len();
        let over = self.answered.len() as u64 + self.hung_up;
        assert_eq!(self.world.connections - over, held as u64, "a connection is answered, gone or held");
        assert!(attempts.len() <= MAX_PENDING);
        let addresses: BTreeSet<_> = attempts.iter().map(|attempt| attempt.from).collect();
        assert_eq!(addresses.len(), attempts.len(), "one an address");
        assert!(self.world.lobby.wrong.len() <= MAX_GUESSES);
        assert!(self.world.lobby.poll_timeout().is_none_or(|when| when > self.world.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    // Sabotage: end an attempt without answering its connection, or store from any other phase.
    #[test]
    fn nothing_is_stored_without_the_right_pin_in_the_right_order(ops in prop::collection::vec(op(), 1..80)) {
        let mut street = Street::new();
        for op in ops {
            let is_last = street.apply(op);
            street.verify_invariants(is_last);
        }
    }
}

// What the property above would not show if no run ever got so far.
#[test]
fn a_client_in_good_order_is_stored() {
    let mut street = Street::new();
    for _ in 0..5 {
        let is_last = street.apply(Op::Advance(0));
        street.verify_invariants(is_last);
    }
    assert_eq!(street.world.stored.len(), 1);
}
