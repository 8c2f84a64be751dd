//! Who captured is, as lumen's bus sees it: a stream of [`Order::Captured`].

use std::time::Duration;

use lumen_ipc::Stage;
use lumen_stage::Bus;
use tokio::sync::mpsc;
use zbus::{Connection, MatchRule, Message, MessageStream, fdo::DBusProxy, message::Type};

use crate::display::Order;

/// Pause before a new look at a bus that died.
const RETRY: Duration = Duration::from_millis(50);

/// Tells `orders` at first and after each change which process owns captured's name. Ends when nobody listens.
pub async fn captured(bus: Bus, orders: mpsc::Sender<Order>) {
    while !orders.is_closed() {
        // An error means that the bus is gone; the stage's connection is then made anew.
        let _ = follow(&bus.connection(), &orders).await;
        tokio::time::sleep(RETRY).await;
    }
}

async fn follow(bus: &Connection, orders: &mpsc::Sender<Order>) -> Result<(), zbus::Error> {
    let name = Stage::Captured.bus_name();
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .arg(0, name)
        .build()?;
    let mut changes = MessageStream::for_match_rule(rule, bus, None).await?;
    loop {
        let pid = owner(bus, name).await;
        if orders.send(Order::Captured(pid)).await.is_err() {
            return Ok(());
        }
        next(&mut changes).await?;
    }
}

/// The next message, waited for; an error when the connection is gone.
pub async fn next(changes: &mut MessageStream) -> Result<Message, zbus::Error> {
    use std::{future::poll_fn, pin::Pin};
    use zbus::export::futures_core::Stream;
    match poll_fn(|context| Pin::new(&mut *changes).poll_next(context)).await {
        Some(message) => message,
        None => Err(zbus::Error::InvalidReply),
    }
}

/// Process that owns `name`.
async fn owner(bus: &Connection, name: &'static str) -> Option<u32> {
    let dbus = DBusProxy::new(bus).await.ok()?;
    dbus.get_connection_unix_process_id(name.try_into().ok()?).await.ok()
}
