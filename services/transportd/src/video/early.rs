//! Pings that come before their session does: clients ping the audio port as soon as RTSP told them which it is, a moment before
//! they choose what makes the session, and again only half a second later.

use std::{collections::VecDeque, time::Duration};

use arrayvec::ArrayVec;

use super::{outlet::Destination, proof::Claim};

/// Longest that is kept: a ping has 20 bytes.
const LONGEST: usize = 32;
/// How many are kept. Because anybody may send some.
const MOST: usize = 64;
/// Of one address. Because some clients may share one. Who forges addresses may fill all places, and costs clients 500 ms of
/// sound then, until their next ping.
const OF_ONE: usize = 4;
/// For how long. Because a client negotiates in less, and its next ping tells more than one that is older.
const KEPT_NS: u64 = Duration::from_secs(1).as_nanos() as u64;

/// A datagram whose session may yet come.
#[derive(Debug)]
struct Kept {
    claim: Claim,
    bytes: ArrayVec<u8, LONGEST>,
    place: Destination,
    at_ns: u64,
}

/// The newest of them, the oldest first.
#[derive(Debug, Default)]
pub struct Early(VecDeque<Kept>);

impl Early {
    /// Keeps a datagram that claims to be of a session that there is not; in place of the claim's last, or of the oldest.
    pub fn keep(&mut self, claim: Claim, datagram: &[u8], place: Destination, now_ns: u64) {
        let Ok(bytes) = ArrayVec::try_from(datagram) else { return };
        self.0.retain(|kept| kept.claim != claim);
        let address = place.to.ip();
        let is_full = self.0.iter().filter(|kept| kept.place.to.ip() == address).count() >= OF_ONE;
        let oldest = self.0.iter().position(|kept| kept.place.to.ip() == address).filter(|_| is_full);
        if let Some(index) = oldest.or((self.0.len() >= MOST).then_some(0)) {
            self.0.remove(index);
        }
        self.0.push_back(Kept { claim, bytes, place, at_ns: now_ns });
    }

    /// What was kept of a session that there is now, unless it is too old.
    pub fn take(&mut self, claim: Claim, now_ns: u64) -> Option<(ArrayVec<u8, LONGEST>, Destination)> {
        let index = self.0.iter().position(|kept| kept.claim == claim)?;
        let kept = self.0.remove(index)?;
        (now_ns.saturating_sub(kept.at_ns) <= KEPT_NS).then_some((kept.bytes, kept.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn claim(number: u8) -> Claim {
        Claim::Token([number; 16])
    }

    fn place(host: u8) -> Destination {
        Destination { to: (IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)), 7).into(), from: None }
    }

    /// Sabotage: keep all of one address, or let what is new push out whatever is the oldest.
    #[test]
    fn who_sends_many_pushes_out_its_own_alone() {
        let mut early = Early::default();
        early.keep(claim(0), &[0; 20], place(1), 5);
        for number in 1..=200 {
            early.keep(claim(number), &[number; 20], place(2), 5);
        }
        assert_eq!(early.0.len(), 1 + OF_ONE);
        assert_eq!(early.take(claim(0), 6), Some(([0; 20].into_iter().collect(), place(1))));
        assert!(early.take(claim(0), 6).is_none(), "once");
        assert!(early.take(claim(200), 6).is_some() && early.take(claim(100), 6).is_none());
    }

    /// Sabotage: keep as many as come.
    #[test]
    fn few_are_kept_short_ones_and_for_a_moment() {
        let mut early = Early::default();
        for number in 0..=255 {
            early.keep(claim(number), &[1; 20], place(number), 0);
        }
        assert_eq!(early.0.len(), MOST);
        assert!(early.take(claim(255), KEPT_NS).is_some());
        assert!(early.take(claim(254), KEPT_NS + 1).is_none());
        early.keep(claim(253), &[2; 20], place(253), 0);
        assert_eq!(early.take(claim(253), 0).map(|(bytes, _)| bytes[0]), Some(2), "the newest");
        early.keep(claim(1), &[0; LONGEST + 1], place(1), 0);
        assert!(early.take(claim(1), 0).is_none());
    }
}
