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
    Pin { index: usize, right: bool },
    Challenge(u8),
    Response(u8),
    Secret(u8),
    Nonsense { from: u8, kind: u8, len: usize },
    HangUp(u64),
    Refuse(usize),
    Stored { works: bool },
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0u8..6).prop_map(Op::Begin),
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
    storing: Vec<AttemptId>,
    right: BTreeSet<AttemptId>,
    answered: BTreeSet<ConnectionId>,
}

impl Street {
    fn new() -> Self {
        let client = |_| PairingClient::new(ClientIdentity::make(), pin("1234"));
        Self {
            world: World::new(),
            clients: (0..6).map(client).collect(),
            replies: vec![vec![0; 48]; 6],
            storing: Vec::new(),
            right: BTreeSet::new(),
            answered: BTreeSet::new(),
        }
    }

    fn apply(&mut self, op: Op) {
        let world = &mut self.world;
        match op {
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

    fn verify_invariants(&mut self) {
        for output in self.world.outputs() {
            match output {
                Output::Answer(connection, answer) => {
                    assert!(self.answered.insert(connection), "answered twice");
                    if let Answer::ChallengeResponse(bytes) = answer {
                        self.replies.fill(bytes);
                    }
                }
                Output::Store(id, proven) => {
                    assert!(self.right.contains(&id), "only the right PIN leads to the store");
                    self.world.stored.push(proven.certificate().fingerprint());
                    self.storing.push(id);
                }
                Output::Ended(id, Ended::Paired) => assert!(self.right.contains(&id)),
                Output::Began(_) | Output::Ended(..) => {}
            }
        }
        let attempts: Vec<_> = self.world.lobby.attempts().collect();
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
            street.apply(op);
            street.verify_invariants();
        }
    }
}
