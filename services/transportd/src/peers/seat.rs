//! A session's input: what the client sends, on its way to inputd.
//!
//! The set of held keys is State and owned here: it is sent whole on every new link, so that inputd's death leaves no
//! key stuck. What comes while there is no link waits for a moment ([`Backlog`]); what was on its way when inputd died is lost.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
    time::Duration,
};

use lumen_core::control::Input;
use lumen_ipc::{Generation, Stage, bus::SeatSpec, input::FromInput};
use lumen_stage::{Link, LinkError, clock::now_ns, failpoint};
use tokio::{
    io::unix::{AsyncFd, AsyncFdReadyMutGuard},
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{Live, hands::Backlog, pipeline::Grounds, protocol::Protocol};
use crate::{recover, upstream::Upstream};

/// Pause between two attempts at a link that hangs up or fails.
const PAUSE: Duration = Duration::from_millis(200);

/// Pause after a link that was of use for longer than that. Because a person waits, and the bus waits for the next inputd.
const SHORT: Duration = Duration::from_millis(5);

/// Pause before a link that is full is tried again.
const FULL: Duration = Duration::from_millis(10);

/// How long the task may take for the last words.
const FAREWELL: Duration = Duration::from_millis(100);

/// The session's handle; dropping it ends the task and closes the link, upon which inputd lets go of everything after its
/// lease.
#[derive(Debug)]
pub struct Seat {
    desk: Arc<Desk>,
    sizes: watch::Sender<SeatSpec>,
    task: Option<JoinHandle<()>>,
}

/// What the session and its task share.
#[derive(Debug)]
struct Desk {
    live: Arc<Live>,
    backlog: Mutex<Backlog>,
    news: Notify,
}

/// Why a link is read no more.
enum Parting {
    /// The session is over.
    Over,
    /// The Output has another size.
    Resized,
    /// The link is of no use, and why.
    Broken(String),
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what waits, and says so: first to the next incarnation, then to the task.
    fn add(&self, change: impl FnOnce(&mut Backlog)) {
        let mut backlog = self.lock();
        let (held, texts) = (backlog.held(), backlog.texts());
        change(&mut backlog);
        // What a client of GameStream holds is recorded with its messages.
        if backlog.held() != held && self.live.protocol == Protocol::Lumen1 {
            self.live.record.set_held(&backlog.held());
        }
        if backlog.texts() != texts {
            self.live.record.set_texts(backlog.texts());
        }
        self.live.figures.dropped_inputs(backlog.dropped());
        drop(backlog);
        self.news.notify_one();
    }
}

impl Seat {
    /// Starts to open the link.
    pub fn start<U: Upstream>(grounds: &Grounds<U>, live: Arc<Live>, spec: SeatSpec) -> Self {
        let backlog = Mutex::new(Backlog::holding(live.record.held(), live.record.texts()));
        let desk = Arc::new(Desk { live, backlog, news: Notify::new() });
        let (sizes, size) = watch::channel(spec);
        let task = tokio::spawn(keep(grounds.upstream.clone(), grounds.generation, desk.clone(), size));
        Self { desk, sizes, task: Some(task) }
    }

    /// Passes an input on.
    pub fn handle(&self, input: Input) {
        self.desk.add(|backlog| backlog.handle(input, now_ns()));
    }

    /// Lets go of everything, after what was passed on before.
    pub fn let_go(&self) {
        self.desk.add(|backlog| backlog.let_go(now_ns()));
    }

    /// The session is over: lets go of everything now, before its Output goes.
    pub fn end(mut self) {
        self.let_go();
        if let Some(task) = self.task.take() {
            let abort = task.abort_handle();
            tokio::spawn(async move {
                if timeout(FAREWELL, task).await.is_err() {
                    abort.abort();
                }
            });
        }
    }

    /// The Output has another size: opens the link again with it.
    pub fn resize(&self, spec: &SeatSpec) {
        self.sizes.send_if_modified(|size| {
            let is_news = size != spec;
            size.clone_from(spec);
            is_news
        });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn keep<U: Upstream>(
    upstream: U,
    generation: Generation,
    desk: Arc<Desk>,
    mut size: watch::Receiver<SeatSpec>,
) {
    loop {
        let began = now_ns();
        let parting = match open(&upstream, generation, &desk, &mut size).await {
            Ok(link) => forward(link, &desk, &mut size).await,
            Err(text) => Parting::Broken(text),
        };
        match parting {
            Parting::Over => return,
            Parting::Resized => {}
            Parting::Broken(text) => {
                say(&desk.live, &text);
                let was_of_use = Duration::from_nanos(now_ns().saturating_sub(began)) > PAUSE;
                sleep(if was_of_use { SHORT } else { PAUSE }).await;
            }
        }
    }
}

/// Opens a link and says what is held.
async fn open<U: Upstream>(
    upstream: &U,
    generation: Generation,
    desk: &Desk,
    size: &mut watch::Receiver<SeatSpec>,
) -> Result<Pollable, String> {
    let spec = size.borrow_and_update().clone();
    let opened = upstream.open_seat(desk.live.session, &spec).await;
    let fd: OwnedFd = opened.map_err(|failure| failure.to_string())?;
    let link = Link::start(fd, Stage::Transportd, generation, Stage::Inputd);
    let link = link.and_then(|link| {
        let held = desk.lock().begin(now_ns());
        link.send(&held, &[]).map(|()| link)
    });
    failpoint::at(recover::SEAT_LINKED);
    link.map(Pollable).map_err(|error| error.to_string())
}

/// Passes inputs on until the link is of no use.
async fn forward(link: Pollable, desk: &Desk, size: &mut watch::Receiver<SeatSpec>) -> Parting {
    #[allow(
        deprecated,
        reason = "its successor is an unsafe function, because an AsRawFd may lie; a Link's descriptor is its own for life"
    )]
    let mut link = match AsyncFd::new(link) {
        Ok(link) => link,
        Err(error) => return Parting::Broken(format!("the link to inputd cannot be polled: {error}")),
    };
    loop {
        let is_full = match drain(&link.get_ref().0, desk) {
            Ok(()) => false,
            Err(LinkError::Full) => true,
            Err(_) => return Parting::Broken("waiting for inputd".into()),
        };
        tokio::select! {
            () = desk.news.notified(), if !is_full => {}
            () = sleep(FULL), if is_full => {}
            changed = size.changed() => {
                if changed.is_ok() {
                    return Parting::Resized;
                }
                // A link that takes no more ends now, which says the same later.
                let _ = drain(&link.get_ref().0, desk);
                return Parting::Over;
            }
            ready = link.readable_mut() => if let Err(text) = read(ready, &desk.live) {
                return Parting::Broken(text);
            },
        }
    }
}

/// Tells all that waits, as far as the link takes it.
fn drain(link: &Link, desk: &Desk) -> Result<(), LinkError> {
    loop {
        let Some(next) = desk.lock().take() else { return Ok(()) };
        if let Err(error) = link.send(&next.1, &[]) {
            // The kernel took nothing of it, so that nothing is told twice.
            desk.lock().put_back(next);
            return Err(error);
        }
    }
}

/// Takes what inputd says.
fn read(ready: io::Result<AsyncFdReadyMutGuard<'_, Pollable>>, live: &Live) -> Result<(), String> {
    let mut ready = ready.map_err(|error| format!("the link to inputd cannot be polled: {error}"))?;
    match ready.get_inner_mut().0.receive::<FromInput>() {
        Ok(Some(message)) => hear(live, message.message),
        Ok(None) => ready.clear_ready(),
        Err(_) => return Err("waiting for inputd".into()),
    }
    Ok(())
}

fn hear(live: &Live, message: FromInput) {
    match message {
        FromInput::Ready { touch } => {
            live.takes_touch.store(touch, Relaxed);
            say(live, "ready");
        }
        FromInput::Failed(failure) => say(live, &failure.to_string()),
        FromInput::Closing => say(live, "inputd restarts"),
    }
}

fn say(live: &Live, text: &str) {
    let mut input = live.input.lock().unwrap_or_else(PoisonError::into_inner);
    text.clone_into(&mut input);
}

/// A link as tokio polls it.
struct Pollable(Link);

impl AsRawFd for Pollable {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
