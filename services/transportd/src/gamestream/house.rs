//! What is answered to each call.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use lumen_core::trust::Fingerprint;
use lumen_gamestream::http::{
    Call, Caller as Kind, Refusal, Request, Response, Route,
    answers::{self, Asker, ServerInfo, SessionUrl},
    xml,
};

use super::{
    card,
    reception::Reception,
    shelf::Shelf,
    streams::{App, Caller, Refused, Started, Streams},
};
use crate::clients::Clients;

/// Shown for an app without one of its own: of the size that clients take for "no picture", so that they write the title over it.
const PICTURE: &[u8] = include_bytes!("app.png");

/// Longest name that the host has in `/serverinfo`, in bytes of XML, so that a stranger's answer stays within 512.
const MAX_NAME: usize = 63;

/// What all connections share.
#[derive(Debug)]
pub struct House {
    /// What people call the host.
    pub name: String,
    /// What clients keep it by.
    pub unique_id: String,
    /// Port of plain HTTP.
    pub http: u16,
    /// Port of HTTPS.
    pub https: u16,
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Who wants to be paired.
    pub reception: Arc<Reception>,
    /// What can be launched.
    pub shelf: Shelf,
    /// What streams.
    pub streams: Arc<dyn Streams>,
}

/// Who asks, before it is known whether it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visitor {
    /// The certificate whose key it proved.
    pub certificate: Option<Fingerprint>,
    /// Whether this is HTTPS.
    pub is_tls: bool,
    /// Where it reached us.
    pub local: SocketAddr,
    /// Where it comes from.
    pub remote: IpAddr,
}

impl House {
    /// The Client that `visitor` is, if it is one.
    pub fn client(&self, visitor: &Visitor) -> Option<Caller> {
        let fingerprint = visitor.certificate.filter(|_| visitor.is_tls)?;
        let name = self.clients.paired(&fingerprint)?;
        Some(Caller { fingerprint, name, local: visitor.local, remote: visitor.remote })
    }

    /// The answer to `request`, which may take as long as a person needs for a PIN, or a stage for a session.
    pub async fn answer(&self, request: &Request, visitor: &Visitor) -> Response {
        let client = self.client(visitor);
        let kind = match (&client, visitor.is_tls) {
            (Some(_), _) => Kind::Client,
            (None, true) => Kind::Stranger,
            (None, false) => Kind::Plain,
        };
        if kind == Kind::Plain && Route::of(&request.path) == Some(Route::Unpair) {
            // It is not done, but says that the client saw a wrong PIN.
            self.reception.unpair(visitor.remote);
        }
        match (Call::parse(request, kind), client) {
            (Err(refusal), _) => refusal.response(&request.path),
            (Ok(Call::ServerInfo), client) => self.server_info(visitor, client.as_ref()),
            (Ok(call), Some(client)) => self.serve(call, &client, &request.path).await,
            (Ok(Call::Pair(phase)), None) => {
                // No name and two names are the same here.
                let name = request.query.get("devicename").ok().flatten().unwrap_or_default();
                answers::pair(&self.reception.handle(phase, visitor.remote, name).await)
            }
            (Ok(_), None) => Refusal::NotPaired.response(&request.path),
        }
    }

    fn server_info(&self, visitor: &Visitor, client: Option<&Caller>) -> Response {
        let asker = client.map_or(Asker::Anyone, |client| Asker::Client {
            mac: card::address(visitor.local.ip(), visitor.remote),
            current_app: self.streams.current(&client.fingerprint),
        });
        let info = ServerInfo {
            name: shortened(&self.name),
            unique_id: &self.unique_id,
            https_port: self.https,
            http_port: self.http,
            local: visitor.local.ip(),
            codecs: self.streams.codecs(),
            asker,
        };
        info.response()
    }

    /// What a Client asks.
    async fn serve(&self, call: Call, client: &Caller, path: &str) -> Response {
        let url = |started: Started| SessionUrl { local: client.local.ip(), port: started.rtsp };
        let refused = |refused: Refused| answers::failed(refused.status(), &refused.to_string(), path);
        match call {
            Call::ServerInfo | Call::Pair(_) => answers::pair_challenge(),
            Call::Unpair => self.unpair(client, path).await,
            Call::AppList => {
                let apps: Vec<_> = self.shelf.apps().await.into_iter().map(|app| app.listed).collect();
                answers::app_list(&apps)
            }
            Call::AppAsset { app } => match self.app(app).await {
                Some(app) => {
                    let own = self.shelf.picture(&app).await;
                    Response::png(own.unwrap_or_else(|| PICTURE.to_vec()))
                }
                None => no_app(path),
            },
            Call::Launch(launch) => {
                let Some(app) = self.app(launch.app).await else { return no_app(path) };
                let started = self.streams.launch(client, &app, &launch).await;
                started.map_or_else(refused, |started| answers::launched(url(started)))
            }
            Call::Resume(resume) => {
                let started = self.streams.resume(client, &resume).await;
                started.map_or_else(refused, |started| answers::resumed(url(started)))
            }
            Call::Cancel => {
                self.streams.cancel(&client.fingerprint, "The client ended it.");
                answers::cancelled()
            }
        }
    }

    async fn app(&self, id: i32) -> Option<App> {
        self.shelf.apps().await.into_iter().find(|app| app.listed.id == id)
    }

    /// A Client wants to be forgotten.
    async fn unpair(&self, client: &Caller, path: &str) -> Response {
        let (clients, fingerprint) = (self.clients.clone(), client.fingerprint);
        let forgotten = tokio::task::spawn_blocking(move || clients.unpair(&fingerprint)).await;
        self.streams.cancel(&fingerprint, "The client was unpaired.");
        match forgotten {
            Ok(Ok(_)) => answers::unpaired(),
            Ok(Err(error)) => answers::failed(503, &format!("The client was not forgotten: {error}."), path),
            Err(error) => answers::failed(503, &format!("The client was not forgotten: {error}."), path),
        }
    }
}

fn no_app(path: &str) -> Response {
    let what = "This host has no such app any more. Refresh the client's list of apps, then try again.";
    answers::failed(404, what, path)
}

/// As much of a name as has at most [`MAX_NAME`] bytes in XML.
fn shortened(name: &str) -> &str {
    let mut written = 0;
    let end = name.char_indices().find(|(_, character)| {
        written += xml::escape(character.encode_utf8(&mut [0; 4])).len();
        written > MAX_NAME
    });
    end.and_then(|(end, _)| name.get(..end)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sabotage: count characters instead of what XML writes for them.
    #[test]
    fn a_long_name_is_shortened_by_what_xml_makes_of_it() {
        assert_eq!(shortened("tower"), "tower");
        assert_eq!(shortened(&"x".repeat(200)).len(), 63);
        assert_eq!(shortened(&"\"".repeat(200)).len(), 10, "each takes six bytes");
        assert_eq!(shortened(&"ü".repeat(200)).chars().count(), 31);
    }
}
