//! The backend *sway* against real sways and a real user manager.
//!
//! Ignored by default because they need both: run as an ordinary user with a `systemd --user` and sway, with
//! `cargo test -p lumen-vdisplayd --test live_sway -- --ignored --test-threads=1`. The user may have no sway running.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    os::fd::{AsFd, OwnedFd},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use lumen_ipc::{FailureClass, Mode, SessionId};
use lumen_vdisplayd::{
    app::Apps,
    backends::{
        Backend, Made, Pictures,
        sway::{Sway, ipc::Ipc},
    },
    library::App,
    places::Places,
    systemd::{UnitState, UserManager},
    units,
};
use swayipc_types::Output;

const HD: Mode = Mode { width: 1280, height: 720, refresh_mhz: 60_000 };
const NTSC: Mode = Mode { width: 1920, height: 1080, refresh_mhz: 59_940 };

fn places() -> Places {
    let program = env::var_os("LUMEN_VDISPLAYD").map(PathBuf::from);
    let mut places = Places::find().unwrap();
    places.program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_lumen-vdisplayd").into());
    places
}

fn manager() -> Arc<UserManager> {
    Arc::new(UserManager::new(places().runtime))
}

fn sway() -> Sway {
    Sway::new(places(), manager(), true)
}

/// A sway as a user would have it running, outside of the service manager; killed when dropped.
struct UsersSway {
    process: Child,
    socket: PathBuf,
    folder: tempfile::TempDir,
}

impl UsersSway {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("conf");
        fs::write(&conf, "output HEADLESS-1 mode --custom 1600x900@60Hz\n").unwrap();
        let process = Command::new("sway")
            .arg("--config")
            .arg(&conf)
            .env("WLR_BACKENDS", "headless")
            .env("WLR_RENDERER", "pixman")
            .env("WLR_LIBINPUT_NO_DEVICES", "1")
            .env_remove("SWAYSOCK")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let name = format!("sway-ipc.{}.{}.sock", places().uid, process.id());
        let this = Self { process, socket: places().runtime.join(name), folder };
        for _ in 0..500 {
            if this.outputs().await.is_some_and(|outputs| !outputs.is_empty()) {
                return this;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("sway did not start");
    }

    async fn outputs(&self) -> Option<Vec<Output>> {
        Ipc::connect(&self.socket).await.ok()?.outputs().await.ok()
    }

    /// Name, mode and place of each output.
    async fn screen(&self) -> BTreeSet<String> {
        let outputs = self.outputs().await.unwrap();
        outputs.iter().map(|o| format!("{} {:?} {:?}", o.name, o.current_mode, o.rect)).collect()
    }

    /// Whether this is sway 1.7, in which nothing may be made because it could not be taken away again.
    async fn is_old(&self) -> bool {
        let version = Ipc::connect(&self.socket).await.unwrap().version().await.unwrap();
        (version.major, version.minor) < (1, 8)
    }
}

impl Drop for UsersSway {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
        let _ = self.folder.path();
    }
}

fn session(n: u8) -> SessionId {
    SessionId([n; 16])
}

async fn acquire(sway: &mut Sway, session: SessionId, mode: Mode) -> (Made, OwnedFd) {
    let acquired = sway.acquire(session, mode).await.unwrap();
    (acquired.made, wayland(acquired.pictures))
}

fn wayland(pictures: Pictures) -> OwnedFd {
    match pictures {
        Pictures::Wayland(fd) => fd,
        other => panic!("sway has a Wayland socket, not {other:?}"),
    }
}

/// Asks the compositor at the other end of `fd` for its globals: the answer names wl_output once per output.
fn wl_outputs(fd: &impl AsFd) -> usize {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::from(fd.as_fd().try_clone_to_owned().unwrap());
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // wl_display.get_registry(new id 2); wl_display.sync(new id 3)
    let requests: [u32; 6] = [1, 12 << 16 | 1, 2, 1, 12 << 16, 3];
    stream.write_all(&requests.map(u32::to_ne_bytes).concat()).unwrap();
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while !answer.windows(4).any(|word| word == 3u32.to_ne_bytes()) || answer.len() < 100 {
        match stream.read(&mut chunk).unwrap() {
            0 => break,
            n => answer.extend_from_slice(&chunk[..n]),
        }
    }
    answer.windows(10).filter(|bytes| *bytes == b"wl_output\0").count()
}

/// Sabotage: in `UserManager::gone_within` return true at once, or leave `PartOf` away and stop the target instead.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn headless_sway_lives_exactly_as_long_as_its_session() {
    let (mut sway, manager) = (sway(), manager());
    let (made, fd) = acquire(&mut sway, session(1), NTSC).await;
    assert_eq!((made.backend, made.mode), ("sway-headless", NTSC));
    assert_eq!(made.output.as_deref(), Some("HEADLESS-1"));
    assert_eq!(wl_outputs(&fd), 1);
    let unit = units::output(session(1));
    assert!(matches!(manager.state(&unit).await.unwrap(), UnitState::Running { pid } if pid > 0));
    let (again, _fd) = acquire(&mut sway, session(1), NTSC).await;
    assert_eq!(again, made, "the same Output");
    let (smaller, _fd) = acquire(&mut sway, session(1), HD).await;
    assert_eq!((smaller.output, smaller.mode), (made.output, HD));
    sway.release(session(1)).await.unwrap();
    assert_eq!(manager.state(&unit).await.unwrap(), UnitState::Absent);
    assert!(!places().runtime.join("lumen-outputs").exists());
    let pattern = format!("lumen-*-{}.service", session(1));
    assert_eq!(manager.list(&pattern).await.unwrap(), Vec::<String>::new());
}

/// Sabotage: do not call `output::remove` in `Sweep::take_away`.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn users_own_sway_is_used_and_left_as_it_was() {
    let desktop = UsersSway::start().await;
    let before = desktop.screen().await;
    let mut sway = sway();
    let (made, fd) = acquire(&mut sway, session(2), NTSC).await;
    if desktop.is_old().await {
        assert_eq!(made.backend, "sway-headless");
        assert!(made.why.contains("sway 1.8"), "{}", made.why);
        assert_eq!(desktop.screen().await, before);
        return sway.release(session(2)).await.unwrap();
    }
    assert_eq!((made.backend, made.mode), ("sway", NTSC));
    assert_eq!(wl_outputs(&fd), 2);
    assert_eq!(desktop.screen().await.len(), before.len() + 1);
    assert!(desktop.screen().await.is_superset(&before), "the user's own outputs did not change");
    let (second, _fd) = acquire(&mut sway, session(3), HD).await;
    assert_ne!(second.output, made.output);
    let (smaller, _fd) = acquire(&mut sway, session(2), HD).await;
    assert_eq!((smaller.output, smaller.mode), (made.output, HD));
    for n in [2, 3] {
        sway.release(session(n)).await.unwrap();
    }
    assert_eq!(desktop.screen().await, before);
    assert!(!places().runtime.join("lumen-outputs").exists());
}

/// Sabotage: leave `SuccessExitStatus` out of `TransientUnit::properties`, or `find_program` out of `Apps::find`.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn app_that_ends_at_once_leaves_the_desktop_and_says_how_it_ended() {
    let (mut sway, apps) = (sway(), Apps::new(manager()));
    let (made, fd) = acquire(&mut sway, session(12), HD).await;
    let gone = App::new("gone", ["lumen-no-such-program"], "apps.toml");
    let failure = apps.find(&gone).await.unwrap_err();
    assert!(
        failure.text.contains("lumen-no-such-program") && failure.advice.contains("install"),
        "{failure}"
    );
    let quick = App::new("quick", ["sh", "-c", "exit 3"], "apps.toml");
    let quick = apps.find(&quick).await.unwrap();
    assert!(apps.ensure(session(12), &quick, &made, true).await.unwrap());
    apps.wait_for_end(session(12)).await;
    let doing = apps.describe(session(12)).await.unwrap();
    assert!(doing.text.contains("ended with exit status 3"), "{doing:?}");
    assert_eq!(wl_outputs(&fd), 1, "the desktop is still there");
    let failed =
        Command::new("systemctl").args(["--user", "--failed", "--no-legend", "--plain"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&failed.stdout).contains("lumen-app"), "{failed:?}");
    apps.stop(session(12)).await.unwrap();
    assert_eq!(apps.describe(session(12)).await, None);
    sway.release(session(12)).await.unwrap();
}

/// Sabotage: let `locker_inside` look for no `swaylock`.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn locked_desktop_is_left_alone() {
    let desktop = UsersSway::start().await;
    let before = desktop.screen().await;
    let swaylock = desktop.folder.path().join("swaylock");
    fs::copy("/bin/sleep", &swaylock).unwrap();
    let mut locker = Command::new(&swaylock).arg("60").env("SWAYSOCK", &desktop.socket).spawn().unwrap();
    let mut sway = sway();
    let (made, _fd) = acquire(&mut sway, session(11), HD).await;
    locker.kill().unwrap();
    locker.wait().unwrap();
    assert_eq!(made.backend, "sway-headless");
    assert!(made.why.contains("is locked: swaylock"), "{}", made.why);
    assert_eq!(desktop.screen().await, before);
    sway.release(session(11)).await.unwrap();
}

/// Sabotage: start no `WindowMover`.
#[tokio::test]
#[ignore = "needs a user manager, sway 1.8 and foot"]
async fn window_of_the_app_opens_on_the_output() {
    let desktop = UsersSway::start().await;
    if desktop.is_old().await {
        return;
    }
    let mut sway = sway();
    let (made, _fd) = acquire(&mut sway, session(9), NTSC).await;
    let apps = Apps::new(manager());
    let app = App::new("terminal", ["foot", "sleep", "60"], "apps.toml");
    let app = apps.find(&app).await.unwrap();
    assert!(apps.ensure(session(9), &app, &made, true).await.unwrap());
    assert!(!apps.ensure(session(9), &app, &made, false).await.unwrap(), "it runs already");
    let workspace_of = |output: &str| {
        let outputs =
            Command::new("swaymsg").arg("-s").arg(&desktop.socket).args(["-rt", "get_tree"]).output();
        let tree: serde_json::Value = serde_json::from_slice(&outputs.unwrap().stdout).unwrap();
        let nodes = tree["nodes"].as_array().unwrap();
        nodes.iter().find(|node| node["name"] == output).map(ToString::to_string).unwrap_or_default()
    };
    let output = made.output.unwrap();
    for _ in 0..300 {
        if workspace_of(&output).contains("\"app_id\":\"foot\"") {
            apps.stop(session(9)).await.unwrap();
            return sway.release(session(9)).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no window on {output}: {:?}", apps.describe(session(9)).await);
}

/// Sabotage: drop the `IdleInhibitor` at once.
#[tokio::test]
#[ignore = "needs a user manager, sway 1.8 and swayidle"]
async fn users_desktop_is_not_idle_while_a_session_lives() {
    let desktop = UsersSway::start().await;
    if desktop.is_old().await {
        return;
    }
    let mut sway = sway();
    let (made, _fd) = acquire(&mut sway, session(10), HD).await;
    let mark = desktop.folder.path().join("idle");
    let mut swayidle = Command::new("swayidle")
        .args(["-w", "timeout", "1", &format!("touch {}", mark.display())])
        .env("WAYLAND_DISPLAY", made.wayland.unwrap())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(!mark.exists(), "idle during a session");
    sway.release(session(10)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let idle = mark.exists();
    swayidle.kill().unwrap();
    swayidle.wait().unwrap();
    assert!(idle, "idle again after it");
}

/// Sabotage: let `adopt` return an empty map.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn outputs_are_found_again_after_a_restart() {
    let (first, fd) = acquire(&mut sway(), session(4), NTSC).await;
    let mut restarted = sway();
    let adopted = restarted.adopt().await.unwrap();
    assert_eq!(adopted[&session(4)].output, first.output);
    assert_eq!(adopted[&session(4)].mode, NTSC);
    let (again, _fd) = acquire(&mut restarted, session(4), NTSC).await;
    assert_eq!((again.output, again.wayland), (first.output, first.wayland));
    assert_eq!(wl_outputs(&fd), 1, "the first connection lives on");
    restarted.release(session(4)).await.unwrap();

    let desktop = UsersSway::start().await;
    if desktop.is_old().await {
        return;
    }
    let before = desktop.screen().await;
    let (first, _fd) = acquire(&mut sway(), session(5), NTSC).await;
    let mut restarted = sway();
    let adopted = restarted.adopt().await.unwrap();
    assert_eq!((&adopted[&session(5)].output, adopted[&session(5)].backend), (&first.output, "sway"));
    restarted.release(session(5)).await.unwrap();
    assert_eq!(desktop.screen().await, before);
}

/// Sabotage: start the keeper after the output was made.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn output_is_swept_although_vdisplayd_died_before_noting_it() {
    let desktop = UsersSway::start().await;
    if desktop.is_old().await {
        return;
    }
    let before = desktop.screen().await;
    let (_, _fd) = acquire(&mut sway(), session(6), NTSC).await;
    fs::remove_file(places().file(session(6), "name")).unwrap();
    manager().stop(&units::output(session(6))).await.unwrap();
    assert!(manager().gone_within(&units::output(session(6)), Duration::from_secs(3)).await.unwrap());
    assert_eq!(desktop.screen().await, before);
}

/// Sabotage: let `again` trust its table instead of asking sway.
#[tokio::test]
#[ignore = "needs a user manager and sway"]
async fn headless_sway_that_was_killed_is_replaced() {
    let (mut sway, manager) = (sway(), manager());
    acquire(&mut sway, session(7), HD).await;
    let UnitState::Running { pid } = manager.state(&units::output(session(7))).await.unwrap() else {
        panic!("sway does not run");
    };
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(
        manager.state(&units::output(session(7))).await.unwrap(),
        UnitState::Ended { how: "by signal 9".into() }
    );
    let (made, fd) = acquire(&mut sway, session(7), HD).await;
    assert_eq!((made.backend, wl_outputs(&fd)), ("sway-headless", 1));
    sway.release(session(7)).await.unwrap();
}

/// Sabotage: skip `find_program`.
#[tokio::test]
#[ignore = "needs a user manager; hides sway by a PATH without it"]
async fn machine_without_sway_says_what_to_install() {
    let manager = manager();
    let path = manager.environment().await.unwrap()["PATH"].clone();
    let set = |value: &str| {
        let line = format!("PATH={value}");
        assert!(
            Command::new("systemctl").args(["--user", "set-environment", &line]).status().unwrap().success()
        );
    };
    set("/nonexistent");
    let failure = sway().acquire(session(8), HD).await.unwrap_err();
    set(&path);
    assert_eq!(failure.class, FailureClass::Environment);
    assert!(
        failure.text.contains("sway") && failure.advice.contains("install the package sway"),
        "{failure}"
    );
}
