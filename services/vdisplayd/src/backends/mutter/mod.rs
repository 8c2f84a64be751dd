//! The backend *mutter*: a virtual monitor in the GNOME that the user is running.
//!
//! ```text
//!            record                     a reader negotiates
//!  (none) ───────────► no monitor yet ───────────────────────► a monitor, laid out; the app may start
//!                          ▲                                        │
//!                          └──── unlocked, asked again ◄── dark ◄───┘ the screen is locked
//! ```
//! When GNOME itself ends, an Output is waited for: 10 s later it is given up, and where another GNOME runs by then it is
//! made anew in that one, with its app.
//!
//! One connection to the session bus per Output keeps it ([`mod@line`]); a new Acquire with another mode keeps it too,
//! since size and rate are what the reader fixes. No two Outputs wait for their monitor at the same time, because
//! Mutter does not tell whose a monitor is.

pub mod adoption;
pub mod cast;
pub mod desk;
pub mod keeper;
pub mod layout;
pub mod line;
pub mod seat;

use std::{
    collections::BTreeMap,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use lumen_ipc::{Failure, FailureClass, Mode, SessionId};
use lumen_stage::inherited::Stored;
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, sleep},
};

use self::{
    cast::{Cast, CastError},
    desk::{Awake, Desk, Presence},
    layout::{Layout, Topology},
    line::{Line, session_bus},
};
use super::{Acquired, Made, Pictures, sway::wayland};
use crate::{display::Order, places::Places, systemd::UserManager, units};

/// Longest wait for another Output's monitor, because captured negotiates within a second.
const MONITOR_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks for it.
const LOOK: Duration = Duration::from_millis(50);
/// How long a GNOME that ended is waited for, before its sessions get a headless desktop. Because one that crashed and was
/// started again was seen to take 6 s on a busy machine.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// What is one rate, because Mutter computes with fractions.
const SAME_RATE_MHZ: u32 = 5;
/// Time for a keeper to go, because its sweep waits for GNOME to lay out its monitors.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// One Output.
#[derive(Debug)]
struct Placed {
    made: Made,
    /// `None` while it is dark.
    cast: Option<Cast>,
    /// Number of its monitor, once that is there.
    monitor: Option<u64>,
    /// Process of the GNOME that it is in; `None` if a vdisplayd made it that did not note that yet.
    pid: Option<i32>,
    /// Since when there is no GNOME at all.
    gone: Option<Instant>,
}

/// All Outputs in the user's GNOME.
#[derive(Debug)]
pub struct Mutter {
    places: Places,
    manager: Arc<UserManager>,
    topology: Topology,
    orders: mpsc::Sender<Order>,
    stored: BTreeMap<String, OwnedFd>,
    outputs: BTreeMap<SessionId, Placed>,
    watch: Option<AbortHandle>,
    awake: Option<Awake>,
}

impl Mutter {
    /// `stored` is what the fd store gave back; `orders` hears of changes while there is an Output.
    pub fn new(
        places: Places,
        manager: Arc<UserManager>,
        topology: Topology,
        orders: mpsc::Sender<Order>,
        stored: Vec<Stored>,
    ) -> Self {
        let stored = stored.into_iter().map(|stored| (stored.name, stored.fd)).collect();
        Self { places, manager, topology, orders, stored, outputs: BTreeMap::new(), watch: None, awake: None }
    }

    /// Where the session bus listens.
    pub fn bus(&self) -> PathBuf {
        session_bus(&self.places.runtime)
    }

    /// Whether `session` has an Output here, dark or not.
    pub fn has(&self, session: SessionId) -> bool {
        self.outputs.contains_key(&session)
    }

    /// The Output that `session` has, at `mode`; `None` if GNOME is gone and does not come back.
    pub async fn again(&mut self, session: SessionId, mode: Mode) -> Result<Option<Acquired>, Failure> {
        match desk::look(&self.bus()).await {
            Presence::Absent => self.await_return(session),
            Presence::Locked => {
                self.darken().await;
                Err(super::locked())
            }
            Presence::Usable(desk) if self.was_in_another(session, &desk) => {
                self.release(session).await?;
                self.make(session, mode, &desk).await.map(Some)
            }
            Presence::Usable(desk) => {
                let lives = match self.outputs.get(&session).and_then(|placed| placed.cast.as_ref()) {
                    Some(cast) => cast.lives().await,
                    None => false,
                };
                if !lives {
                    self.record(session, mode, &desk).await?;
                }
                let Some(placed) = self.outputs.get_mut(&session) else { return Ok(None) };
                (placed.gone, placed.made.mode) = (None, mode);
                let monitor = placed.monitor;
                self.write(session);
                // Mutter 48 was seen to keep its monitor's rate where the size is the same.
                let shown = match monitor {
                    Some(monitor) => desk.layout().await.ok().and_then(|layout| layout.shown(monitor)),
                    None => None,
                };
                let detour = shown.is_some_and(|shown| differ_in_rate_alone(shown, mode));
                self.acquired(session, false, detour).map(Some)
            }
        }
    }

    /// There is no GNOME: a failure that passes, until the wait for another one is over.
    fn await_return(&mut self, session: SessionId) -> Result<Option<Acquired>, Failure> {
        let Some(placed) = self.outputs.get_mut(&session) else { return Ok(None) };
        placed.monitor = None;
        match placed.gone.get_or_insert_with(Instant::now).elapsed() < RETURN_LIMIT {
            true => Err(gone()),
            false => Ok(None),
        }
    }

    /// Whether the GNOME that the Output of `session` was made in has ended, and `desk` is another one.
    fn was_in_another(&self, session: SessionId, desk: &Desk) -> bool {
        let placed = self.outputs.get(&session);
        placed.is_some_and(|placed| placed.pid.map_or(placed.gone.is_some(), |pid| pid != desk.pid))
    }

    /// A new Output in `desk`.
    pub async fn make(&mut self, session: SessionId, mode: Mode, desk: &Desk) -> Result<Acquired, Failure> {
        keeper::start(&self.places, &self.manager, session, mode).await?;
        let made = Made {
            mode,
            output: None,
            wayland: self.wayland(desk).await,
            display: None,
            unit: Some(units::output(session)),
            backend: "mutter",
            why: format!("the user's own GNOME is running (process {})", desk.pid),
        };
        self.outputs
            .insert(session, Placed { made, cast: None, monitor: None, pid: Some(desk.pid), gone: None });
        let acquired = match self.record(session, mode, desk).await {
            Ok(()) => self.acquired(session, true, false),
            Err(failure) => Err(failure),
        };
        if acquired.is_err() {
            self.release(session).await?;
        }
        acquired
    }

    /// Records a monitor for `session`.
    async fn record(&mut self, session: SessionId, mode: Mode, desk: &Desk) -> Result<(), Failure> {
        if self.topology != Topology::Extend {
            keeper::note_layout(&self.places, desk).await;
        }
        let name = stored_name(session);
        if let Some(cast) = self.outputs.get_mut(&session).and_then(|placed| placed.cast.take()) {
            cast.stop().await;
        }
        let line = Line::open(&self.bus(), &name).await.map_err(CastError::from)?;
        let cast = Cast::start(line).await?;
        if let Some(placed) = self.outputs.get_mut(&session) {
            (placed.cast, placed.monitor, placed.made.mode) = (Some(cast), None, mode);
        }
        self.write(session);
        self.start_watch();
        Ok(())
    }

    /// Waits until no other Output than that of `session` waits for its monitor; the sessions whose monitor came
    /// meanwhile.
    pub async fn await_others(&mut self, session: SessionId) -> Vec<SessionId> {
        let deadline = Instant::now() + MONITOR_LIMIT;
        let mut came = Vec::new();
        while self.waiting().any(|waiting| waiting != session) && Instant::now() < deadline {
            sleep(LOOK).await;
            came.extend(self.look().await);
        }
        // One that nobody negotiated for by now does not hold up others.
        came
    }

    fn waiting(&self) -> impl Iterator<Item = SessionId> {
        let waits =
            |placed: &Placed| placed.cast.is_some() && placed.monitor.is_none() && placed.gone.is_none();
        self.outputs.iter().filter(move |(_, placed)| waits(placed)).map(|(session, _)| *session)
    }

    /// Whether the monitor of `session` is there.
    pub fn is_ready(&self, session: SessionId) -> bool {
        self.outputs.get(&session).is_some_and(|placed| placed.monitor.is_some())
    }

    /// Takes away what would cover the app of `session`, for the next seconds; then forgets that it had to start.
    pub fn make_way(&self, session: SessionId) {
        let (bus, started) = (self.bus(), self.places.file(session, "app"));
        tokio::spawn(async move {
            if let Presence::Usable(desk) = desk::look(&bus).await
                && let Err(error) = desk.leave_overview().await
            {
                tracing::warn!("the app may be covered by GNOME's overview: {error}");
            }
            let _ = std::fs::remove_file(started);
        });
    }

    /// Looks at GNOME after a change: dark if it is locked, else laid out as the configuration says. The sessions
    /// whose monitor is there since now.
    pub async fn look(&mut self) -> Vec<SessionId> {
        if self.outputs.is_empty() {
            return Vec::new();
        }
        match desk::look(&self.bus()).await {
            // captured sees its stream end and asks anew.
            Presence::Absent => Vec::new(),
            Presence::Locked => {
                self.darken().await;
                Vec::new()
            }
            Presence::Usable(desk) => {
                if self.awake.is_none() {
                    // Without a session manager nobody calls the user idle.
                    self.awake = desk.stay_awake().await.ok();
                }
                self.arrange(&desk).await.unwrap_or_else(|error| {
                    tracing::warn!("GNOME does not lay out its monitors as vdisplayd.toml says: {error}");
                    Vec::new()
                })
            }
        }
    }

    async fn arrange(&mut self, desk: &Desk) -> Result<Vec<SessionId>, zbus::Error> {
        let layout = desk.layout().await?;
        if let Some(plan) = layout.plan(self.topology) {
            desk.apply(&layout, &plan).await?;
        }
        Ok(self.give_monitors(&layout))
    }

    /// Gives a monitor that is nobody's to the Output that waits for one.
    fn give_monitors(&mut self, layout: &Layout) -> Vec<SessionId> {
        let known: Vec<u64> = self.outputs.values().filter_map(|placed| placed.monitor).collect();
        let mut fresh: Vec<u64> = layout.recorded().filter(|number| !known.contains(number)).collect();
        fresh.sort_unstable();
        let sessions: Vec<SessionId> = self.waiting().collect();
        // The newest first: an older stray is not ours.
        let given: Vec<SessionId> = sessions
            .into_iter()
            .zip(fresh.into_iter().rev())
            .map(|(session, number)| {
                if let Some(placed) = self.outputs.get_mut(&session) {
                    placed.monitor = Some(number);
                }
                session
            })
            .collect();
        given.iter().for_each(|session| self.write(*session));
        given
    }

    /// Ends all recordings and keeps their Outputs, for when the screen is unlocked.
    async fn darken(&mut self) {
        for (session, placed) in &mut self.outputs {
            if let Some(cast) = placed.cast.take() {
                tracing::info!(SESSION = %session, "the desktop is locked: its picture is not given away");
                cast.stop().await;
            }
            placed.monitor = None;
        }
    }

    /// Takes the Output of `session` away. One that is not there is fine.
    pub async fn release(&mut self, session: SessionId) -> Result<(), Failure> {
        let Some(placed) = self.outputs.remove(&session) else { return Ok(()) };
        if let Some(cast) = placed.cast {
            cast.stop().await;
        }
        if self.outputs.is_empty() {
            self.awake = None;
            if let Some(watch) = self.watch.take() {
                watch.abort();
            }
        }
        let unit = units::output(session);
        self.manager.stop(&unit).await?;
        self.manager.gone_within(&unit, GONE_LIMIT).await?;
        Ok(())
    }

    fn acquired(&self, session: SessionId, fresh: bool, detour: bool) -> Result<Acquired, Failure> {
        let gone = || Failure::new(FailureClass::Internal, "the Output is gone", "connect again");
        let placed = self.outputs.get(&session).ok_or_else(gone)?;
        let cast = placed.cast.as_ref().ok_or_else(gone)?;
        let socket = self.places.runtime.join("pipewire-0");
        let fd = UnixStream::connect(&socket).map_err(|error| no_pipewire(&socket, &error))?;
        Ok(Acquired {
            made: placed.made.clone(),
            pictures: Pictures::PipeWire { fd: fd.into(), node: cast.recording.node, detour },
            fresh,
            ready: placed.monitor.is_some(),
        })
    }

    /// Name of the Wayland socket of `desk`.
    async fn wayland(&self, desk: &Desk) -> Option<String> {
        let (path, _) = wayland::connect(&self.places.runtime, desk.pid).await.ok()?;
        Some(path.file_name()?.to_str()?.to_owned())
    }

    fn start_watch(&mut self) {
        if self.watch.is_none() {
            let watch = tokio::spawn(desk::watch(self.bus(), self.orders.clone()));
            self.watch = Some(watch.abort_handle());
        }
    }
}

fn differ_in_rate_alone(one: Mode, other: Mode) -> bool {
    let size = |mode: Mode| (mode.width, mode.height);
    size(one) == size(other) && one.refresh_mhz.abs_diff(other.refresh_mhz) > SAME_RATE_MHZ
}

/// Name in the fd store.
fn stored_name(session: SessionId) -> String {
    format!("mutter-{session}")
}

fn gone() -> Failure {
    let advice = "the session goes on when it is back; after 10 s it gets a headless desktop";
    Failure::new(FailureClass::Temporary, "the user's GNOME has ended", advice)
}

fn no_pipewire(socket: &std::path::Path, error: &io::Error) -> Failure {
    Failure::new(
        FailureClass::Temporary,
        format!("GNOME runs but PipeWire cannot be reached at {}: {error}", socket.display()),
        "start it: `systemctl --user start pipewire.socket wireplumber`",
    )
}

impl From<CastError> for Failure {
    fn from(error: CastError) -> Self {
        let advice = "look whether GNOME and PipeWire answer (`wpctl status`), then connect again; or set backend = \
                      \"sway-headless\" in vdisplayd.toml to use a desktop of lumen's own";
        Self::new(FailureClass::Temporary, error.to_string(), advice)
    }
}
