//! Where a client's microphone comes in: its datagrams, held to the quota, for the thread of the session's sound.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::Relaxed},
    mpsc,
};

use arrayvec::ArrayVec;
use lumen_core::{
    Timestamp,
    control::Microphone,
    microphone::{Dropped, Intake},
};
use lumen_ipc::sound::{MAX_SPOKEN, Spoken};

use super::{Letter, tally::Tally};
use crate::video::paths::Bell;

// What the network lets through fits a message to encoded.
const _: () = assert!(lumen_core::microphone::MAX_OPUS <= MAX_SPOKEN);

/// Who takes what is let through.
#[derive(Debug)]
struct Listener {
    intake: Intake,
    letters: mpsc::Sender<Letter>,
    bell: Arc<Bell>,
}

/// A session's.
#[derive(Debug, Default)]
pub struct Mouth {
    answer: Microphone,
    listener: Mutex<Option<Listener>>,
    /// Packets that went on to encoded.
    pub spoken: AtomicU64,
    /// Packets that came while there was no way to encoded, or one that did not read.
    pub unheard: AtomicU64,
    /// Datagrams that are no packets.
    pub malformed: AtomicU64,
    /// Packets beyond the quota.
    pub too_many: AtomicU64,
    /// Datagrams of a client whose microphone is not taken.
    pub uncalled: AtomicU64,
}

impl Mouth {
    /// Of a session whose client is told this.
    pub fn new(answer: Microphone) -> Self {
        Self { answer, ..Self::default() }
    }

    /// What the client is told.
    pub fn answer(&self) -> Microphone {
        self.answer
    }

    /// Whether the session has a microphone.
    pub fn is_taken(&self) -> bool {
        self.answer == Microphone::Taken
    }

    /// From now on what comes goes to the thread with these `letters`, which the `bell` wakes.
    pub(super) fn open(&self, letters: mpsc::Sender<Letter>, bell: Arc<Bell>) {
        let intake = Intake::new(Timestamp::from_ns(0));
        let listener = self.is_taken().then_some(Listener { intake, letters, bell });
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = listener;
    }

    /// A datagram came.
    pub fn take(&self, datagram: &[u8], now: Timestamp) {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(listener) = &mut *listener else { return Tally::count(&self.uncalled) };
        let packet = match listener.intake.take(datagram, now) {
            Ok(packet) => packet,
            Err(Dropped::Malformed) => return Tally::count(&self.malformed),
            Err(Dropped::TooMany) => return Tally::count(&self.too_many),
        };
        let Ok(bytes) = ArrayVec::try_from(packet.opus) else { return Tally::count(&self.malformed) };
        let spoken = Box::new(Spoken { number: packet.number, bytes });
        // A thread that has ended needs no letters.
        let _ = listener.letters.send(Letter::Spoken(spoken));
        listener.bell.ring();
    }

    /// What becomes of it, in words.
    pub fn said(&self) -> String {
        if self.is_taken() {
            let count = |counter: &AtomicU64| counter.load(Relaxed);
            let dropped = [&self.unheard, &self.malformed, &self.too_many].map(count);
            let [unheard, malformed, too_many] = dropped;
            return format!(
                "taken: {} packets, {unheard} unheard, {malformed} malformed, {too_many} too many",
                count(&self.spoken)
            );
        }
        match self.answer {
            Microphone::None => "no microphone: the client asks for none".to_owned(),
            Microphone::NotAllowed => {
                "no microphone: the client asks for one, and transportd.toml has no microphone = true"
                    .to_owned()
            }
            _ => "no microphone: the client asks for one, and for no sound".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_core::microphone::{BURST, Sender};

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ns(ms * 1_000_000)
    }

    /// Sabotage: pass on what comes unasked, or more than the quota.
    #[test]
    fn what_is_taken_goes_to_the_thread_and_the_rest_is_counted() {
        let (letters, mail) = mpsc::channel();
        let (mut sender, bell) = (Sender::new(), Arc::new(Bell::new().unwrap()));
        let packet = sender.packet(b"opus", at(0)).unwrap();
        let closed = Mouth::new(Microphone::NotAllowed);
        closed.open(letters.clone(), bell.clone());
        closed.take(&packet, at(0));
        assert_eq!((closed.uncalled.load(Relaxed), mail.try_recv().is_err()), (1, true));
        let open = Mouth::new(Microphone::Taken);
        open.open(letters, bell);
        open.take(b"nonsense", at(0));
        (0..BURST).for_each(|_| open.take(&packet, at(0)));
        let counts = [&open.malformed, &open.too_many].map(|counter| counter.load(Relaxed));
        assert_eq!(counts, [1, 1]);
        let came = mail.try_iter().filter(|letter| matches!(letter, Letter::Spoken(_))).count();
        assert_eq!(came, BURST as usize - 1);
    }
}
