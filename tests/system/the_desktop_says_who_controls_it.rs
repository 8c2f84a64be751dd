//! A notification on the user's session bus says who controls the desktop, is the same one after vdisplayd was killed, ends
//! the session by its button, and goes with it. Without a notification daemon there is a line in the log, and the session goes on.
//!
//! Sabotage: listen to everybody's `ActionInvoked`, forget the number of the one that is shown, leave it when the session ends, or
//! let transportd take `End` from tools alone.

use std::{
    fs,
    future::pending,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Probe,
    constellation::{Setup, run, text, wait},
    overview::Overview,
};
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use zbus::{Connection, OwnedVariant, connection::Builder, interface};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
const SOON: Duration = Duration::from_secs(20);
/// The number of whatever is shown.
const NUMBER: u32 = 7;

/// What a daemon was asked.
#[derive(Debug, Clone, PartialEq)]
enum Asked {
    Show { in_place_of: u32, title: String, actions: Vec<String> },
    Close(u32),
}

/// A notification daemon that shows nothing.
#[derive(Clone, Default)]
struct Daemon(Arc<Mutex<Vec<Asked>>>);

#[interface(name = "org.freedesktop.Notifications")]
impl Daemon {
    #[allow(clippy::too_many_arguments, reason = "the desktop's specification has it so")]
    fn notify(
        &self,
        _app: &str,
        in_place_of: u32,
        _icon: &str,
        title: &str,
        _text: &str,
        actions: Vec<String>,
        _hints: std::collections::HashMap<String, OwnedVariant>,
        _timeout_ms: i32,
    ) -> u32 {
        self.add(Asked::Show { in_place_of, title: title.to_owned(), actions });
        NUMBER
    }

    fn close_notification(&self, number: u32) {
        self.add(Asked::Close(number));
    }
}

impl Daemon {
    /// Answers on the bus from now on, on a thread of its own.
    fn serve(&self, address: &str) -> Result<Connection> {
        let (daemon, address) = (self.clone(), address.to_owned());
        let (done, connection) = mpsc::channel();
        thread::spawn(move || -> Result<()> {
            runtime()?.block_on(async {
                let served = Builder::address(address.as_str()).name(NAME).serve_at(PATH, daemon);
                // Whoever waits for it is gone only when the test is.
                let _ = done.send(served.build().await);
                pending::<()>().await;
            });
            Ok(())
        });
        Ok(connection.recv()??)
    }

    fn add(&self, asked: Asked) {
        self.0.lock().unwrap().push(asked);
    }

    fn asked(&self) -> Vec<Asked> {
        self.0.lock().unwrap().clone()
    }

    fn wait(&self, what: &str, wished: impl Fn(&Asked) -> bool) -> Result<()> {
        wait(what, SOON, || self.asked().iter().any(&wished)).with_context(|| format!("{:?}", self.asked()))
    }
}

fn runtime() -> Result<Runtime> {
    Ok(RuntimeBuilder::new_current_thread().enable_all().build()?)
}

/// What lets the test, which is root, onto the bus of an ordinary user.
const POLICY: &str = "<busconfig><type>session</type><listen>unix:path=ADDRESS</listen><auth>EXTERNAL</auth>\
    <policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/><allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>";

/// A session bus of the user's, of which vdisplayd is told.
struct SessionBus {
    address: String,
    pid: String,
}

impl SessionBus {
    fn start(host: &Constellation) -> Result<Self> {
        let [path, policy] = ["test-bus", "test-bus.conf"].map(|name| host.runtime_dir().join(name));
        fs::write(&policy, POLICY.replace("ADDRESS", &path.to_string_lossy()))?;
        run("chmod", &["a+r", &policy.to_string_lossy()])?;
        let config = format!("--config-file={}", policy.display());
        let started = host.as_user(&["dbus-daemon", &config, "--fork", "--print-pid"])?;
        ensure!(started.status.success(), "{}", text(&started));
        let bus =
            Self { address: format!("unix:path={}", path.display()), pid: text(&started).trim().to_owned() };
        host.drop_in("vdisplayd", &format!("Environment=DBUS_SESSION_BUS_ADDRESS={}", bus.address))?;
        host.unit("restart", "vdisplayd")?;
        Ok(bus)
    }
}

impl Drop for SessionBus {
    fn drop(&mut self) {
        // It fails only where it has ended already.
        let _ = run("kill", &[&self.pid]);
    }
}

#[test]
fn the_desktop_says_who_controls_it() -> Result<()> {
    let host = Setup::stamp(&[]).start()?;
    let bus = SessionBus::start(&host)?;
    let probe = Probe::allowed(&host)?;
    let running = probe.start(&["--seconds", "60"])?;
    let said = || host.logs().contains("the desktop does not say who controls it");
    wait("a line that nobody is told", SOON, said)?;
    let is_there = || Overview::of(&host).is_ok_and(|overview| !overview.sessions().is_empty());
    ensure!(is_there(), "the session is gone: {}", host.status());
    run("kill", &["-INT", &running.pid().to_string()])?;
    running.finish()?;
    wait("the session to end", SOON, || !is_there())?;

    let (runtime, daemon) = (runtime()?, Daemon::default());
    let connection = daemon.serve(&bus.address)?;
    let running = probe.start(&["--seconds", "60"])?;
    daemon.wait("the notification", |asked| match asked {
        Asked::Show { in_place_of: 0, title, actions } => {
            title.starts_with("Controlled by ") && actions.first().is_some_and(|key| key == "end")
        }
        _ => false,
    })?;
    run("kill", &["-KILL", &host.pid("vdisplayd")?.to_string()])?;
    daemon.wait("the same one after a kill", |asked| {
        matches!(asked, Asked::Show { in_place_of: NUMBER, .. })
    })?;
    ensure!(is_there(), "the session is gone: {}", host.status());
    let press = |sender: &Connection, number: u32| {
        let said = (number, "end");
        runtime.block_on(sender.emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &said))
    };
    let stranger = runtime.block_on(Builder::address(bus.address.as_str()).build())?;
    press(&stranger, NUMBER)?;
    press(&connection, NUMBER + 1)?;
    thread::sleep(Duration::from_millis(500));
    ensure!(is_there(), "a stranger's word, or another button, ended the session");
    press(&connection, NUMBER)?;
    wait("the session to end by the button", SOON, || !is_there()).with_context(|| host.status())?;
    daemon.wait("the notification to be taken back", |asked| *asked == Asked::Close(NUMBER))?;
    let said = text(&running.finish()?.output);
    ensure!(said.contains("Whoever is at the desktop ended the session"), "the client was told: {said}");
    ensure!(host.failed_units()?.is_empty(), "{}", host.failed_units()?);
    Ok(())
}
