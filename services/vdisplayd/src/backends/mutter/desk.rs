//! The user's GNOME: whether it is there, whether it is locked, how its monitors lie, and when that changes.
//!
//! Asked over an ordinary connection of the moment; only recordings have a lasting one.

use std::{
    future::poll_fn,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use zbus::{
    Connection, DynamicType, MatchRule, MessageStream, OwnedVariant, Type, connection::Builder,
    export::futures_core::Stream, fdo::DBusProxy, message,
};

use super::{
    cast::SCREEN_CAST,
    layout::{Layout, Place, WireState, to_wire},
};
use crate::{display::Order, logind};

const DISPLAY_CONFIG: &str = "org.gnome.Mutter.DisplayConfig";
const DISPLAY_CONFIG_PATH: &str = "/org/gnome/Mutter/DisplayConfig";
const SHELL: &str = "org.gnome.Shell";
const SHELL_PATH: &str = "/org/gnome/Shell";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const SESSION: &str = "org.gnome.SessionManager";
const SESSION_PATH: &str = "/org/gnome/SessionManager";
const SCREEN_SAVER: &str = "org.gnome.ScreenSaver";
const SCREEN_SAVER_PATH: &str = "/org/gnome/ScreenSaver";
/// gnome-shell answers under this name itself; `org.gnome.ScreenSaver` is a program of its own that would be started.
const SCREEN_SHIELD: &str = "org.gnome.Shell.ScreenShield";

/// Time for one answer, because a gnome-shell that lays out its monitors anew was seen to take half a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// Pause after a change before anything is asked, because gnome-shell sends several in a row, and layouts that are
/// built at the same time were seen to crash it.
const SETTLE: Duration = Duration::from_millis(200);
/// How long the overview is watched for after the start of an app, because gnome-shell 48 was seen to open it 1 s after
/// its first monitor came.
const OVERVIEW_LIMIT: Duration = Duration::from_secs(5);
/// How long it is left open. A gnome-shell (48) whose start-up animation loses its overview before that was laid out never
/// ends its start-up, and draws windows only where its first monitor was. It is laid out with the next picture.
const OVERVIEW_OPEN: Duration = Duration::from_millis(600);
/// Between two looks at it.
const OVERVIEW_LOOK: Duration = Duration::from_millis(150);
/// Pause before a new look at a session bus that is not there.
const RETRY: Duration = Duration::from_secs(1);

/// What there is of GNOME.
#[derive(Debug)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// It runs and its screen is locked.
    Locked,
    /// It runs.
    Usable(Desk),
}

/// A GNOME that answers.
#[derive(Debug)]
pub struct Desk {
    bus: Connection,
    /// Process id of its compositor.
    pub pid: i32,
}

/// Held while an Output is in GNOME. The session manager forgets the wish with the connection that uttered it.
#[derive(Debug)]
pub struct Awake {
    _bus: Connection,
}

/// Looks for GNOME on the session bus at `bus`.
pub async fn look(bus: &Path) -> Presence {
    let Ok(connection) = connect(bus).await else { return Presence::Absent };
    let Some(pid) = owner(&connection).await else { return Presence::Absent };
    let desk = Desk { bus: connection, pid };
    if desk.is_locked().await { Presence::Locked } else { Presence::Usable(desk) }
}

async fn connect(bus: &Path) -> Result<Connection, zbus::Error> {
    let address = format!("unix:path={}", bus.display());
    Builder::address(address.as_str()).method_timeout(ANSWER_LIMIT).build().await
}

/// Process that owns Mutter's name; asking does not start one.
async fn owner(bus: &Connection) -> Option<i32> {
    let dbus = DBusProxy::new(bus).await.ok()?;
    let pid = dbus.get_connection_unix_process_id(SCREEN_CAST.try_into().ok()?).await.ok()?;
    Some(pid.cast_signed())
}

impl Desk {
    async fn call<R, B>(
        &self,
        to: &str,
        path: &str,
        interface: &str,
        method: &str,
        body: &B,
    ) -> Result<R, zbus::Error>
    where
        R: DeserializeOwned + Type,
        B: Serialize + DynamicType,
    {
        self.bus.call_method(Some(to), path, Some(interface), method, body).await?.body().deserialize()
    }

    /// Whether its own lock screen is up or logind says that its session is locked; false where neither says.
    async fn is_locked(&self) -> bool {
        let active = self.call(SCREEN_SHIELD, SCREEN_SAVER_PATH, SCREEN_SAVER, "GetActive", &()).await;
        active.unwrap_or(false) || logind::is_locked(self.pid).await
    }

    /// How its monitors lie.
    pub async fn layout(&self) -> Result<Layout, zbus::Error> {
        let state: WireState =
            self.call(DISPLAY_CONFIG, DISPLAY_CONFIG_PATH, DISPLAY_CONFIG, "GetCurrentState", &()).await?;
        Ok(Layout::read(&state))
    }

    /// Leaves the overview, which gnome-shell shows after its start until somebody chooses something, and which covers
    /// every window. A shell whose first monitor has just come opens it a moment later, so it is watched for a while.
    pub async fn leave_overview(&self) -> Result<(), zbus::Error> {
        let deadline = Instant::now() + OVERVIEW_LIMIT;
        while !self.overview().await? {
            if Instant::now() >= deadline {
                return Ok(());
            }
            sleep(OVERVIEW_LOOK).await;
        }
        sleep(OVERVIEW_OPEN).await;
        let body = (SHELL, "OverviewActive", zbus::Variant::from(false));
        self.call(SHELL, SHELL_PATH, PROPERTIES, "Set", &body).await
    }

    /// Whether the overview is open.
    async fn overview(&self) -> Result<bool, zbus::Error> {
        let active: OwnedVariant =
            self.call(SHELL, SHELL_PATH, PROPERTIES, "Get", &(SHELL, "OverviewActive")).await?;
        bool::try_from(active)
    }

    /// Asks GNOME's session manager not to call the user idle, so that nothing blanks or locks; lasts as long as what
    /// is returned.
    pub async fn stay_awake(&self) -> Result<Awake, zbus::Error> {
        const IDLE: u32 = 8;
        let body = ("lumen", 0u32, "a client is connected", IDLE);
        let _cookie: u32 = self.call(SESSION, SESSION_PATH, SESSION, "Inhibit", &body).await?;
        Ok(Awake { _bus: self.bus.clone() })
    }

    /// Changes `layout`, which it has now, to `places` until monitors come or go: nothing is written to its settings.
    pub async fn apply(&self, layout: &Layout, places: &[Place]) -> Result<(), zbus::Error> {
        const TEMPORARY: u32 = 1;
        let options = std::collections::HashMap::<String, OwnedVariant>::new();
        let body = (layout.serial, TEMPORARY, to_wire(places), options);
        self.call(DISPLAY_CONFIG, DISPLAY_CONFIG_PATH, DISPLAY_CONFIG, "ApplyMonitorsConfig", &body).await
    }
}

/// Tells `orders` each time when monitors came, went or changed, the lock screen came or went, or GNOME itself did.
/// Ends when nobody listens.
pub async fn watch(bus: std::path::PathBuf, orders: mpsc::Sender<Order>) {
    while !orders.is_closed() {
        // An error means that the bus is not there.
        let _ = follow(&bus, &orders).await;
        sleep(RETRY).await;
    }
}

async fn follow(bus: &Path, orders: &mpsc::Sender<Order>) -> Result<(), zbus::Error> {
    let connection = connect(bus).await?;
    let dbus = DBusProxy::new(&connection).await?;
    let signal = || MatchRule::builder().msg_type(message::Type::Signal);
    let rules = [
        signal().interface(DISPLAY_CONFIG).member("MonitorsChanged").build()?,
        signal().interface(SCREEN_SAVER).member("ActiveChanged").build()?,
        signal().interface("org.freedesktop.DBus").member("NameOwnerChanged").arg(0, SCREEN_CAST).build()?,
    ];
    let mut changes = MessageStream::from(&connection);
    for rule in rules {
        dbus.add_match_rule(rule).await?;
    }
    loop {
        // Told once at first: something may have changed before we listened.
        if orders.send(Order::Desk).await.is_err() {
            return Ok(());
        }
        next_change(&mut changes).await?;
        sleep(SETTLE).await;
        forget_waiting(&mut changes).await;
    }
}

/// Waits for a signal of ours; an error when the connection is gone.
async fn next_change(changes: &mut MessageStream) -> Result<(), zbus::Error> {
    loop {
        match poll_fn(|context| Pin::new(&mut *changes).poll_next(context)).await {
            Some(message) if is_change(message.as_ref().map_err(Clone::clone)?) => return Ok(()),
            Some(_) => {}
            None => return Err(zbus::Error::InvalidReply),
        }
    }
}

fn is_change(message: &message::Message) -> bool {
    let header = message.header();
    let member = header.member().map(|member| member.as_str()).unwrap_or_default();
    ["MonitorsChanged", "ActiveChanged", "NameOwnerChanged"].contains(&member)
}

/// Takes what has come already: one look answers all of it.
async fn forget_waiting(changes: &mut MessageStream) {
    let take = |context: &mut Context<'_>| {
        Poll::Ready(matches!(Pin::new(&mut *changes).poll_next(context), Poll::Ready(Some(Ok(_)))))
    };
    let mut take = take;
    while poll_fn(&mut take).await {}
}
