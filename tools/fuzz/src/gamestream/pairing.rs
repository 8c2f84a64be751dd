//! The lobby, with clients honest and not, PINs right and wrong, and time going by.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};

use lumen_core::Timestamp;
use lumen_gamestream::pairing::{
    Answer, AttemptId, ConnectionId, Fresh, Lobby, MAX_GUESSES, MAX_PENDING, Output, PairRequest, WINDOW,
};

use super::client::{self, SHOWN};
use crate::Script;

/// Because each costs the host a signature, which is a thousand times what all else here costs.
const MAX_SIGNATURES: u32 = 1;

struct Street {
    lobby: Lobby,
    now: Timestamp,
    /// Who asked over which connection, and whether it was answered.
    connections: Vec<(usize, bool)>,
    houses: [House; 5],
    /// PINs that were taken and have proven nothing: when, and of whom.
    guesses: VecDeque<(Timestamp, AttemptId)>,
    storing: Vec<AttemptId>,
    owners: BTreeMap<AttemptId, usize>,
    signatures: u32,
}

/// An address.
#[derive(Clone, Default)]
struct House {
    /// Phases of its attempt that went as an honest client's go, the PIN being one half of the first.
    honest: u8,
    /// Whether its last phase 1 was an honest client's: it counts if an attempt begins with it.
    began_honest: bool,
    has_pin: bool,
    /// What the host said to phase 2.
    answer: Vec<u8>,
}

/// Steps of all who can reach the lobby.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let mut street = Street {
        lobby: Lobby::new(client::identity().host.clone()),
        now: Timestamp::from_ns(0),
        connections: Vec::new(),
        houses: Default::default(),
        guesses: VecDeque::new(),
        storing: Vec::new(),
        owners: BTreeMap::new(),
        signatures: 0,
    };
    while let Some(step) = script.step() {
        let at = usize::from(step >> 4) % street.houses.len();
        match step % 16 {
            0 => street.pass(&mut script),
            phase @ 1..=4 => street.ask(at, phase, None),
            phase @ 5..=8 => street.ask(at, phase - 4, Some(script.piece())),
            9 | 10 => street.pin(&mut script, SHOWN),
            11 => street.pin(&mut script, "4321"),
            12 => street.lobby.handle_unpair(address(at), street.now),
            13 => street.lobby.handle_hangup(ConnectionId(script.u8().into())),
            14 => drop(street.lobby.refuse(AttemptId(script.u8().into()), street.now)),
            _ => street.stored(script.flag()),
        }
        street.drain();
    }
}

fn address(at: usize) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, at as u8).into()
}

impl Street {
    /// A request of phase `phase`: the honest client's, or with other bytes.
    fn ask(&mut self, at: usize, phase: u8, bytes: Option<&[u8]>) {
        if phase == 3 {
            self.signatures += 1;
            if self.signatures > MAX_SIGNATURES {
                return;
            }
        }
        let Some(house) = self.houses.get_mut(at) else {
            return;
        };
        let honest = client::request(phase, &house.answer);
        let request = bytes.map_or(honest.clone(), |bytes| changed(phase, bytes));
        match phase {
            1 => house.began_honest = request == honest,
            phase => {
                let is_due = house.honest == phase - 1 && house.has_pin;
                house.honest = if is_due && request == honest { phase } else { 0 };
            }
        }
        let connection = ConnectionId(self.connections.len() as u64);
        self.connections.push((at, false));
        let fresh = Fresh { secret: [1; 16], challenge: [2; 16] };
        self.lobby.handle_request(request, address(at), connection, fresh, self.now);
    }

    fn pin(&mut self, script: &mut Script<'_>, digits: &str) {
        let id = AttemptId(script.u8().into());
        let taken = self.lobby.handle_pin(id, digits.parse().expect("four digits"), self.now).is_ok();
        if taken {
            self.guesses.push_back((self.now, id));
            let house = self.owners.get(&id).and_then(|at| self.houses.get_mut(*at));
            house.expect("an attempt began at an address").has_pin = digits == SHOWN;
        }
        while self.guesses.front().is_some_and(|(at, _)| *at + WINDOW <= self.now) {
            self.guesses.pop_front();
        }
        assert!(self.guesses.len() <= MAX_GUESSES, "{} PINs in a minute", self.guesses.len());
    }

    fn stored(&mut self, fine: bool) {
        if let Some(id) = self.storing.pop() {
            self.lobby.stored(id, if fine { Ok(()) } else { Err("full".to_owned()) });
        }
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        self.now = self.now + script.span();
        self.lobby.handle_timeout(self.now);
        assert!(
            self.lobby.poll_timeout().is_none_or(|due| due > self.now),
            "a deadline that was missed stays"
        );
    }

    fn drain(&mut self) {
        assert!(self.lobby.attempts().count() <= MAX_PENDING);
        while let Some(output) = self.lobby.poll_output() {
            match output {
                Output::Answer(ConnectionId(number), answer) => self.answered(number as usize, answer),
                Output::Began(id) => {
                    let attempt = self.lobby.attempts().find(|attempt| attempt.id == id);
                    let from = attempt.map(|attempt| attempt.from);
                    let at = (0..self.houses.len()).find(|at| Some(address(*at)) == from);
                    self.owners.extend(at.map(|at| (id, at)));
                    if let Some(house) = at.and_then(|at| self.houses.get_mut(at)) {
                        *house = House { honest: house.began_honest.into(), ..House::default() };
                    }
                }
                Output::Store(id, proven) => {
                    let house = self.owners.get(&id).and_then(|at| self.houses.get(*at));
                    assert!(house.is_some_and(|house| house.honest == 4), "a client that has proven nothing");
                    assert_eq!(proven.certificate(), &client::identity().certificate);
                    self.guesses.retain(|(_, guessed)| *guessed != id);
                    self.storing.push(id);
                }
                Output::Ended(id, _) => {
                    let house = self.owners.get(&id).and_then(|at| self.houses.get_mut(*at));
                    let house = house.expect("an attempt began at an address");
                    *house = House { began_honest: house.began_honest, ..House::default() };
                }
            }
        }
    }

    fn answered(&mut self, number: usize, answer: Answer) {
        let (at, was_answered) = self.connections.get_mut(number).expect("somebody asked over it");
        assert!(!*was_answered, "connection {number} was answered twice");
        *was_answered = true;
        if let (Answer::ChallengeResponse(bytes), Some(house)) = (answer, self.houses.get_mut(*at)) {
            assert_eq!(bytes.len(), 48);
            house.answer = bytes;
        }
    }
}

fn changed(phase: u8, bytes: &[u8]) -> PairRequest {
    match phase {
        1 => PairRequest::GetServerCert { salt: [1; 16], certificate: bytes.to_vec() },
        2 => PairRequest::ClientChallenge(bytes.to_vec()),
        3 => PairRequest::ServerChallengeResponse(bytes.to_vec()),
        _ => PairRequest::ClientPairingSecret(bytes.to_vec()),
    }
}
