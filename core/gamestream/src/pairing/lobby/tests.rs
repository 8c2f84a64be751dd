use super::*;
use crate::pairing::client::{ClientIdentity, PairingClient};
use std::net::Ipv4Addr;
use std::time::Duration;

const FRESH: Fresh = Fresh { secret: [3; 16], challenge: [4; 16] };

pub(super) fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, last).into()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ns(0) + Duration::from_secs(seconds)
}

pub(super) fn pin(text: &str) -> Pin {
    text.parse().unwrap()
}

/// A host, the clients that speak to it, and what the store holds.
pub(super) struct World {
    pub(super) lobby: Lobby,
    host: Certificate,
    pub(super) now: Timestamp,
    pub(super) connections: u64,
    pub(super) stored: Vec<[u8; 32]>,
}

impl World {
    pub(super) fn new() -> Self {
        let host = Arc::new(ClientIdentity::make_other().host());
        let certificate = host.certificate().clone();
        Self { lobby: Lobby::new(host), host: certificate, now: at(0), connections: 0, stored: Vec::new() }
    }

    pub(super) fn request(&mut self, from: u8, request: PairRequest) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.lobby.handle_request(request, address(from), connection, FRESH, self.now);
        connection
    }

    pub(super) fn begin(&mut self, from: u8, client: &PairingClient) -> ConnectionId {
        let certificate = client.identity.pem.clone().into_bytes();
        self.request(from, PairRequest::GetServerCert { salt: client.salt, certificate })
    }

    pub(super) fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.lobby.poll_output()).collect()
    }

    /// The one answer that is due; anything else fails the test.
    fn answer(&mut self, to: ConnectionId) -> Answer {
        let mut answers = self.outputs().into_iter().filter_map(|output| match output {
            Output::Answer(connection, answer) => Some((connection, answer)),
            _ => None,
        });
        let (connection, answer) = answers.next().expect("nothing was answered");
        assert_eq!(connection, to);
        assert!(answers.next().is_none(), "two answers");
        answer
    }

    fn first(&self) -> AttemptId {
        self.lobby.attempts().next().unwrap().id
    }

    /// Phases 1 to 3 with the PIN that was typed; the pairing secret.
    fn until_secret(&mut self, from: u8, client: &mut PairingClient, typed: Pin) -> Vec<u8> {
        let held = self.begin(from, client);
        let outputs = self.outputs();
        assert!(matches!(outputs[..], [.., Output::Began(_)]), "held back until the PIN: {outputs:?}");
        let attempt = self.lobby.attempts().find(|attempt| attempt.from == address(from));
        self.lobby.handle_pin(attempt.unwrap().id, typed, self.now).unwrap();
        let Answer::PlainCert(_) = self.answer(held) else { panic!("no certificate") };
        let connection = self.request(from, PairRequest::ClientChallenge(client.client_challenge()));
        let Answer::ChallengeResponse(response) = self.answer(connection) else { panic!("no challenge") };
        let answer = client.server_challenge_response(&response);
        let connection = self.request(from, PairRequest::ServerChallengeResponse(answer));
        let Answer::PairingSecret(secret) = self.answer(connection) else { panic!("no secret") };
        secret
    }
}

// Sabotage: answer `Paired` from `advance` instead of from `stored`, or drop a part of a hash in `phases`.
#[test]
fn the_right_pin_pairs_and_the_client_is_told_after_the_store() {
    let mut world = World::new();
    let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let secret = world.until_secret(1, &mut client, pin("1234"));
    assert_eq!(client.believes(&secret, &world.host), (true, true));
    let connection = world.request(1, PairRequest::ClientPairingSecret(client.client_pairing_secret()));
    let outputs = world.outputs();
    let [Output::Store(id, proven)] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(proven.certificate(), &Certificate::from_pem(client.identity.pem.as_bytes()).unwrap());
    world.lobby.stored(*id, Ok(()));
    assert_eq!(world.answer(connection), Answer::Paired);
    assert_eq!(world.lobby.attempts().count(), 0);
}

#[test]
fn a_store_that_fails_is_told_to_the_client() {
    let mut world = World::new();
    let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    world.until_secret(1, &mut client, pin("1234"));
    let connection = world.request(1, PairRequest::ClientPairingSecret(client.client_pairing_secret()));
    let [Output::Store(id, _)] = world.outputs()[..] else { panic!("nothing to store") };
    world.lobby.stored(id, Err("the disk is full".into()));
    let Answer::Failed(error) = world.answer(connection) else { panic!("paired without a store") };
    assert!(error.to_string().contains("the disk is full"), "{error}");
}

// Sabotage: skip the comparison of the hashes in `Answered::secret`. (CVE-2024-45407: a failed PIN still stored.)
#[test]
fn a_wrong_pin_stores_nothing() {
    let mut world = World::new();
    let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let secret = world.until_secret(1, &mut client, pin("4321"));
    assert_eq!(client.believes(&secret, &world.host), (true, false), "the client sees it as well");
    world.request(1, PairRequest::ClientPairingSecret(client.client_pairing_secret()));
    let outputs = world.outputs();
    assert!(
        matches!(
            outputs[..],
            [Output::Ended(_, Ended::Failed(PairingError::WrongPin)), Output::Answer(_, Answer::Failed(_))]
        ),
        "{outputs:?}"
    );
}

// Sabotage: leave out `verifies` in `Answered::secret`.
#[test]
fn a_client_without_its_certificates_key_is_refused() {
    let mut world = World::new();
    let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    world.until_secret(1, &mut client, pin("1234"));
    let mut secret = client.client_pairing_secret();
    *secret.last_mut().unwrap() ^= 1;
    let connection = world.request(1, PairRequest::ClientPairingSecret(secret));
    assert_eq!(world.answer(connection), Answer::Failed(PairingError::Signature));
}

// Sabotage: let `Phase::advance` keep the phase on an error. (CVE-2024-51738: phases out of order.)
#[test]
fn a_phase_out_of_order_ends_the_attempt() {
    for skip in 0..3 {
        let mut world = World::new();
        let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
        if skip == 2 {
            world.until_secret(1, &mut client, pin("1234"));
        } else {
            world.begin(1, &client);
            let id = world.first();
            if skip == 1 {
                world.lobby.handle_pin(id, pin("1234"), world.now).unwrap();
            }
            world.outputs();
        }
        let wrong = if skip == 2 {
            PairRequest::ClientChallenge(client.client_challenge())
        } else {
            PairRequest::ClientPairingSecret(client.client_pairing_secret())
        };
        world.request(1, wrong);
        let failed = |output: &Output| {
            matches!(output, Output::Answer(_, Answer::Failed(PairingError::OutOfOrder { .. })))
        };
        assert!(world.outputs().iter().any(failed), "skip {skip}");
        assert_eq!(world.lobby.attempts().count(), 0);
        let connection = world.request(1, PairRequest::ClientPairingSecret(client.client_pairing_secret()));
        assert_eq!(world.answer(connection), Answer::Failed(PairingError::Unknown));
    }
}

// Sabotage: count a guess per attempt instead of over all, or forget the open ones.
#[test]
fn three_guesses_and_then_a_minute_of_silence() {
    let mut world = World::new();
    for from in 1..=3 {
        let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
        world.until_secret(from, &mut client, pin("0000"));
        world.request(from, PairRequest::ClientPairingSecret(client.client_pairing_secret()));
        world.outputs();
    }
    let client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let connection = world.begin(9, &client);
    let left = Duration::from_secs(60);
    assert_eq!(world.answer(connection), Answer::Failed(PairingError::Guesses { left }));
    world.now = at(61);
    world.begin(9, &client);
    assert!(matches!(world.outputs()[..], [Output::Began(_)]));
}

#[test]
fn one_an_address_four_in_all_and_a_minute_each() {
    let mut world = World::new();
    let client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    for from in 1..=4 {
        world.begin(from, &client);
    }
    world.outputs();
    let again = world.begin(1, &client);
    assert!(matches!(world.answer(again), Answer::Failed(PairingError::Busy { .. })));
    let fifth = world.begin(5, &client);
    assert_eq!(world.answer(fifth), Answer::Failed(PairingError::Full));
    assert_eq!(world.lobby.poll_timeout(), Some(at(60)));
    world.lobby.handle_timeout(at(60));
    let outputs = world.outputs();
    assert_eq!(outputs.len(), 8, "four answers and four ends: {outputs:?}");
    assert_eq!(world.lobby.attempts().count(), 0);
}

// A PIN typed for one attempt is that attempt's alone, even if the other shows the same digits.
#[test]
fn a_pin_is_for_the_attempt_it_names() {
    let mut world = World::new();
    let client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let (first, second) = (world.begin(1, &client), world.begin(2, &client));
    world.outputs();
    let named = world.lobby.attempts().nth(1).unwrap();
    assert_eq!((named.from, named.wants_pin), (address(2), true));
    world.lobby.handle_pin(named.id, pin("1234"), world.now).unwrap();
    assert!(matches!(world.answer(second), Answer::PlainCert(_)));
    assert_eq!(world.lobby.handle_pin(named.id, pin("1234"), world.now), Err(PairingError::Unknown));
    let early = world.request(1, PairRequest::ClientChallenge(client.client_challenge()));
    let outputs = world.outputs();
    for connection in [first, early] {
        assert!(
            outputs
                .iter()
                .any(|output| matches!(output, Output::Answer(to, Answer::Failed(_)) if *to == connection)),
            "{outputs:?}"
        );
    }
}

// Clients see a wrong PIN in phase 3 and begin anew. Sabotage: leave out `abandon`, or do not count there.
#[test]
fn a_client_that_saw_a_wrong_pin_can_begin_again_and_it_counts() {
    let mut world = World::new();
    for _ in 0..3 {
        let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
        world.until_secret(1, &mut client, pin("0000"));
        world.now = world.now + Duration::from_secs(1);
    }
    let client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let connection = world.begin(1, &client);
    let outputs = world.outputs();
    let [Output::Ended(_, Ended::Failed(PairingError::Abandoned)), Output::Answer(to, Answer::Failed(why))] =
        &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((*to, why), (connection, &PairingError::Guesses { left: Duration::from_secs(58) }));
}

// So that the person at the host hears at once. Sabotage: end also an attempt whose PIN is awaited.
#[test]
fn unpair_ends_what_a_wrong_pin_left_and_counts() {
    let mut world = World::new();
    let mut client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    world.begin(2, &client);
    world.until_secret(1, &mut client, pin("0000"));
    world.lobby.handle_unpair(address(2), world.now);
    world.lobby.handle_unpair(address(1), world.now);
    let outputs = world.outputs();
    let [Output::Ended(_, Ended::Failed(PairingError::GaveUp))] = &outputs[..] else { panic!("{outputs:?}") };
    assert_eq!(world.lobby.attempts().map(|attempt| attempt.from).collect::<Vec<_>>(), [address(2)]);
}

#[test]
fn a_client_that_hangs_up_makes_room() {
    let mut world = World::new();
    let client = PairingClient::new(ClientIdentity::make(), pin("1234"));
    let held = world.begin(1, &client);
    world.lobby.handle_hangup(held);
    world.outputs();
    world.begin(1, &client);
    assert!(matches!(world.outputs()[..], [Output::Began(_)]));
}
