//! One client's connection, from its first packet to its last: the QUIC side of [`HostSession`].

use std::{future::pending, sync::Arc, time::Duration};

use lumen_core::{
    Timestamp,
    control::{Launch, Notice, NoticeKind, Refused},
    session::{CloseReason, HostEvent, HostSession, Output as Said},
    trust::Fingerprint,
};
use lumen_ipc::SessionId;
use lumen_stage::clock::now_ns;
use quinn::{Connection, ConnectionError, Incoming, RecvStream, SendStream, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{sleep, timeout},
};

use super::{
    Admitted, Live, NotYours, Order, Peers,
    birth::{Born, Founding, begin},
    lobby::Place,
    mail::{Legacy, Mail, News, Origin, gone},
    pipeline::{Client, Grounds, found},
};
use crate::{
    clients::Clients,
    launch::{Request, check, check_mode},
    upstream::Upstream,
    video::Loss,
};

/// How long the last words may take to reach the client.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long a client may leave its control stream unread while it has something to hear.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Bytes read from the control stream at once.
const READ_BYTES: usize = 4096;

/// What all connections of the stage share.
#[derive(Debug)]
pub struct House<U> {
    /// What sessions stand on.
    pub grounds: Grounds<U>,
    /// Who may stream.
    pub clients: Arc<Clients>,
    /// Who is connected.
    pub peers: Arc<Peers>,
    /// What this host is called.
    pub name: String,
    /// Within which a handshake must be done.
    pub handshake: Duration,
}

/// Why a connection came to nothing before it said a word; the client's fault or the network's.
#[derive(Debug, thiserror::Error)]
pub enum GreetError {
    /// TLS or QUIC refused it.
    #[error(transparent)]
    Connection(#[from] quinn::ConnectionError),
    /// It was too slow.
    #[error("it was silent for longer than the handshake may take")]
    Deadline,
    /// It showed no certificate, which TLS should not have let pass.
    #[error("it showed no certificate")]
    NoCertificate,
}

/// Serves one client until it is gone. `place` is held until the client launches.
///
/// # Errors
/// [`GreetError`] if it never came to a conversation.
pub async fn serve<U: Upstream>(
    incoming: Incoming,
    house: Arc<House<U>>,
    place: Place,
) -> Result<(), GreetError> {
    let greeted = timeout(house.handshake, async {
        let connection = incoming.accept()?.await?;
        let streams = connection.accept_bi().await?;
        Ok::<_, GreetError>((connection, streams))
    });
    let (connection, (send, receive)) = greeted.await.map_err(|_| GreetError::Deadline)??;
    let fingerprint = fingerprint(&connection).ok_or(GreetError::NoCertificate)?;
    let (orders, inbox) = unbounded_channel();
    let admitted = house.peers.admit(fingerprint, orders);
    // It may have been revoked between its handshake and this line, when no order could reach it.
    let Some(name) = house.clients.name(&fingerprint) else {
        connection.close(VarInt::from_u32(1), b"this host does not know this client any more");
        return Ok(());
    };
    let (news_to, news) = unbounded_channel();
    let conversation = Conversation {
        host: HostSession::new(house.name.as_str(), now()),
        client: Client { fingerprint, name },
        house,
        connection,
        send,
        admitted,
        place: Some(place),
        session: None,
        live: None,
        hears: true,
        news_to,
        is_pointer_out: false,
    };
    conversation.hold(receive, news, inbox).await;
    Ok(())
}

fn fingerprint(connection: &Connection) -> Option<Fingerprint> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.first().map(Fingerprint::of)
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

/// What is going on with one client.
struct Conversation<U> {
    house: Arc<House<U>>,
    connection: Connection,
    send: SendStream,
    client: Client,
    host: HostSession,
    admitted: Admitted,
    place: Option<Place>,
    session: Option<UnboundedSender<Mail>>,
    /// The session that it serves.
    live: Option<Arc<Live>>,
    /// Datagrams may come; what ends them ends the control stream as well, which may have more to say.
    hears: bool,
    news_to: UnboundedSender<News>,
    /// The session hears of it when its pointer's newest place is written.
    is_pointer_out: bool,
}

/// Why the conversation is over.
enum Over {
    /// Somebody wanted it so, and the session ends with it.
    Ended(String),
    /// The client is gone without having stopped the session, and may come back.
    Lost(String),
}

impl<U: Upstream> Conversation<U> {
    async fn hold(
        mut self,
        mut receive: RecvStream,
        mut news: UnboundedReceiver<News>,
        mut inbox: UnboundedReceiver<Order>,
    ) {
        let mut buffer = vec![0; READ_BYTES];
        let over = loop {
            if let Err(over) = self.drain().await {
                break over;
            }
            let wake = wake(self.host.poll_timeout());
            tokio::select! {
                read = receive.read(&mut buffer) => match read {
                    Ok(Some(count)) => {
                        self.host.handle_bytes(buffer.get(..count).unwrap_or_default(), now());
                    }
                    Ok(None) => break Over::Lost("the client closed its stream".into()),
                    Err(error) => break self.broken(&error.to_string()),
                },
                datagram = self.connection.read_datagram(), if self.hears => match datagram {
                    Ok(datagram) => self.hear(&datagram),
                    Err(_) => self.hears = false,
                },
                Some(news) = news.recv() => self.handle_news(news),
                Some(Order::End(reason)) = inbox.recv() => self.host.bye(reason),
                () = wake => self.host.handle_timeout(now()),
            }
        };
        self.tear_down(over);
    }

    /// A connection that ends is a loss, whoever ended it: a client that wants no more says Stop.
    fn broken(&self, error: &str) -> Over {
        match self.connection.close_reason() {
            Some(ConnectionError::ApplicationClosed(_)) => {
                Over::Lost("the client closed its connection".into())
            }
            Some(reason) => Over::Lost(reason.to_string()),
            None => Over::Ended(error.to_owned()),
        }
    }

    fn handle_news(&mut self, news: News) {
        match news {
            News::Launched(launched) => self.host.launched(launched),
            News::ModeChanged(changed) => self.host.mode_changed(changed),
            News::Notice(notice) => self.host.notice(notice),
            News::PointerShape(shape) => self.host.pointer_shape(&shape),
            News::PointerMoved(moved) => {
                self.host.pointer_moved(moved);
                self.is_pointer_out = true;
            }
            News::Refused(refused) => self.host.refuse(refused),
            News::Ended(reason) => self.host.bye(reason),
        }
    }

    /// Does all that the host's side of the protocol wants done.
    async fn drain(&mut self) -> Result<(), Over> {
        while let Some(said) = self.host.poll_output() {
            match said {
                Said::Send(bytes) => self.send(&bytes).await?,
                Said::Event(event) => self.handle_event(event).await,
                Said::Close(reason) => return Err(self.part(&reason).await),
            }
        }
        if std::mem::take(&mut self.is_pointer_out) {
            self.post(Mail::PointerWritten { birth: self.admitted.birth() });
        }
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Over> {
        match timeout(SEND_LIMIT, self.send.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.broken(&error.to_string())),
            Err(_) => Err(Over::Ended("the client does not read its control stream".into())),
        }
    }

    async fn handle_event(&mut self, event: HostEvent) {
        match event {
            // The administrator's name for it comes first, since the client's own is not trusted.
            HostEvent::ClientNamed(name) if self.client.name.is_empty() => {
                self.client.name = name.chars().filter(|c| !c.is_control()).take(64).collect();
            }
            HostEvent::ClientNamed(_) => {}
            HostEvent::Launch(launch) => match self.launch(&launch).await {
                Ok(born) => self.sit_down(born.mail, Some(born.live)),
                Err(refused) => self.host.refuse(refused),
            },
            HostEvent::Resume(session) => self.resume(SessionId(session.0)),
            HostEvent::RequestIdr { after_frame } => {
                self.post(Mail::Loss(Loss { first: None, last: after_frame }));
            }
            HostEvent::SetBitrate { bps } => self.post(Mail::Bitrate { bps, parity: None }),
            HostEvent::Input(input) => self.post(Mail::Input(input)),
            HostEvent::SetMode(mode) => match check_mode(mode) {
                Ok(mode) => self.post(Mail::Mode(mode)),
                Err(refused) => self.host.notice(unchanged(refused)),
            },
            HostEvent::Stats(_) | HostEvent::Stop => {}
        }
    }

    /// Its microphone, or something that nobody asked for.
    fn hear(&self, datagram: &[u8]) {
        if let Some(live) = &self.live {
            live.mouth.take(datagram, now());
        }
    }

    fn post(&self, mail: Mail) {
        if let Some(session) = &self.session {
            // A session that is over has said so.
            let _ = session.send(mail);
        }
    }

    /// Starts a session.
    async fn launch(&self, launch: &Launch) -> Result<Born, Refused> {
        let request = &check(launch)?;
        let kept = self.inherit(request).await;
        let (grounds, peers) = (&self.house.grounds, &self.house.peers);
        let session = kept.map(|(session, _)| session);
        let fixed = found(grounds, &self.connection, &self.client, request, session);
        let founding = Founding {
            fixed: fixed.map_err(|error| error.refusal())?,
            bitrate_bps: request.stream.bitrate_bps,
            is_pointer_separate: request.stream.cursor.is_some(),
            terms: None,
            sound: None,
            channels: request.stream.channels.unwrap_or_default(),
            has_microphone: launch.has_microphone,
            texts: kept.map_or(0, |(_, legacy)| legacy.texts),
        };
        let origin = Origin::Launched { birth: self.admitted.birth(), news: self.news_to.clone() };
        let born = begin(grounds, peers, founding, origin)?;
        born.live.ear.lend(self.connection.clone());
        tracing::info!(
            STAGE = "transportd",
            "{} ({}) launches {}x{}",
            self.client.name,
            self.connection.remote_address(),
            request.stream.width,
            request.stream.height
        );
        Ok(born)
    }

    /// What was kept of a session that this client did not stop, with its Output and its app; it is over then.
    async fn inherit(&self, request: &Request) -> Option<(SessionId, Legacy)> {
        let (live, mail) = self.house.peers.kept(&self.client.fingerprint)?;
        if live.app != request.stream.app {
            let reason = "its client launched another app".to_owned();
            // It is not wanted any more; one that is over has said so.
            let _ = mail.send(Mail::End(reason));
            return None;
        }
        let (heir, legacy) = oneshot::channel();
        mail.send(Mail::HandOver(heir)).ok()?;
        // Without an answer it was resumed or ended this very moment, and the launch begins a new one.
        legacy.await.ok().map(|legacy| (live.session, legacy))
    }

    fn resume(&mut self, session: SessionId) {
        let attach = Mail::Attach { birth: self.admitted.birth(), news: self.news_to.clone() };
        match self.house.peers.mailbox(session, &self.client.fingerprint) {
            Ok(mail) if mail.send(attach).is_ok() => {
                let live = self.house.peers.session(session);
                live.iter().for_each(|live| live.ear.lend(self.connection.clone()));
                self.sit_down(mail, live);
            }
            Ok(_) => self.host.refuse(gone(NotYours::Gone(session))),
            Err(why) => self.host.refuse(gone(why)),
        }
    }

    /// From now on this connection serves a session and needs no place among those that wait.
    fn sit_down(&mut self, session: UnboundedSender<Mail>, live: Option<Arc<Live>>) {
        self.place = None;
        self.session = Some(session);
        self.live = live;
    }

    /// The last words: gives back what the session held, then waits a moment until the client has heard them. A client
    /// that only says goodbye may come back.
    async fn part(&mut self, reason: &CloseReason) -> Over {
        if let CloseReason::PeerLeft { reason } = reason {
            return Over::Lost(format!("the client left: {reason}"));
        }
        let birth = self.admitted.birth();
        self.post(Mail::Leave { birth, reason: reason.to_string() });
        self.session = None;
        if self.send.finish().is_ok() {
            // Past the limit the client is not there to hear them.
            let _ = timeout(LAST_WORDS, self.send.stopped()).await;
        }
        Over::Ended(reason.to_string())
    }

    fn tear_down(self, over: Over) {
        let birth = self.admitted.birth();
        let reason = match over {
            Over::Ended(reason) => {
                let left = reason.clone();
                self.post(Mail::Leave { birth, reason: left });
                reason
            }
            Over::Lost(reason) => {
                self.post(Mail::Detach { birth });
                reason
            }
        };
        self.connection.close(VarInt::from_u32(0), reason.as_bytes());
    }
}

/// The answer to a wish that cannot be, while the stream goes on.
fn unchanged(refused: Refused) -> Notice {
    let text = format!("{} The stream goes on as it is.", refused.text);
    Notice { kind: NoticeKind::Running, text, advice: refused.advice }
}

/// Sleeps until `at`, for ever without.
async fn wake(at: Option<Timestamp>) {
    match at {
        Some(at) => sleep(at.since(now())).await,
        None => pending().await,
    }
}
