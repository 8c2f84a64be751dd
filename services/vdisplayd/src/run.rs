//! The one event loop: orders of captured, leases that run out, apps that end.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::Arc,
};

use lumen_ipc::{
    Failure, Mode, SessionId,
    bus::{OutputSpec, SeatSource, Source},
};
use lumen_stage::{
    Boot, Bus, Exit, boot,
    clock::now_ns,
    failpoint,
    inherited::Stored,
    pulse::{Pulse, Pulses, SILENCE},
    status::Stage1,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};

use crate::{
    app::Apps,
    backends::{
        Acquired, AnyBackend, Backend, Made, Pictures,
        auto::Auto,
        mutter::{Mutter, line::session_bus},
        pattern::Pattern,
        sway::Sway,
    },
    config::{Choice, Config},
    display::{Display1, Order},
    library::Library,
    logind::Inhibitor,
    notices::Notices,
    places::Places,
    programs::{Asked, Starting, Waiting},
    recover,
    shown::{Shown, ShownOutput},
    sleep::SleepWatch,
    sound,
    stage::Displays,
    systemd::UserManager,
    watch,
};

/// Orders that may wait, because there are eight sessions and few orders of each.
const ORDERS: usize = 64;

/// Everything the loop works on.
pub struct Run {
    pub(crate) config: Config,
    pub(crate) places: Places,
    pub(crate) backend: AnyBackend,
    pub(crate) apps: Apps,
    pub(crate) library: Arc<Library>,
    pub(crate) displays: Displays,
    pub(crate) shown: Shown,
    pub(crate) orders: mpsc::Sender<Order>,
    /// Apps that wait for their Output's monitor.
    pub(crate) waiting: BTreeMap<SessionId, Waiting>,
    /// Apps that start now.
    pub(crate) starting: BTreeMap<SessionId, Starting>,
    /// Sessions whose Output was made since our start and on which no Seat was opened yet.
    untouched: BTreeSet<SessionId>,
    /// `None` until the stage has its name.
    pub(crate) bus: Option<Bus>,
    pulses: Pulses,
    pulse: Option<Pulse>,
    awake: Option<Inhibitor>,
    notices: Notices,
    sleep: Option<SleepWatch>,
}

/// The whole of vdisplayd after boot.
pub async fn run(mut boot: Boot<Config>) -> Result<(), Exit> {
    let places = Places::find().map_err(|error| Exit::Environment(error.to_string()))?;
    let (orders, inbox) = mpsc::channel(ORDERS);
    let stored = std::mem::take(&mut boot.stored);
    let mut run = Run::new(boot.config.clone(), places, orders.clone(), boot.pulses.clone(), stored);
    recover::outputs(&mut run).await;
    let shown = run.shown.clone();
    let library = run.library.clone();
    let status = Stage1::new(boot.stage, boot.generation, move |report| shown.fill(report, library.notes()));
    let path = boot.stage.object_path();
    let display = Display1::new(orders.clone(), run.library.clone(), run.places.runtime.clone());
    let bus = boot
        .bus(move |builder| builder.serve_at(path, display.clone()).serve_at(path, status.clone()))
        .await?;
    run.bus = Some(bus.clone());
    let watch = watch::captured(bus.clone(), orders);
    let work = async {
        tokio::select! {
            () = run.serve(inbox) => {}
            () = watch => {}
        }
        Exit::Restart("the loop ended".to_owned())
    };
    // Nothing is released here: Outputs outlive a restart, and systemd stops their units with lumen.target.
    boot::serve(&bus, &boot.pulses, work, async {}).await
}

impl Run {
    fn new(
        config: Config,
        places: Places,
        orders: mpsc::Sender<Order>,
        pulses: Pulses,
        stored: Vec<Stored>,
    ) -> Self {
        let manager = Arc::new(UserManager::new(places.runtime.clone()));
        let shown = Shown::default();
        let sway = |use_desktop| Sway::new(places.clone(), manager.clone(), use_desktop);
        let (backend, idle) = match config.backend {
            Choice::Auto => {
                let mutter =
                    Mutter::new(places.clone(), manager.clone(), config.topology, orders.clone(), stored);
                let auto = AnyBackend::Auto(Box::new(Auto::new(mutter, sway(true))));
                (auto, ("auto", "no Output now; the desktop is chosen when a client comes"))
            }
            Choice::SwayHeadless => {
                let sway = AnyBackend::Sway(sway(false));
                (sway, ("sway-headless", "no Output now; vdisplayd.toml chose the backend"))
            }
            Choice::Pattern => {
                (AnyBackend::Pattern(Pattern), ("pattern", "no Output now; vdisplayd.toml chose the backend"))
            }
        };
        shown.lock().idle = idle;
        Self {
            displays: Displays::new(config.lease.0),
            apps: Apps::new(manager),
            library: Arc::new(Library::of_user()),
            backend,
            config,
            places,
            shown,
            orders,
            waiting: BTreeMap::new(),
            starting: BTreeMap::new(),
            untouched: BTreeSet::new(),
            bus: None,
            pulses,
            pulse: None,
            awake: None,
            notices: Notices::default(),
            sleep: None,
        }
    }

    async fn serve(&mut self, mut inbox: mpsc::Receiver<Order>) {
        loop {
            // Whatever an order waits for has a limit of its own, and that may be longer than a hang. Only the Run may
            // hold the pulse while it waits for an order: a pulse without an Output is one that nobody beats.
            beating(self.pulse.clone().as_ref(), self.settle()).await;
            let beat = self.pulse.as_ref().map(|_| SILENCE / 4);
            let pause = self.displays.next_over(now_ns()).into_iter().chain(beat).min();
            let tick = async {
                match pause {
                    Some(pause) => sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                order = inbox.recv() => match order {
                    Some(order) => beating(self.pulse.clone().as_ref(), self.handle(order)).await,
                    None => return,
                },
                () = tick => {}
            }
        }
    }

    /// Takes away what is not needed any more, and holds the machine awake just as long as anything is.
    async fn settle(&mut self) {
        while let Some(session) = self.displays.poll_over(now_ns()) {
            tracing::info!(SESSION = %session, "the lease is over: the Output is taken away");
            self.take_away(session).await;
        }
        self.tell_people();
        if self.displays.is_empty() {
            (self.pulse, self.awake, self.sleep) = (None, None, None);
            self.shown.lock().notes.clear();
            return;
        }
        self.pulse.get_or_insert_with(|| self.pulses.register()).beat();
        self.sleep.get_or_insert_with(|| SleepWatch::start(self.orders.clone()));
        let held: Vec<(SessionId, bool)> = self
            .displays
            .sessions()
            .map(|session| (session, self.displays.left(session, now_ns()).is_none()))
            .collect();
        let mut shown = self.shown.lock();
        for (session, held) in held {
            if let Some(output) = shown.outputs.get_mut(&session) {
                output.held = held;
            }
        }
    }

    /// Whoever is at the desktop sees who controls it.
    fn tell_people(&mut self) {
        if let Some(bus) = self.bus.as_ref().filter(|_| self.config.notify) {
            let sessions: Vec<SessionId> = self.displays.sessions().collect();
            self.notices.settle(&sessions, bus, &session_bus(&self.places.runtime), &self.places);
        }
    }

    async fn handle(&mut self, order: Order) {
        match order {
            Order::Acquire { session, spec, holder, answer } => {
                match self.acquire(session, &spec, holder).await {
                    Ok((source, fresh)) => self.answer(session, Asked { answer, source, fresh }),
                    Err(failure) => {
                        self.show_failure(session, &failure);
                        // As in `Asked::agree`.
                        let _ = answer.send(Err(failure));
                    }
                }
            }
            Order::Release { session, answer } => {
                if self.displays.handle_release(session, now_ns()) {
                    let _ = std::fs::remove_file(self.places.file(session, "holder"));
                }
                let _ = answer.send(Ok(()));
            }
            Order::Seat { session, answer } => {
                let seat = self.backend.seat(session).await.map(|seat| {
                    let again = !self.untouched.remove(&session);
                    SeatSource { again: Some(again), ..seat }
                });
                // As above; and nothing is made, so nothing is to be undone.
                let _ = answer.send(seat);
            }
            Order::Captured(pid) => self.displays.handle_captured(pid, now_ns()),
            Order::AppStarted { session, started } => self.handle_started(session, started).await,
            Order::AppEnded(session) => self.describe_app(session, true).await,
            Order::Sleeps(sleeps) => self.tell_sleep(sleeps).await,
            Order::Desk => {
                for session in self.backend.look().await {
                    self.start_waiting(session);
                }
            }
        }
    }

    /// Told once, because captured asks again and again while a desktop is locked.
    pub(crate) fn show_failure(&self, session: SessionId, failure: &Failure) {
        let text = Some(failure.to_string());
        let mut shown = self.shown.lock();
        if shown.failure != text {
            tracing::warn!(SESSION = %session, "no Output: {failure}");
            shown.failure = text;
        }
    }

    /// What captured is told, and whether the Output was made just now.
    async fn acquire(
        &mut self,
        session: SessionId,
        spec: &OutputSpec,
        holder: u32,
    ) -> Result<(Source, bool), Failure> {
        failpoint::at(recover::ASKED);
        self.displays.room(session)?;
        let asked = Mode { width: spec.width, height: spec.height, refresh_mhz: spec.refresh_mhz };
        let mode = self.config.mode(asked)?;
        let app = match &self.app(spec.app.as_deref(), self.has_desktops()).await? {
            Some(app) => Some(self.apps.find(app).await?),
            None => None,
        };
        for ready in beating(self.pulse.as_ref(), self.backend.await_others(session)).await {
            self.start_waiting(ready);
        }
        let acquired = match beating(self.pulse.as_ref(), self.backend.acquire(session, mode)).await {
            Ok(acquired) => acquired,
            Err(failure) => {
                if !self.backend.has(session) {
                    self.take_away(session).await;
                }
                return Err(failure);
            }
        };
        failpoint::at(recover::ACQUIRED);
        self.hold(session, holder, &acquired.made).await;
        failpoint::at(recover::HELD);
        // The default one is for a desktop of our own.
        let wanted = acquired.made.backend == "sway-headless" || spec.app.is_some();
        if let Some(app) = app.filter(|_| wanted) {
            let waiting = Waiting { app, made: acquired.made.clone(), fresh: acquired.fresh };
            self.expect_app(session, waiting, acquired.ready);
        }
        if acquired.fresh {
            self.untouched.insert(session);
            tracing::info!(SESSION = %session, "{mode} on {}: {}", acquired.made.backend, acquired.made.why);
        }
        let fresh = acquired.fresh;
        Ok((source(acquired), fresh))
    }

    /// From now on `holder` needs the Output of `session`.
    async fn hold(&mut self, session: SessionId, holder: u32, made: &Made) {
        self.displays.handle_acquired(session, holder);
        // Only what lives in a unit outlives us.
        if made.unit.is_some()
            && let Err(error) = self.places.write(session, "holder", &holder.to_string())
        {
            tracing::warn!(SESSION = %session, "a restart of vdisplayd will cost this Output: {error}");
        }
        self.show(session, made.clone());
        self.stay_awake().await;
    }

    pub(crate) fn show(&self, session: SessionId, made: Made) {
        let mut shown = self.shown.lock();
        shown.failure = None;
        let app = shown.outputs.remove(&session).and_then(|output| output.app);
        shown.outputs.insert(session, ShownOutput { made, app, held: true });
    }

    /// Takes logind's inhibitor unless it is held; that it cannot be had is a note in Status.
    pub(crate) async fn stay_awake(&mut self) {
        if self.awake.is_some() || !self.shown.lock().notes.is_empty() {
            return;
        }
        match beating(self.pulse.as_ref(), Inhibitor::take()).await {
            Ok(inhibitor) => self.awake = Some(inhibitor),
            Err(note) => {
                tracing::warn!("{note}");
                self.shown.lock().notes.push(note);
            }
        }
    }

    pub(crate) async fn take_away(&mut self, session: SessionId) {
        self.displays.handle_gone(session);
        self.forget_app(session);
        self.untouched.remove(&session);
        let has_apps = self.has_desktops();
        let work = async {
            // The Output goes even if its app does not: it takes the app's windows along.
            let app = if has_apps { self.apps.stop(session).await } else { Ok(()) };
            self.backend.release(session).await.and(app.map_err(Failure::from))
        };
        if let Err(failure) = beating(self.pulse.as_ref(), work).await {
            tracing::warn!(SESSION = %session, "the Output may be left over: {failure}");
        }
        self.shown.lock().outputs.remove(&session);
    }
}

/// What captured is told.
fn source(acquired: Acquired) -> Source {
    let Acquired { made, pictures, .. } = acquired;
    let (kind, fd, node, detour) = match pictures {
        Pictures::Wayland(fd) => ("wayland", Some(fd.into()), None, false),
        Pictures::PipeWire { fd, node, detour } => ("pipewire", Some(fd.into()), Some(node), detour),
        Pictures::Pattern => ("pattern", None, None, false),
    };
    Source {
        kind: kind.to_owned(),
        fd,
        node,
        serial: None,
        detour: detour.then_some(true),
        output: made.output,
        users: sound::is_users(made.backend).then_some(true),
        width: made.mode.width,
        height: made.mode.height,
        refresh_mhz: made.mode.refresh_mhz,
    }
}

/// Does `work` and keeps the watchdog content meanwhile: waiting for a compositor is no hang.
async fn beating<T>(pulse: Option<&Pulse>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Some(pulse) = pulse {
            pulse.beat();
        }
        if let Ok(done) = timeout(SILENCE / 4, &mut work).await {
            return done;
        }
    }
}
