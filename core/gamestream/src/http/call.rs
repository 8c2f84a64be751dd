//! A request that may be made, with what it asks for.

use super::launch::{self, LaunchQuery, ResumeQuery};
use super::request::{Query, QueryError, Request};
use super::response::Response;
use super::route::{Access, Route};
use super::xml::Document;
use crate::hex;
use crate::pairing::{PairRequest, PairingError};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Anyone, over plain HTTP.
    Plain,
    /// Over TLS, with no certificate or one that is not paired.
    Stranger,
    /// Over TLS, with exactly the certificate of a Client.
    Client,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Who the host is and how it does.
    ServerInfo,
    /// A phase of pairing.
    Pair(PairRequest),
    /// Forget this client.
    Unpair,
    /// What can be launched.
    AppList,
    /// An app's picture, PNG.
    AppAsset {
        /// Its number.
        app: i32,
    },
    /// A new session.
    Launch(LaunchQuery),
    /// The session that was left.
    Resume(ResumeQuery),
    /// The end of the asking client's session.
    Cancel,
}

/// Why it is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such path, or not here.
    #[error("This host does not know {path}.")]
    NotFound {
        /// The path.
        path: String,
    },
    /// The caller is no Client.
    #[error("This client is not paired with this host. Pair it, then try again.")]
    NotPaired,
    /// The query is wrong.
    #[error("The request cannot be served: {0}.")]
    Query(#[from] QueryError),
    /// The pairing is wrong.
    #[error("Pairing failed: {0}.")]
    Pairing(#[from] PairingError),
}

impl Refusal {
    /// The status that clients obey.
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound { .. } => 404,
            Self::NotPaired => 401,
            Self::Query(_) | Self::Pairing(_) => 400,
        }
    }

    /// The answer to a request of `path`.
    pub fn response(&self, path: &str) -> Response {
        Response::xml(Document::failure(self.status(), &self.to_string(), cut(path)).finish())
    }
}

/// As much of a path as is repeated to who asked, so that a stranger's answer has at most 512 bytes: XML writes a character
/// in up to six.
fn cut(path: &str) -> &str {
    path.get(..24).unwrap_or(path)
}

impl Call {
    /// What `request` asks, if `caller` may ask it.
    ///
    /// # Errors
    /// [`Refusal`]. A stranger learns over TLS only that it is one, and over plain HTTP only of what anyone may ask.
    pub fn parse(request: &Request, caller: Caller) -> Result<Self, Refusal> {
        let route = Route::of(&request.path);
        let not_found = || Refusal::NotFound { path: cut(&request.path).to_owned() };
        match (caller, route.map(Route::access)) {
            (Caller::Stranger, _) => return Err(Refusal::NotPaired),
            (_, None) | (Caller::Plain, Some(Access::Clients)) => return Err(not_found()),
            (Caller::Client, Some(_)) | (Caller::Plain, Some(Access::Anyone)) => {}
        }
        let query = &request.query;
        Ok(match route.ok_or_else(not_found)? {
            Route::ServerInfo => Self::ServerInfo,
            Route::Pair => Self::Pair(pair(query, caller)?),
            Route::Unpair => Self::Unpair,
            Route::AppList => Self::AppList,
            Route::AppAsset => Self::AppAsset { app: launch::app_id(query)? },
            Route::Launch => Self::Launch(LaunchQuery::parse(query)?),
            Route::Resume => Self::Resume(ResumeQuery::parse(query)?),
            Route::Cancel => Self::Cancel,
        })
    }
}

/// Phases 1 to 4 come over plain HTTP, phase 5 over TLS with the certificate that was paired.
fn pair(query: &Query, caller: Caller) -> Result<PairRequest, Refusal> {
    match (query.get("phrase")?, caller) {
        (Some("pairchallenge"), Caller::Client) => return Ok(PairRequest::PairChallenge),
        (Some("pairchallenge"), _) => return Err(Refusal::NotPaired),
        (Some("getservercert"), _) => {
            let salt = query.need("salt")?;
            let salt = hex::decode_array(salt).map_err(|error| PairingError::Hex { field: "salt", error })?;
            return Ok(PairRequest::GetServerCert { salt, certificate: bytes(query, "clientcert")? });
        }
        _ => {}
    }
    if query.get("clientchallenge")?.is_some() {
        Ok(PairRequest::ClientChallenge(bytes(query, "clientchallenge")?))
    } else if query.get("serverchallengeresp")?.is_some() {
        Ok(PairRequest::ServerChallengeResponse(bytes(query, "serverchallengeresp")?))
    } else if query.get("clientpairingsecret")?.is_some() {
        Ok(PairRequest::ClientPairingSecret(bytes(query, "clientpairingsecret")?))
    } else {
        Err(QueryError::Missing { name: "phase of pairing" }.into())
    }
}

fn bytes(query: &Query, name: &'static str) -> Result<Vec<u8>, Refusal> {
    let text = query.need(name)?;
    Ok(hex::decode(text).map_err(|error| PairingError::Hex { field: name, error })?)
}
