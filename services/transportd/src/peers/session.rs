//! A session, which outlives its client's connections and, by its record, this incarnation.
//!
//! ```text
//!            Attach                     Detach: the connection was lost
//!  waiting ─────────► served by one connection ─────────► waiting, at most 10 s ─► over
//!     ▲ adopted after a restart             │ End: the client stopped, the administrator, the host ends
//!                                           ▼
//!                                          over
//! ```
//! Video goes on while it waits: it has its own way to the client.

use std::{
    future::{Future, pending},
    os::fd::OwnedFd,
    pin::Pin,
    sync::Arc,
};

use lumen_core::{
    Timestamp,
    control::{Input, Launched, Refused},
};
use lumen_ipc::{Failure, Mode};
use lumen_stage::{clock::now_ns, lease::Lease};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::sleep,
};

use super::{
    Enrolled,
    pipeline::{Grounds, Pipeline},
};
use crate::{
    stage::{Brain, Output},
    upstream::Upstream,
    video::Report,
};

/// What a session is told.
#[derive(Debug)]
pub enum Mail {
    /// A connection of its client serves it from now on, instead of the one before.
    Attach {
        /// Number of the connection.
        birth: u64,
        /// Where news go.
        news: UnboundedSender<News>,
    },
    /// That connection was lost.
    Detach {
        /// Number of the connection.
        birth: u64,
    },
    /// The client left over that connection.
    Leave {
        /// Number of the connection.
        birth: u64,
        /// What it said.
        reason: String,
    },
    /// The client lost frames.
    Loss {
        /// The newest of them.
        after_frame: u64,
    },
    /// The client wants another bitrate.
    Bitrate(u32),
    /// A person did something.
    Input(Input),
    /// It is over, for this reason.
    End(String),
}

/// What a session tells the connection that serves it.
#[derive(Debug)]
pub enum News {
    /// It streams.
    Launched(Launched),
    /// It never will.
    Refused(Refused),
    /// It is over, for this reason.
    Ended(String),
}

type Opening = Pin<Box<dyn Future<Output = Result<OwnedFd, Failure>> + Send>>;

/// Where a session comes from.
#[derive(Debug)]
pub enum Origin {
    /// A client launched it over this connection.
    Launched {
        /// Number of the connection.
        birth: u64,
        /// Where news go.
        news: UnboundedSender<News>,
    },
    /// It streamed in an earlier incarnation, in this mode.
    Adopted(Mode),
}

/// The receiving ends of a session's channels.
#[derive(Debug)]
pub struct Ends {
    /// From its video thread.
    pub reports: UnboundedReceiver<Report>,
    /// From everybody else.
    pub mail: UnboundedReceiver<Mail>,
}

/// A session's task.
pub struct Session<U> {
    upstream: U,
    pipeline: Pipeline,
    brain: Brain,
    opening: Option<Opening>,
    reports: UnboundedReceiver<Report>,
    mail: UnboundedReceiver<Mail>,
    served_by: Option<(u64, UnboundedSender<News>)>,
    lease: Lease,
    streams: Option<Mode>,
    enrolled: Enrolled,
}

/// The session is over, for this reason.
struct Over(String);

impl<U: Upstream> Session<U> {
    /// Starts the task: served by a connection from the first moment, so that no news is lost, or else waiting for
    /// one.
    pub fn start(grounds: &Grounds<U>, pipeline: Pipeline, ends: Ends, enrolled: Enrolled, origin: Origin) {
        let now = now();
        let mut lease = Lease::new(grounds.patience);
        let (brain, served_by, streams) = match origin {
            Origin::Launched { birth, news } => (Brain::launching(now), Some((birth, news)), None),
            Origin::Adopted(mode) => {
                lease.start(now.as_ns());
                (Brain::streaming(), None, Some(mode))
            }
        };
        let session = Self {
            upstream: grounds.upstream.clone(),
            pipeline,
            brain,
            opening: None,
            reports: ends.reports,
            mail: ends.mail,
            served_by,
            lease,
            streams,
            enrolled,
        };
        tokio::spawn(session.live());
    }

    async fn live(mut self) {
        let over = loop {
            if let Err(over) = self.drain() {
                break over;
            }
            let wake = self.wake();
            tokio::select! {
                Some(report) = self.reports.recv() => self.handle_report(report),
                opened = finished(&mut self.opening) => self.handle_opened(opened),
                mail = self.mail.recv() => {
                    let gone = || Mail::End("nobody knows it any more".into());
                    if let Err(over) = self.handle_mail(mail.unwrap_or_else(gone)) {
                        break over;
                    }
                }
                () = wake => if let Err(over) = self.handle_timeout() {
                    break over;
                },
            }
        };
        self.end(&over.0);
    }

    /// Sleeps until brain or lease want their timeout.
    fn wake(&self) -> impl Future<Output = ()> + use<U> {
        let now = now();
        let brain = self.brain.poll_timeout().map(|at| at.since(now));
        let pause = [brain, self.lease.left(now.as_ns())].into_iter().flatten().min();
        async move {
            match pause {
                Some(pause) => sleep(pause).await,
                None => pending().await,
            }
        }
    }

    fn handle_timeout(&mut self) -> Result<(), Over> {
        self.brain.handle_timeout(self.pipeline.request(), now());
        match self.lease.is_over(now_ns()) {
            true => Err(Over("the client did not come back".into())),
            false => Ok(()),
        }
    }

    fn handle_report(&mut self, report: Report) {
        if let Report::HungUp { error, .. } = &report {
            tracing::warn!(
                STAGE = "transportd",
                SESSION = %self.pipeline.live().session,
                "the link to encoded is gone ({error}); opening another"
            );
        }
        self.brain.handle_report(report, self.pipeline.request(), now());
    }

    fn handle_opened(&mut self, opened: Result<OwnedFd, Failure>) {
        match opened {
            Ok(link) => self.pipeline.attach(link),
            Err(failure) => self.brain.handle_open_failed(failure, self.pipeline.request(), now()),
        }
    }

    fn handle_mail(&mut self, mail: Mail) -> Result<(), Over> {
        match mail {
            Mail::Attach { birth, news } => self.attach(birth, news),
            Mail::Detach { birth } if self.is_served_by(birth) => {
                self.served_by = None;
                self.lease.start(now_ns());
            }
            Mail::Leave { birth, reason } if self.is_served_by(birth) => return Err(Over(reason)),
            // Of a connection that another one has replaced.
            Mail::Detach { .. } | Mail::Leave { .. } => {}
            Mail::Loss { after_frame } => self.pipeline.handle_loss(after_frame),
            Mail::Bitrate(bps) => self.pipeline.set_bitrate(bps),
            Mail::Input(input) => self.pipeline.handle_input(input),
            Mail::End(reason) => {
                self.tell(News::Ended(reason.clone()));
                return Err(Over(reason));
            }
        }
        Ok(())
    }

    fn is_served_by(&self, birth: u64) -> bool {
        self.served_by.as_ref().is_some_and(|(by, _)| *by == birth)
    }

    fn attach(&mut self, birth: u64, news: UnboundedSender<News>) {
        self.tell(News::Ended("The client came back over another connection.".into()));
        self.lease.stop();
        self.pipeline.live().record.forgive();
        self.served_by = Some((birth, news));
        if let Some(mode) = self.streams {
            self.tell(News::Launched(self.pipeline.launched(mode)));
        }
    }

    fn tell(&self, news: News) {
        if let Some((_, to)) = &self.served_by {
            // A connection that ends this very moment has posted Detach.
            let _ = to.send(news);
        }
    }

    /// Does all that the brain wants done.
    fn drain(&mut self) -> Result<(), Over> {
        while let Some(output) = self.brain.poll_output() {
            match output {
                Output::Open => self.open(),
                Output::Launched(mode) => {
                    self.streams = Some(mode);
                    self.tell(News::Launched(self.pipeline.launched(mode)));
                }
                Output::Refuse(refused) => {
                    let reason = format!("refused: {}", refused.text);
                    self.tell(News::Refused(refused));
                    return Err(Over(reason));
                }
                Output::Bye(reason) => {
                    self.tell(News::Ended(reason.clone()));
                    return Err(Over(reason));
                }
            }
        }
        Ok(())
    }

    fn open(&mut self) {
        let upstream = self.upstream.clone();
        let (session, spec) = (self.pipeline.live().session, self.pipeline.request().stream.clone());
        self.opening = Some(Box::pin(async move { upstream.open_encoder(session, &spec).await }));
    }

    fn end(self, reason: &str) {
        let live: &Arc<_> = self.pipeline.live();
        // A client's own words may be the reason: they get one line, whatever is in them.
        let reason = reason.replace(char::is_control, " ");
        tracing::info!(
            STAGE = "transportd",
            SESSION = %live.session,
            "ends: {reason}; {}",
            live.summary()
        );
        drop(self.enrolled);
    }
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

/// Waits for the link that is being opened, for ever if none is.
async fn finished(opening: &mut Option<Opening>) -> Result<OwnedFd, Failure> {
    match opening {
        None => pending().await,
        Some(open) => {
            let opened = open.await;
            *opening = None;
            opened
        }
    }
}
