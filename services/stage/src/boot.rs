//! How every stage starts and ends.
//!
//! ```text
//! arguments → logging → config → inherited fds → doors closed → pause after crashes → bus name → READY=1 → (watchdog, bus, stage's own work) → stop
//! ```
//! Exit codes: 0 after SIGTERM; 78 for a configuration and 69 for a machine that can never work, which systemd
//! does not restart; 1 for everything else, which it does.

use std::{future::Future, path::PathBuf, process::ExitCode, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser};
use lumen_ipc::{Generation, Stage};
use sd_notify::NotifyState;
use serde::de::DeserializeOwned;
use tokio::signal::unix::{SignalKind, signal};
use zbus::connection::Builder;

use crate::{
    bus::Bus,
    clock::now_ns,
    config::{self, ConfigError},
    door,
    failpoint::{self, Step},
    inherited::{self, Stored},
    ladder, log,
    memory::MemoryError,
    needs::Need,
    pacing,
    pulse::{self, Pulses, SILENCE},
    rehearsal,
};

/// `TimeoutStartSec` of the units.
const STARTS: Duration = Duration::from_secs(15);
/// How long session threads may take to release what they hold when the stage is stopped.
const STOP_LIMIT: Duration = Duration::from_millis(1500);

crate::steps! {
    /// The configuration is read.
    CONFIGURED = "configured";
    /// What systemd kept is taken out of the fd store.
    INHERITED = "inherited";
    /// This start is counted.
    PACED = "paced";
    /// The stage has its name on the bus.
    NAMED = "named";
    /// systemd has been told READY.
    READY = "ready";
}

#[derive(Debug, Parser)]
#[command(version, about = "One stage of lumen; started by systemd as part of lumen.target")]
struct Arguments {
    /// Read this file instead of /etc/lumen/STAGE.toml and ~/.config/lumen/STAGE.toml.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Override one key of the configuration, like --set 'lease=5 s'.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Read the configuration, say whether it is right, and end.
    #[arg(long)]
    check: bool,
    /// Say what this stage needs of the machine, a line of JSON each, and end.
    #[arg(long)]
    needs: bool,
    /// Print the steps at which `cargo xtask kill` lets it die, and end.
    #[arg(long, hide = true)]
    steps: bool,
}

/// Why a stage ends before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Exit {
    /// The configuration can never work: exit 78.
    #[error("{0}")]
    Config(String),
    /// This machine can never work: exit 69.
    #[error("{0}")]
    Environment(String),
    /// A restart may help: exit 1.
    #[error("{0}")]
    Restart(String),
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<MemoryError> for Exit {
    fn from(error: MemoryError) -> Self {
        Self::Restart(format!("no memory for what the next incarnation must know: {error}"))
    }
}

impl From<zbus::Error> for Exit {
    fn from(error: zbus::Error) -> Self {
        Self::Restart(format!("lumen's bus: {error}; is lumen-bus.service running?"))
    }
}

impl Exit {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 78,
            Self::Environment(_) => 69,
            Self::Restart(_) => 1,
        }
    }
}

/// What a stage is given at its start.
#[derive(Debug)]
pub struct Boot<C> {
    /// Who it is.
    pub stage: Stage,
    /// Which incarnation.
    pub generation: Generation,
    /// Its configuration.
    pub config: C,
    /// What the incarnation before left in the fd store.
    pub stored: Vec<Stored>,
    /// An incarnation before it ended while the constellation ran: a crash, a replacement, an orderly restart.
    pub is_heir: bool,
    /// To be fed to [`crate::Sessions::new`].
    pub pulses: Pulses,
}

/// Runs a stage from its first to its last line; the whole of its `main`. `steps` are those of its own recovery, `needs`
/// looks at the machine.
pub fn run<C, F, W>(stage: Stage, steps: &[Step], needs: fn(&C) -> Vec<Need>, work: F) -> ExitCode
where
    C: DeserializeOwned,
    F: FnOnce(Boot<C>) -> W,
    W: Future<Output = Result<(), Exit>>,
{
    let arguments = arguments(stage);
    if arguments.steps {
        STEPS.iter().chain(steps).for_each(|step| println!("{}", step.name()));
        return ExitCode::SUCCESS;
    }
    log::start();
    match prepare(stage, &arguments) {
        Ok(_) if arguments.check => ExitCode::SUCCESS,
        Ok(boot) if arguments.needs => tell(&needs(&boot.config)),
        Ok(boot) => {
            close_doors(stage);
            end(stage, paced(boot, work))
        }
        Err(exit) => end(stage, Err(exit)),
    }
}

/// The arguments, under the service's own name; a wrong one ends the process with exit code 2.
fn arguments(stage: Stage) -> Arguments {
    let matches = Arguments::command().name(stage.unit().trim_end_matches(".service")).get_matches();
    Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

fn tell(needs: &[Need]) -> ExitCode {
    for need in needs {
        println!("{}", serde_json::to_string(need).expect("strings and an enum are JSON"));
    }
    ExitCode::SUCCESS
}

fn prepare<C: DeserializeOwned>(stage: Stage, arguments: &Arguments) -> Result<Boot<C>, Exit> {
    let files = arguments.config.clone().map_or_else(|| config::files(stage), |file| vec![file]);
    let config = config::load(&files, &arguments.settings)?;
    failpoint::at(CONFIGURED);
    let stored = inherited::take();
    failpoint::at(INHERITED);
    // The times of restarts are stored at a stage's first start, and kept until the constellation stops.
    let is_heir = !stored.is_empty();
    Ok(Boot { stage, generation: Generation(now_ns()), config, stored, is_heir, pulses: Pulses::default() })
}

/// Goes on where the kernel knows no such filter: the unit's own sandbox is there all the same.
fn close_doors(stage: Stage) {
    if let Err(error) = door::close() {
        tracing::warn!(STAGE = stage.name(), "it could still start programs if it were taken over: {error}");
    }
}

/// Executes after the pause that the deaths of late ask for; what ends in order is no death.
fn paced<C, W: Future<Output = Result<(), Exit>>>(
    mut boot: Boot<C>,
    work: impl FnOnce(Boot<C>) -> W,
) -> Result<(), Exit> {
    let pause = pacing::count(&mut boot.stored)?;
    failpoint::at(PACED);
    if !pause.is_zero() {
        let millis = pause.as_millis();
        tracing::warn!(STAGE = boot.stage.name(), "it died again and again: waiting {millis} ms");
        // `TimeoutStartSec` is for what comes after the pause.
        let allowed = pause + STARTS;
        notify(&[NotifyState::ExtendTimeoutUsec(u32::try_from(allowed.as_micros()).unwrap_or(u32::MAX))]);
        std::thread::sleep(pause);
        pacing::awake();
    }
    rehearsal::of(rehearsal::START);
    let result = execute(boot, work);
    if result.is_ok() {
        pacing::forgive();
    }
    result
}

fn execute<C, W: Future<Output = Result<(), Exit>>>(
    boot: Boot<C>,
    work: impl FnOnce(Boot<C>) -> W,
) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Exit::Restart(format!("no event loop: {error}")))?;
    let result = runtime.block_on(work(boot));
    // A session's thread may still wait on it (for a stage upstream), and would panic if it were gone before the process.
    std::mem::forget(runtime);
    result
}

fn end(stage: Stage, result: Result<(), Exit>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(exit) => {
            tracing::error!(STAGE = stage.name(), "{exit}");
            ExitCode::from(exit.code())
        }
    }
}

impl<C> Boot<C> {
    /// Takes the stage's name on the bus, with the interfaces that `dress` adds.
    pub async fn bus(
        &self,
        dress: impl Fn(Builder<'static>) -> Builder<'static> + Send + Sync + 'static,
    ) -> Result<Bus, Exit> {
        let bus = Bus::start(self.stage, dress).await?;
        failpoint::at(NAMED);
        Ok(bus)
    }
}

/// Says READY, feeds the watchdog, keeps the bus, and returns when systemd asks to stop or `work` ends.
///
/// `release` then has 1.5 s to give back what sessions hold.
pub async fn serve(
    bus: &Bus,
    pulses: &Pulses,
    work: impl Future<Output = Exit>,
    release: impl Future<Output = ()>,
) -> Result<(), Exit> {
    let mut stop = signal(SignalKind::terminate()).map_err(|error| Exit::Restart(error.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| Exit::Restart(error.to_string()))?;
    notify(&[NotifyState::Ready]);
    failpoint::at(READY);
    pacing::ready();
    let result = tokio::select! {
        _ = stop.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        exit = work => Err(exit),
        () = bus.keep() => Ok(()),
        () = feed_watchdog(pulses, pulse::limit(bus.stage())) => Ok(()),
    };
    notify(&[NotifyState::Stopping]);
    // Past the limit the process ends anyway and the kernel closes what is left.
    let _ = tokio::time::timeout(STOP_LIMIT, release).await;
    result
}

/// Feeds systemd's watchdog while every loop beats: each half second with sessions, else each two seconds. A loop that is
/// silent for longer than `patience` makes systemd kill the process at once, which else would wait for its whole limit.
async fn feed_watchdog(pulses: &Pulses, patience: Duration) {
    let Some(idle_limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let (mut tight, mut late) = (false, Duration::ZERO);
    loop {
        let busy = pulses.busy();
        if busy != tight {
            let limit = if busy { SILENCE } else { idle_limit };
            notify(&[NotifyState::WatchdogUsec(u32::try_from(limit.as_micros()).unwrap_or(u32::MAX))]);
            tight = busy;
        }
        let silence = pulses.silence(now_ns());
        // Who stood still as a whole (stopped, frozen, swapped out) has loops that hang no more than this one.
        if silence <= patience + late {
            notify(&[NotifyState::Watchdog]);
        } else {
            ladder::hung(patience / 2);
            notify(&[NotifyState::WatchdogTrigger]);
        }
        let pause = if busy { Duration::from_millis(500) } else { idle_limit / 3 };
        // A silent loop is looked at again when it has been silent for too long.
        let left = patience.saturating_sub(silence) + Duration::from_millis(1);
        let (asleep_ns, pause) = (now_ns(), pause.min(left));
        tokio::time::sleep(pause).await;
        late = Duration::from_nanos(now_ns().saturating_sub(asleep_ns)).saturating_sub(pause);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without systemd (a test, a person's shell) there is nobody to tell.
    let _ = sd_notify::notify(states);
}
