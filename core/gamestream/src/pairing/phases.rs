//! The phases as types: each holds only what exists in it, and is consumed by the step to the next.

use super::{PairRequest, PairingError, Pin};
use crate::identity::{Certificate, HostIdentity, sha256};
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use std::fmt;

const SECRET_LEN: usize = 16;
const HASH_LEN: usize = 32;

/// Random bytes for one attempt, drawn by the caller.
#[derive(Clone, Copy)]
pub struct Fresh {
    /// What the host commits to.
    pub secret: [u8; SECRET_LEN],
    /// What the client must answer to.
    pub challenge: [u8; SECRET_LEN],
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(..)")
    }
}

/// AES-128-ECB without padding under a PIN's key.
struct PinCipher([u8; 16]);

impl PinCipher {
    fn encrypt(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let key = UnboundCipherKey::new(&AES_128, &self.0).expect("AES-128 takes any 16 bytes");
        let key = EncryptingKey::ecb(key).expect("AES has ECB");
        key.encrypt(&mut bytes).expect("all callers pass whole blocks");
        bytes
    }

    /// `N` bytes, a multiple of the block.
    fn decrypt<const N: usize>(&self, field: &'static str, bytes: &[u8]) -> Result<[u8; N], PairingError> {
        let mut plain: [u8; N] =
            bytes.try_into().map_err(|_| PairingError::Length { field, need: N, got: bytes.len() })?;
        let key = UnboundCipherKey::new(&AES_128, &self.0).expect("AES-128 takes any 16 bytes");
        let key = DecryptingKey::ecb(key).expect("AES has ECB");
        key.decrypt(&mut plain, DecryptionContext::None).expect("N is a multiple of the block");
        Ok(plain)
    }
}

/// Phase 1: the client shows a PIN and waits.
pub struct Waiting {
    salt: [u8; 16],
    client: Certificate,
}

impl Waiting {
    /// A client that sent a usable certificate.
    pub fn new(salt: [u8; 16], client: Certificate) -> Self {
        Self { salt, client }
    }

    /// A person typed its PIN. Whether it is the right one shows only in the last phase.
    pub fn pin(self, pin: Pin) -> Greeted {
        Greeted { cipher: PinCipher(pin.key(&self.salt)), client: self.client }
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("client", &self.client).finish_non_exhaustive()
    }
}

/// Phase 2 is due: the client's challenge.
pub struct Greeted {
    cipher: PinCipher,
    client: Certificate,
}

impl Greeted {
    /// Commits to the host's secret and challenges the client; with the encrypted answer, 48 bytes.
    ///
    /// # Errors
    /// [`PairingError::Length`].
    pub fn challenge(
        self,
        encrypted: &[u8],
        host: &HostIdentity,
        fresh: Fresh,
    ) -> Result<(Challenged, Vec<u8>), PairingError> {
        let theirs: [u8; SECRET_LEN] = self.cipher.decrypt("clientchallenge", encrypted)?;
        let hash = sha256(&[&theirs, host.certificate().signature(), &fresh.secret]);
        let answer = self.cipher.encrypt([&hash[..], &fresh.challenge].concat());
        Ok((Challenged { cipher: self.cipher, client: self.client, fresh }, answer))
    }
}

/// Phase 3 is due: the client's commitment.
pub struct Challenged {
    cipher: PinCipher,
    client: Certificate,
    fresh: Fresh,
}

impl Challenged {
    /// Takes the client's hash, which cannot be judged yet, and opens the host's secret, signed.
    ///
    /// # Errors
    /// [`PairingError::Length`].
    pub fn response(
        self,
        encrypted: &[u8],
        host: &HostIdentity,
    ) -> Result<(Answered, Vec<u8>), PairingError> {
        let hash = self.cipher.decrypt("serverchallengeresp", encrypted)?;
        let answer = [&self.fresh.secret[..], &host.sign(&self.fresh.secret)].concat();
        Ok((Answered { client: self.client, challenge: self.fresh.challenge, hash }, answer))
    }
}

/// Phase 4 is due: the client's secret.
pub struct Answered {
    client: Certificate,
    challenge: [u8; SECRET_LEN],
    hash: [u8; HASH_LEN],
}

impl Answered {
    /// Judges the whole: the client has its certificate's key, and knew the PIN when it committed.
    ///
    /// # Errors
    /// [`PairingError::Length`], [`PairingError::Signature`], [`PairingError::WrongPin`].
    pub fn secret(self, opened: &[u8]) -> Result<Proven, PairingError> {
        let short =
            PairingError::Length { field: "clientpairingsecret", need: SECRET_LEN, got: opened.len() };
        let (secret, signature) = opened.split_at_checked(SECRET_LEN).ok_or(short)?;
        if !self.client.verifies(secret, signature) {
            return Err(PairingError::Signature);
        }
        let hash = sha256(&[&self.challenge, self.client.signature(), secret]);
        verify_slices_are_equal(&hash, &self.hash).map_err(|_| PairingError::WrongPin)?;
        Ok(Proven { client: self.client })
    }
}

/// A client that may be stored: the only thing that can be.
#[derive(Debug)]
pub struct Proven {
    client: Certificate,
}

impl Proven {
    /// The certificate that is the client.
    pub fn certificate(&self) -> &Certificate {
        &self.client
    }
}

/// Where an attempt stands, for whoever must keep attempts of all phases in one place.
pub enum Phase {
    /// For its PIN.
    Waiting(Waiting),
    /// For `clientchallenge`.
    Greeted(Greeted),
    /// For `serverchallengeresp`.
    Challenged(Challenged),
    /// For `clientpairingsecret`.
    Answered(Answered),
}

/// Where a request leads.
pub enum Step {
    /// To the next phase, with what the host answers.
    Next(Phase, Vec<u8>),
    /// To the end.
    Proven(Proven),
}

impl Phase {
    /// What may come now.
    pub fn due(&self) -> &'static str {
        match self {
            Self::Waiting(_) => "the PIN",
            Self::Greeted(_) => "clientchallenge",
            Self::Challenged(_) => "serverchallengeresp",
            Self::Answered(_) => "clientpairingsecret",
        }
    }

    /// Takes the request of phases 2 to 4 that is due.
    ///
    /// # Errors
    /// [`PairingError`]: the attempt is then over, since it was consumed.
    pub fn advance(
        self,
        request: &PairRequest,
        host: &HostIdentity,
        fresh: Fresh,
    ) -> Result<Step, PairingError> {
        match (self, request) {
            (Self::Greeted(phase), PairRequest::ClientChallenge(bytes)) => phase
                .challenge(bytes, host, fresh)
                .map(|(next, answer)| Step::Next(Self::Challenged(next), answer)),
            (Self::Challenged(phase), PairRequest::ServerChallengeResponse(bytes)) => {
                phase.response(bytes, host).map(|(next, answer)| Step::Next(Self::Answered(next), answer))
            }
            (Self::Answered(phase), PairRequest::ClientPairingSecret(bytes)) => {
                phase.secret(bytes).map(Step::Proven)
            }
            (phase, request) => Err(PairingError::OutOfOrder { got: request.name(), due: phase.due() }),
        }
    }
}

impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Phase({} is due)", self.due())
    }
}
