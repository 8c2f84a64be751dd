//! A Moonlight client's connection as its session knows it: between [`Talk`] and the session's mail.

use std::{future::pending, sync::atomic::Ordering::Relaxed};

use lumen_core::Timestamp;
use lumen_gamestream::{parity, parity::Parity, rtsp::StreamConfig};
use lumen_stage::clock::now_ns;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::{Interval, MissedTickBehavior, interval, sleep},
};

use super::{
    switchboard::Line,
    talk::{Counters, Output, Talk, Wish},
};
use crate::{
    peers::{
        Admitted, Order,
        birth::Born,
        mail::{Mail, News},
    },
    video::Loss,
};

/// What a conversation is made of.
#[derive(Debug)]
pub struct Conversation {
    /// What is said.
    pub talk: Talk,
    /// Where it is said.
    pub line: Line,
    /// About what.
    pub born: Born,
    /// What RTSP agreed on.
    pub config: StreamConfig,
    /// Its place among the connections.
    pub admitted: Admitted,
    /// What the administrator says.
    pub orders: UnboundedReceiver<Order>,
    /// What the session says.
    pub news: UnboundedReceiver<News>,
    /// Where the session is to say it, once the client has shown that it lives; `None` if the session knows.
    pub news_to: Option<UnboundedSender<News>>,
}

impl Conversation {
    /// Starts the task, which ends with the client's connection or with the session.
    pub fn start(self) {
        tokio::spawn(self.hold());
    }

    async fn hold(mut self) {
        let mut parity = Parity::new(self.born.live.record.parity(), self.sent(), now());
        let mut ticks = ticks(&self.config);
        // A restart goes on with the parity that it finds; whatever the record says is left for pictures follows from it.
        self.protect(&parity);
        let reason = loop {
            if let Some(reason) = self.drain(&mut parity) {
                break reason;
            }
            let wake = self.talk.poll_timeout();
            tokio::select! {
                biased;
                Some(Order::End(_)) = self.orders.recv() => self.talk.part(now()),
                Some(news) = self.news.recv() => self.handle_news(&news),
                Some(arrival) = self.line.arrival() => {
                    self.talk.handle_datagram(&arrival.bytes, arrival.place, now());
                }
                () = self.born.mail.closed(), if !self.talk.is_parting() => return,
                () = at(wake) => self.talk.handle_timeout(now()),
                () = tick(&mut ticks) => if parity.handle_tick(self.frames(), self.sent(), now()) {
                    self.protect(&parity);
                },
            }
        };
        let live = &self.born.live;
        tracing::info!(STAGE = "transportd", SESSION = %live.session, "its client's connection ended: {reason}");
        live.path.lose();
        self.post(Mail::Detach { birth: self.admitted.birth() });
    }

    fn handle_news(&mut self, news: &News) {
        match news {
            News::Refused(_) | News::Ended(_) => self.talk.part(now()),
            // There is no word for any of it: pictures come or do not, and of which size their bytes tell.
            News::Launched(_)
            | News::ModeChanged(_)
            | News::Notice(_)
            | News::PointerShape(_)
            | News::PointerMoved(_) => {}
        }
    }

    /// Does all that is to be done; why the client is gone, if it is.
    fn drain(&mut self, parity: &mut Parity) -> Option<&'static str> {
        let mut gone = None;
        while let Some(output) = self.talk.poll_output() {
            match output {
                Output::Send(bytes, to) => self.line.send(&bytes, to),
                Output::Alive => self.attach(),
                Output::Wish(wish) => self.pass_on(wish, parity),
                Output::Losses(report) => parity.handle_report(&report),
                Output::Closed(reason) => gone = Some(reason),
            }
        }
        let Counters { unreadable, unsaid } = self.talk.counters();
        self.born.live.figures.misheard(unreadable, unsaid);
        gone
    }

    /// The client is back after a restart.
    fn attach(&mut self) {
        if let Some(news) = self.news_to.take() {
            self.post(Mail::Attach { birth: self.admitted.birth(), news });
        }
    }

    fn pass_on(&self, wish: Wish, parity: &mut Parity) {
        let newest = self.born.live.record.next_frame().saturating_sub(1);
        self.post(match wish {
            // A client says so at its start and for its decoder's sake as well: it tells nothing of the network.
            Wish::Idr => Mail::Loss(Loss { first: None, last: newest }),
            Wish::Lost { first, last } => {
                let (first, last) = (u64::from(first), newest.min(last.into()));
                parity.handle_lost(first, last);
                Mail::Loss(Loss { first: Some(first), last })
            }
            Wish::Input(input) => Mail::Input(input),
        });
    }

    /// Datagrams of video so far.
    fn sent(&self) -> u64 {
        self.born.live.figures.datagrams.load(Relaxed)
    }

    /// Frames of this incarnation so far.
    fn frames(&self) -> u64 {
        self.born.live.figures.frames.load(Relaxed)
    }

    /// Frames have so much parity from now on, and pictures what it leaves.
    fn protect(&self, parity: &Parity) {
        let percent = parity.percent().max(parity::least(&self.config));
        self.born.live.record.set_parity(percent);
        self.post(Mail::Bitrate { bps: parity::share(&self.config, percent), parity: Some(percent) });
    }

    fn post(&self, mail: Mail) {
        // A session that is over has said so.
        let _ = self.born.mail.send(mail);
    }
}

fn now() -> Timestamp {
    Timestamp::from_ns(now_ns())
}

/// When losses are judged; `None` for clients that do not report them.
fn ticks(config: &StreamConfig) -> Option<Interval> {
    config.reports_fec.then(|| {
        let mut ticks = interval(parity::TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    })
}

/// Waits for the next tick.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => pending().await,
    }
}

/// Sleeps until then, for ever without.
pub(super) async fn at(time: Option<Timestamp>) {
    match time {
        Some(time) => sleep(time.since(now())).await,
        None => pending().await,
    }
}
