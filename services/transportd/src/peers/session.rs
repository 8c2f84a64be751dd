//! A session, which outlives its client's connections and, by its record, this incarnation.
//!
//! ```text
//!            Attach                     Detach: the connection ended, the client did not stop
//!  waiting ─────────► served by one connection ─────────► waiting ─ 10 s ─► kept, frames held back ─ `keep` ─► over
//!     ▲ adopted after a restart             │ End: the client stopped, the administrator      │ HandOver, Part
//!                                           ▼                                                 ▼
//!                                          over                     over here, and left as it is upstream
//! ```
//! Video goes on while it waits: it has its own way to the client. HandOver: its client launched anew, and the new
//! session, with keys of its own, opens what this one leaves. Part: this process ends, and the next one goes on.

use std::{
    future::{Future, pending},
    os::fd::OwnedFd,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
};

use lumen_core::{
    Timestamp,
    control::{Notice, NoticeKind},
};
use lumen_ipc::{Failure, Mode};
use lumen_stage::{clock::now_ns, lease::Lease};
use tokio::{
    sync::{
        mpsc::{UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::sleep,
};

pub use super::mail::{Ends, Legacy, Mail, News, Origin};
use super::{
    Enrolled, NotYours,
    mail::{gone, parting},
    pipeline::{Grounds, Pipeline},
    pointing::Pointing,
};

use crate::{
    stage::{Brain, Output},
    upstream::Upstream,
    video::Report,
};

type Opening = Pin<Box<dyn Future<Output = Result<OwnedFd, Failure>> + Send>>;

/// A session's task.
pub struct Session<U> {
    upstream: U,
    pipeline: Pipeline,
    brain: Brain,
    opening: Option<Opening>,
    reports: UnboundedReceiver<(u64, Report)>,
    mail: UnboundedReceiver<Mail>,
    served_by: Option<(u64, UnboundedSender<News>)>,
    /// Until frames are held back.
    patience: Lease,
    /// Until all is over.
    keep: Lease,
    streams: Option<Mode>,
    app_ended: Option<Notice>,
    pointing: Pointing,
    enrolled: Enrolled,
}

/// The session is over.
enum Over {
    /// For everybody, for this reason.
    Ended(String),
    /// Here; its client's next session goes on with it.
    Inherited(oneshot::Sender<Legacy>),
    /// Here; the next incarnation goes on with it.
    Parted,
}

impl<U: Upstream> Session<U> {
    /// Starts the task: served by a connection from the first moment, so that no news is lost, or else waiting for
    /// one.
    pub fn start(grounds: &Grounds<U>, pipeline: Pipeline, ends: Ends, enrolled: Enrolled, origin: Origin) {
        let now = now();
        let (brain, served_by, streams) = match origin {
            Origin::Launched { birth, news } => (Brain::launching(now), Some((birth, news)), None),
            Origin::Adopted(mode) => (Brain::streaming(mode), None, Some(mode)),
        };
        let mut session = Self {
            upstream: grounds.upstream.clone(),
            pipeline,
            brain,
            opening: None,
            reports: ends.reports,
            mail: ends.mail,
            served_by,
            patience: Lease::new(grounds.patience),
            keep: Lease::new(grounds.keep),
            streams,
            app_ended: None,
            pointing: Pointing::default(),
            enrolled,
        };
        if session.served_by.is_none() {
            session.wait_for_client();
        }
        session.show();
        tokio::spawn(session.live());
    }

    async fn live(mut self) {
        let over = loop {
            if let Err(over) = self.drain() {
                break over;
            }
            self.show();
            let wake = self.wake();
            tokio::select! {
                Some((link, report)) = self.reports.recv() => self.handle_report(link, report),
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
        self.end(over);
    }

    /// Sleeps until something is due.
    fn wake(&self) -> impl Future<Output = ()> + use<U> {
        let now = now();
        let brain = self.brain.poll_timeout().map(|at| at.since(now));
        let now_ns = now.as_ns();
        let due = [brain, self.patience.left(now_ns), self.keep.left(now_ns)];
        let pause = due.into_iter().flatten().min();
        async move {
            match pause {
                Some(pause) => sleep(pause).await,
                None => pending().await,
            }
        }
    }

    fn handle_timeout(&mut self) -> Result<(), Over> {
        self.brain.handle_timeout(self.pipeline.request(), now());
        if self.keep.is_over(now_ns()) {
            return Err(Over::Ended("the client did not come back".into()));
        }
        if self.patience.is_over(now_ns()) {
            self.patience.stop();
            self.pipeline.rest();
        }
        Ok(())
    }

    fn handle_report(&mut self, link: u64, report: Report) {
        // A link that another one replaces has nothing more to say; its hang-up least of all.
        let is_replaced = self.opening.is_some() || link != self.pipeline.link();
        if is_replaced && !matches!(report, Report::Exhausted) {
            return;
        }
        if let Report::HungUp { error, .. } = &report {
            tracing::warn!(
                STAGE = "transportd",
                SESSION = %self.pipeline.live().session,
                "the link to encoded is gone ({error}); opening another"
            );
        }
        match self.pointing.handle_report(report, link) {
            Ok(news) => self.tell(news),
            Err(report) => self.brain.handle_report(report, self.pipeline.request(), now()),
        }
        if self.served_by.is_none() {
            self.pointing.settle(&self.pipeline);
        }
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
                self.pipeline.let_go();
                self.pointing.settle(&self.pipeline);
                self.wait_for_client();
            }
            Mail::Leave { birth, reason } if self.is_served_by(birth) => return Err(Over::Ended(reason)),
            Mail::PointerWritten { birth } if self.is_served_by(birth) => {
                self.pointing.settle(&self.pipeline)
            }
            // Of a connection that another one has replaced.
            Mail::Detach { .. } | Mail::Leave { .. } | Mail::PointerWritten { .. } => {}
            Mail::Loss(loss) => self.pipeline.handle_loss(loss),
            Mail::Bitrate { bps, parity } => self.pipeline.set_bitrate(bps, parity),
            Mail::Mode(mode) => self.change_mode(mode),
            Mail::Input(input) => self.pipeline.handle_input(input),
            Mail::AppEnded { text, advice } => {
                let notice = Notice { kind: NoticeKind::AppEnded, text, advice };
                self.app_ended = Some(notice.clone());
                self.tell(News::Notice(notice));
            }
            Mail::Sleeps(sleeps) => self.brain.handle_sleep(sleeps),
            // Its client is here: the one that launches gets a session of its own.
            Mail::HandOver(_) if !self.pipeline.live().is_deserted() => {}
            Mail::HandOver(heir) | Mail::TakeOver(heir) => {
                self.tell(News::Ended("The client launched anew over another connection.".into()));
                return Err(Over::Inherited(heir));
            }
            Mail::Part => {
                self.tell(News::Notice(parting()));
                return Err(Over::Parted);
            }
            Mail::End(reason) => {
                self.tell(News::Ended(reason.clone()));
                return Err(Over::Ended(reason));
            }
        }
        Ok(())
    }

    fn is_served_by(&self, birth: u64) -> bool {
        self.served_by.as_ref().is_some_and(|(by, _)| *by == birth)
    }

    fn attach(&mut self, birth: u64, news: UnboundedSender<News>) {
        self.tell(News::Ended("The client came back over another connection.".into()));
        self.patience.stop();
        self.keep.stop();
        self.pipeline.welcome();
        self.served_by = Some((birth, news));
        if let Some(mode) = self.streams {
            self.tell(News::Launched(self.pipeline.launched(mode)));
        }
        self.pointing.settle(&self.pipeline);
        self.pointing.again().for_each(|news| self.tell(news));
        for notice in self.brain.trouble().into_iter().chain(&self.app_ended) {
            self.tell(News::Notice(notice.clone()));
        }
    }

    fn wait_for_client(&mut self) {
        self.patience.start(now_ns());
        self.keep.start(now_ns());
    }

    fn change_mode(&mut self, mode: Mode) {
        match self.streams {
            None => {}
            // Said again on a new connection: it is so, or will be.
            Some(shown) if self.pipeline.mode() == mode => {
                self.tell(News::ModeChanged(self.pipeline.mode_changed(shown, None)));
            }
            Some(_) => {
                self.pipeline.set_mode(mode);
                self.brain.handle_change();
            }
        }
    }

    /// What becomes of it, for the bus.
    fn show(&self) {
        let live = self.pipeline.live();
        let mut state = live.state.lock().unwrap_or_else(PoisonError::into_inner);
        live.is_alone.store(self.served_by.is_none(), Relaxed);
        state.clear();
        match (&self.served_by, self.brain.trouble(), self.streams) {
            (None, ..) if self.patience.left(now_ns()).is_some() => state.push_str("waits for its client"),
            (None, ..) => state.push_str("kept for its client"),
            (Some(_), Some(trouble), _) => {
                let kind = if trouble.kind == NoticeKind::Locked { "locked: " } else { "waiting: " };
                state.push_str(kind);
                state.push_str(&trouble.text);
            }
            (Some(_), None, None) => state.push_str("opens"),
            (Some(_), None, Some(_)) => state.push_str("streams"),
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
                Output::ModeChanged { mode, next_frame } => self.mode_changed(mode, next_frame),
                Output::Revert(failure) => self.revert(failure),
                Output::Tell(notice) => self.tell(News::Notice(notice)),
                Output::Refuse(refused) => {
                    let reason = format!("refused: {}", refused.text);
                    self.tell(News::Refused(refused));
                    return Err(Over::Ended(reason));
                }
                Output::Bye(reason) => {
                    self.tell(News::Ended(reason.clone()));
                    return Err(Over::Ended(reason));
                }
            }
        }
        Ok(())
    }

    fn mode_changed(&mut self, mode: Mode, next_frame: u64) {
        let asked = self.pipeline.mode();
        self.streams = Some(mode);
        if (mode.width, mode.height) == (asked.width, asked.height) {
            self.pipeline.settle();
        }
        tracing::info!(STAGE = "transportd", SESSION = %self.pipeline.live().session, "streams {mode} now");
        self.tell(News::ModeChanged(self.pipeline.mode_changed(mode, Some(next_frame))));
    }

    /// Asks for the mode of before again.
    fn revert(&mut self, failure: Failure) {
        let text = format!("{} The stream goes on as it was.", failure.text);
        self.tell(News::Notice(Notice { kind: NoticeKind::Running, text, advice: failure.advice }));
        self.pipeline.set_mode(self.pipeline.live().record.mode());
        self.brain.handle_change();
    }

    fn open(&mut self) {
        let upstream = self.upstream.clone();
        let (session, spec) = (self.pipeline.live().session, self.pipeline.request().stream.clone());
        self.opening = Some(Box::pin(async move { upstream.open_encoder(session, &spec).await }));
    }

    fn end(mut self, over: Over) {
        self.turn_away();
        let live: Arc<_> = self.pipeline.live().clone();
        let reason = match &over {
            // A client's own words may be the reason: they get one line, whatever is in them.
            Over::Ended(reason) => reason.replace(char::is_control, " "),
            Over::Inherited(_) => "its client launched anew and takes it over".to_owned(),
            Over::Parted => "the next incarnation goes on with it".to_owned(),
        };
        tracing::info!(STAGE = "transportd", SESSION = %live.session, "ends: {reason}; {}", live.summary());
        match over {
            Over::Ended(_) => self.pipeline.end(),
            Over::Parted => {
                live.record.leave();
                self.pipeline.leave();
            }
            Over::Inherited(heir) => {
                self.pipeline.leave();
                // Its heir may enrol from the next line on. One that is gone leaves it all to the leases upstream.
                drop(self.enrolled);
                let _ = heir.send(Legacy { texts: live.record.texts() });
            }
        }
    }

    /// Answers whoever wanted to go on with it this very moment.
    fn turn_away(&mut self) {
        self.mail.close();
        while let Ok(mail) = self.mail.try_recv() {
            if let Mail::Attach { news, .. } = mail {
                // A connection that ends this very moment needs no answer.
                let _ = news.send(News::Refused(gone(NotYours::Gone(self.pipeline.live().session))));
            }
        }
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
