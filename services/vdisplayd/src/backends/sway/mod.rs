//! The backend *sway*: an output in the sway that the user is running, else in a headless one of our own.
//!
//! Either way the Output lives in the unit `lumen-output-SESSION.service`: releasing it is stopping that unit, and
//! after a restart of vdisplayd it is found by that name.

mod company;
pub mod desktop;
pub mod headless;
pub mod idle;
pub mod ipc;
pub mod keeper;
pub mod output;
pub mod wayland;
mod windows;

use std::{
    collections::BTreeMap,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use lumen_ipc::{Failure, FailureClass, Mode, SessionId, bus::SeatSource};

use self::{
    company::Company,
    desktop::Desktop,
    ipc::{Ipc, IpcError},
    output::OutputError,
};
use super::{Acquired, Backend, Made, Pictures, mutter};
use crate::{
    places::Places,
    systemd::{SystemdError, UnitState, UserManager},
    units,
};

/// Time for a unit to go, because systemd kills what does not end by itself after 1.2 s.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// One Output and the way to its sway.
#[derive(Debug)]
struct Placed {
    made: Made,
    socket: PathBuf,
    company: Option<Company>,
}

/// All Outputs that live in a sway.
#[derive(Debug)]
pub struct Sway {
    places: Places,
    manager: Arc<UserManager>,
    use_desktop: bool,
    outputs: BTreeMap<SessionId, Placed>,
}

impl Sway {
    /// Without `use_desktop` a running sway is left alone and each session gets a headless one.
    pub fn new(places: Places, manager: Arc<UserManager>, use_desktop: bool) -> Self {
        Self { places, manager, use_desktop, outputs: BTreeMap::new() }
    }

    /// The Output that `session` has, at `mode`; `None` if its sway is gone.
    pub async fn again(&mut self, session: SessionId, mode: Mode) -> Result<Option<Acquired>, Failure> {
        let Some(placed) = self.outputs.get_mut(&session) else { return Ok(None) };
        let Ok(mut ipc) = Ipc::connect(&placed.socket).await else { return Ok(None) };
        if placed.company.is_some() && desktop::lock(&placed.socket, &ipc).await.is_some() {
            return Err(super::locked());
        }
        let Some(name) = placed.made.output.clone() else { return Ok(None) };
        // One that hangs or dies amid the answer is as good as gone.
        let Ok(outputs) = ipc.outputs().await else { return Ok(None) };
        match output::mode_of(&outputs, &name) {
            None => return Ok(None),
            Some(now) if now == mode => {}
            Some(_) => output::set_mode(&mut ipc, &name, mode).await?,
        }
        placed.made.mode = mode;
        let Ok((_, stream)) = connect(&self.places.runtime, &ipc).await else { return Ok(None) };
        Ok(Some(acquired(&placed.made, stream, false)))
    }

    /// Where input for the Output of `session` goes: a fresh connection to its sway.
    ///
    /// # Errors
    /// There is no Output, its sway is gone, or a locker covers it.
    pub async fn seat(&self, session: SessionId) -> Result<SeatSource, Failure> {
        let placed = self.outputs.get(&session).ok_or_else(super::no_output)?;
        let ipc = Ipc::connect(&placed.socket).await?;
        if placed.company.is_some() && desktop::lock(&placed.socket, &ipc).await.is_some() {
            return Err(super::locked());
        }
        let (_, stream) = connect(&self.places.runtime, &ipc).await?;
        Ok(SeatSource {
            kind: "wayland".to_owned(),
            fd: Some(stream.into()),
            output: placed.made.output.clone(),
            region: None,
            desktop: Some(placed.made.backend.to_owned()),
            again: None,
        })
    }

    /// A new Output; `passed_over` says why no other desktop was taken.
    pub async fn make(
        &mut self,
        session: SessionId,
        mode: Mode,
        passed_over: &[String],
    ) -> Result<Acquired, Failure> {
        let made = self.try_to_make(session, mode, passed_over).await;
        if made.is_err() {
            self.stop(session).await?;
        }
        made
    }

    async fn try_to_make(
        &mut self,
        session: SessionId,
        mode: Mode,
        passed_over: &[String],
    ) -> Result<Acquired, Failure> {
        let mut search = match self.use_desktop {
            true => desktop::search(&self.places.runtime, self.places.uid, &self.manager).await,
            false => desktop::Search::default(),
        };
        search.passed_over.extend_from_slice(passed_over);
        let (placed, stream) = match search.desktop {
            Some(desktop) => self.in_desktop(session, mode, desktop).await?,
            None => self.in_headless(session, mode, &search.passed_over).await?,
        };
        let acquired = acquired(&placed.made, stream, true);
        self.outputs.insert(session, placed);
        Ok(acquired)
    }

    async fn in_desktop(
        &self,
        session: SessionId,
        mode: Mode,
        mut desktop: Desktop,
    ) -> Result<(Placed, OwnedFd), Failure> {
        let (wayland, stream) = connect(&self.places.runtime, &desktop.ipc).await?;
        let outputs = desktop.ipc.outputs().await?;
        let before: Vec<String> = outputs.into_iter().map(|output| output.name).collect();
        keeper::start(&self.places, &self.manager, session, mode, &desktop.socket, &before).await?;
        let name = self.make_output(session, mode, &mut desktop.ipc).await?;
        let mut why = format!("the user's own sway is running (process {})", desktop.pid);
        let company = Company::start(&self.places.runtime, session, &name, &desktop.socket, &mut why).await;
        let made = Made {
            mode,
            output: Some(name),
            wayland: file_name(&wayland),
            display: None,
            unit: Some(units::output(session)),
            backend: "sway",
            why,
        };
        Ok((Placed { made, socket: desktop.socket, company: Some(company) }, stream))
    }

    async fn make_output(&self, session: SessionId, mode: Mode, ipc: &mut Ipc) -> Result<String, Failure> {
        let name = output::create(ipc).await?;
        self.places.write(session, "name", &name).map_err(|source| headless::HeadlessError::Unwritable {
            path: self.places.file(session, "name"),
            source,
        })?;
        output::set_mode(ipc, &name, mode).await?;
        Ok(name)
    }

    async fn in_headless(
        &self,
        session: SessionId,
        mode: Mode,
        passed_over: &[String],
    ) -> Result<(Placed, OwnedFd), Failure> {
        let mut headless = headless::start(&self.places, &self.manager, session, mode).await?;
        let why = match (self.use_desktop, passed_over) {
            (false, _) => "vdisplayd.toml says backend = \"sway-headless\"".to_owned(),
            (true, []) => "the user has no running GNOME or sway".to_owned(),
            (true, passed_over) => format!("the running desktop is not used ({})", passed_over.join("; ")),
        };
        let first = headless.ipc.outputs().await?.into_iter().next().ok_or(OutputError::NothingNew)?;
        output::set_mode(&mut headless.ipc, &first.name, mode).await?;
        let (wayland, stream) = connect(&self.places.runtime, &headless.ipc).await?;
        let made = Made {
            mode,
            output: Some(first.name),
            wayland: file_name(&wayland),
            display: self.x_display(session),
            unit: Some(units::output(session)),
            backend: "sway-headless",
            why: format!("{why}; drawn by {}", headless.renderer),
        };
        Ok((Placed { made, socket: headless.socket, company: None }, stream))
    }

    /// The X display that a headless sway noted.
    fn x_display(&self, session: SessionId) -> Option<String> {
        let text = std::fs::read_to_string(self.places.file(session, "display")).ok()?;
        Some(text).filter(|text| !text.is_empty())
    }

    async fn stop(&self, session: SessionId) -> Result<(), Failure> {
        let unit = units::output(session);
        self.manager.stop(&unit).await?;
        if !self.manager.gone_within(&unit, GONE_LIMIT).await? {
            tracing::warn!(SESSION = %session, "{unit} does not stop; see `systemctl --user status {unit}`");
        }
        Ok(())
    }

    /// What the unit of `session` tells about its Output; `None` if that is not there any more.
    async fn found(&self, session: SessionId, unit: &str) -> Option<Placed> {
        if !matches!(self.manager.state(unit).await.ok()?, UnitState::Running { .. }) {
            return None;
        }
        let environment = self.manager.environment_of(unit).await.ok()?;
        let in_desktop = environment.get(keeper::SOCKET_VARIABLE);
        let socket = in_desktop.map_or_else(|| self.places.file(session, "sock"), PathBuf::from);
        let mut ipc = Ipc::connect(&socket).await.ok()?;
        let outputs = ipc.outputs().await.ok()?;
        let name = match in_desktop {
            Some(_) => std::fs::read_to_string(self.places.file(session, "name")).ok()?,
            None => outputs.first()?.name.clone(),
        };
        let mode = output::mode_of(&outputs, &name)?;
        let (wayland, _) = connect(&self.places.runtime, &ipc).await.ok()?;
        let mut why = "found running after a restart of vdisplayd".to_owned();
        let company = match in_desktop {
            Some(_) => Some(Company::start(&self.places.runtime, session, &name, &socket, &mut why).await),
            None => None,
        };
        let made = Made {
            mode,
            output: Some(name),
            wayland: file_name(&wayland),
            display: self.x_display(session),
            unit: Some(unit.to_owned()),
            backend: if company.is_some() { "sway" } else { "sway-headless" },
            why,
        };
        Some(Placed { made, socket, company })
    }
}

impl Backend for Sway {
    async fn acquire(&mut self, session: SessionId, mode: Mode) -> Result<Acquired, Failure> {
        if let Some(acquired) = self.again(session, mode).await? {
            return Ok(acquired);
        }
        self.release(session).await?;
        self.make(session, mode, &[]).await
    }

    fn has(&self, session: SessionId) -> bool {
        self.outputs.contains_key(&session)
    }

    async fn release(&mut self, session: SessionId) -> Result<(), Failure> {
        self.outputs.remove(&session);
        self.stop(session).await
    }

    async fn adopt(&mut self) -> Result<BTreeMap<SessionId, Made>, Failure> {
        for unit in self.manager.list(units::OUTPUT_PATTERN).await? {
            let Some(session) = units::session_of(&unit) else { continue };
            if mutter::adoption::is_ours(&self.manager, &unit).await {
                continue;
            }
            match self.found(session, &unit).await {
                Some(placed) => {
                    self.outputs.insert(session, placed);
                }
                None => self.stop(session).await?,
            }
        }
        Ok(self.outputs.iter().map(|(session, placed)| (*session, placed.made.clone())).collect())
    }
}

fn acquired(made: &Made, fd: OwnedFd, fresh: bool) -> Acquired {
    Acquired { made: made.clone(), pictures: Pictures::Wayland(fd), fresh, ready: true }
}

/// A fresh connection to the Wayland socket of the sway at the other end of `ipc`.
async fn connect(runtime: &Path, ipc: &Ipc) -> Result<(PathBuf, OwnedFd), Failure> {
    let (pid, _) = ipc.peer().ok_or_else(|| no_socket("the kernel does not say which process it is"))?;
    let (path, stream) =
        wayland::connect(runtime, pid).await.map_err(|error| no_socket(&error.to_string()))?;
    Ok((path, stream.into()))
}

fn no_socket(reason: &str) -> Failure {
    Failure::new(
        FailureClass::Temporary,
        format!("sway runs but cannot be reached over Wayland: {reason}"),
        "look whether it still answers (`swaymsg -t get_version`), then connect again",
    )
}

fn file_name(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

impl From<OutputError> for Failure {
    fn from(error: OutputError) -> Self {
        let class = match error {
            OutputError::Mode { .. } => FailureClass::Environment,
            OutputError::Ipc(_) | OutputError::NothingNew | OutputError::Stays { .. } => {
                FailureClass::Temporary
            }
        };
        let advice = match class {
            FailureClass::Environment => {
                "set backend = \"sway-headless\" in vdisplayd.toml to use a desktop of lumen's own"
            }
            _ => "connect again; if it stays so, look whether sway answers (`swaymsg -t get_outputs`)",
        };
        Self::new(class, error.to_string(), advice)
    }
}

impl From<IpcError> for Failure {
    fn from(error: IpcError) -> Self {
        OutputError::from(error).into()
    }
}

impl From<SystemdError> for Failure {
    fn from(error: SystemdError) -> Self {
        headless::HeadlessError::from(error).into()
    }
}
