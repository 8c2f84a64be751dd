//! When the machine goes to sleep and when it wakes, as logind says: orders to the loop, while there is an Output.
//!
//! ```text
//!  lock held ── PrepareForSleep(true) ──► clients are told ── a moment later ──► lock let go, the machine sleeps
//!      ▲                                                                                     │
//!      └──────────────── lock taken anew, clients are told ◄── PrepareForSleep(false) ───────┘
//! ```
//! The lock only delays, which logind allows everybody; [`crate::logind::Inhibitor`] is the one that asks it not to sleep
//! at all, and that a lid or a person in a hurry overrides.

use std::time::Duration;

use tokio::{sync::mpsc, task::AbortHandle, time::sleep};
use zbus::{Connection, MatchRule, MessageStream, OwnedFd, message::Type};

use crate::{display::Order, logind, watch::next};

/// From the word to the loop until the machine may sleep. Because the word goes through two stages and a network, and
/// logind waits no longer than 5 s.
const FAREWELL: Duration = Duration::from_millis(300);

/// Pause before a new look at a logind that is not there.
const RETRY: Duration = Duration::from_secs(5);

/// A watch over the machine's sleep; dropping it ends the watch.
#[derive(Debug)]
pub struct SleepWatch(AbortHandle);

impl SleepWatch {
    /// Tells `orders` from now on.
    pub fn start(orders: mpsc::Sender<Order>) -> Self {
        let watch = async move {
            while !orders.is_closed() {
                // Without logind, or when its bus dies: the machine may still sleep, and nobody can tell.
                let _ = follow(&orders).await;
                sleep(RETRY).await;
            }
        };
        Self(tokio::spawn(watch).abort_handle())
    }
}

impl Drop for SleepWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn follow(orders: &mpsc::Sender<Order>) -> Result<(), zbus::Error> {
    let bus = logind::connect().await?;
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(logind::NAME)
        .interface(logind::MANAGER)
        .member("PrepareForSleep")
        .build()?;
    let mut signals = MessageStream::for_match_rule(rule, &bus, None).await?;
    let mut lock = None;
    // It may have woken before we listened.
    let mut sleeps = false;
    loop {
        if orders.send(Order::Sleeps(sleeps)).await.is_err() {
            return Ok(());
        }
        if sleeps {
            sleep(FAREWELL).await;
        }
        // Let go before the machine sleeps, and held again for the next time.
        drop(lock);
        lock = if sleeps { None } else { self::lock(&bus).await };
        sleeps = next(&mut signals).await?.body().deserialize()?;
        tracing::info!("the machine {}", if sleeps { "goes to sleep" } else { "woke" });
    }
}

/// Has logind wait until it is dropped; `None` if it does not, and the word may then come too late.
async fn lock(bus: &Connection) -> Option<OwnedFd> {
    logind::inhibit(bus, "sleep", "clients are told", "delay").await.ok()
}
