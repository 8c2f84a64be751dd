//! Pairing: how a client's certificate becomes one of this host's Clients.
//!
//! ```text
//! client                                              host
//!   getservercert(salt, certificate) ────────────►  Waiting        held open: a person reads the PIN off the client
//!   ◄─────────────────────────── plaincert ───────     │ pin          and names the attempt it belongs to
//!   clientchallenge(E(Cc)) ──────────────────────►  Greeted
//!   ◄───── challengeresponse(E(H(Cc‖sigS‖Ss)‖Sc)) ─     │
//!   serverchallengeresp(E(H(Sc‖sigC‖Cs))) ───────►  Challenged
//!   ◄──────────── pairingsecret(Ss‖signS(Ss)) ────     │
//!   clientpairingsecret(Cs‖signC(Cs)) ───────────►  Answered ──► Proven: the one commit
//!   ◄─────────────────────────── paired=1 ────────            only after the store has it
//! ```
//! E is AES-128-ECB with the first half of SHA-256(salt ‖ PIN). The phases are types of [`phases`]: each consumes the one
//! before, so none can be skipped, repeated or reordered, and [`Proven`] cannot be made any other way.
//!
//! [`Lobby`] is the door: it holds what waits, and its limits are these. A PIN has 10,000 values, and one who records a
//! pairing can try them all afterwards: pair in a network you trust. What cannot be done is to guess at the host.
//!
//! **Invariant**: an attempt that deviates in anything is over; nothing of it is stored.

pub mod lobby;
pub mod phases;
mod pin;

#[cfg(test)]
pub(crate) mod client;

pub use lobby::{Answer, Attempt, AttemptId, ConnectionId, Ended, Lobby, Output};
pub use phases::{Fresh, Proven};
pub use pin::{Pin, PinError};

use crate::hex::HexError;
use crate::identity::CertificateError;
use std::time::Duration;

/// How long an attempt may take from its first request to its last, and how long wrong guesses count.
pub const WINDOW: Duration = Duration::from_secs(60);
/// PINs that may turn out wrong within [`WINDOW`], over all attempts together.
pub const MAX_GUESSES: usize = 3;
/// Attempts at once.
pub const MAX_PENDING: usize = 4;

/// What a client asks of `/pair`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairRequest {
    /// Phase 1.
    GetServerCert {
        /// For the key.
        salt: [u8; 16],
        /// The client's certificate as PEM text.
        certificate: Vec<u8>,
    },
    /// Phase 2: 16 encrypted bytes.
    ClientChallenge(Vec<u8>),
    /// Phase 3: 32 encrypted bytes.
    ServerChallengeResponse(Vec<u8>),
    /// Phase 4: 16 bytes and their signature.
    ClientPairingSecret(Vec<u8>),
    /// Phase 5, over TLS with the certificate that was paired.
    PairChallenge,
}

impl PairRequest {
    /// Its name, as clients write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GetServerCert { .. } => "getservercert",
            Self::ClientChallenge(_) => "clientchallenge",
            Self::ServerChallengeResponse(_) => "serverchallengeresp",
            Self::ClientPairingSecret(_) => "clientpairingsecret",
            Self::PairChallenge => "pairchallenge",
        }
    }
}

/// Why an attempt is refused or over. The text is the client's to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairingError {
    /// Nobody began here, or it is over.
    #[error("no pairing of this client is under way. Start pairing again")]
    Unknown,
    /// Not the phase that is due.
    #[error("{got} came where {due} was due, so this pairing was dropped. Start pairing again")]
    OutOfOrder {
        /// The phase that came.
        got: &'static str,
        /// The phase that should have.
        due: &'static str,
    },
    /// The address has an attempt.
    #[error("a pairing from this address is under way. Finish it, or wait {} s", .left.as_secs())]
    Busy {
        /// Until the older one runs out.
        left: Duration,
    },
    /// [`MAX_PENDING`] are waiting.
    #[error("{MAX_PENDING} pairings are waiting for their PINs already. Try again in a minute")]
    Full,
    /// [`MAX_GUESSES`] PINs were wrong.
    #[error("too many wrong PINs. Wait {} s, then pair again", .left.as_secs())]
    Guesses {
        /// Until another may be tried.
        left: Duration,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A field of the wrong length.
    #[error("{field} has {got} bytes instead of {need}. Update the client, then pair again")]
    Length {
        /// Its name.
        field: &'static str,
        /// Bytes it must have.
        need: usize,
        /// Bytes it has.
        got: usize,
    },
    /// A field that is no hexadecimal text.
    #[error("{field} is malformed: {error}. Update the client, then pair again")]
    Hex {
        /// Its name.
        field: &'static str,
        /// What is wrong.
        error: HexError,
    },
    /// The client does not have its certificate's key.
    #[error(
        "the client could not sign with its certificate's key. Reset the client's pairing and pair again"
    )]
    Signature,
    /// The hash does not fit: another PIN was typed than the client shows.
    #[error("the PIN that was typed on the host is not the one this client shows. Pair again")]
    WrongPin,
    /// The person did not come.
    #[error("nobody typed the PIN on the host within {} s. Pair again", WINDOW.as_secs())]
    TimedOut,
    /// The client began again: it saw at phase 3 that the PIN was wrong, or was told to.
    #[error("the client began another pairing instead of ending this one")]
    Abandoned,
    /// The client says that it is over: it saw that the PIN was wrong.
    #[error("the client gave up, most likely because another PIN was typed than it shows. Pair again")]
    GaveUp,
    /// An administrator said no.
    #[error("the host's administrator refused this pairing")]
    Refused,
    /// The proof was right, but the client could not be stored.
    #[error(
        "the PIN was right, but the host cannot store this client: {reason}. Mend that on the host, then pair again"
    )]
    NotStored {
        /// What the store said.
        reason: String,
    },
}
