//! Apps of apps.toml and of the user's launchers: listed to a Moonlight client, started in their session's desktop, and
//! what was done for them is undone. An app that ends at once, forks, or whose preparation fails is told as that.
//!
//! Sabotage: leave out `undo`, let the unit end with the first process, list a launcher's games without the launcher, or wait in
//! vdisplayd's loop for what is done before an app.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation, Moonlight, Probe,
    constellation::{STAGES, Setup, USER, run, text, wait},
};

/// Time for what a session leaves behind to be done.
const SOON: Duration = Duration::from_secs(5);

/// A file in the home of the user under test.
fn home(path: &str) -> PathBuf {
    PathBuf::from(format!("/home/{USER}")).join(path)
}

/// What apps and preparations wrote, one line each.
fn diary() -> Vec<String> {
    let text = fs::read_to_string(home("diary")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Writes as the user's own programs would: Steam, Lutris and Heroic as they lay their lists out in 2025, and programs of these
/// names in the PATH that write down what they are asked for.
fn launchers() -> Result<()> {
    let write = |path: &str, text: &str| -> Result<()> {
        let path = home(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text).map_err(Into::into)
    };
    write(
        ".local/share/Steam/steamapps/appmanifest_620.acf",
        "\"AppState\"\n{\n\t\"appid\"\t\t\"620\"\n\t\"name\"\t\t\"Portal 2\"\n\t\"StateFlags\"\t\t\"4\"\n}\n",
    )?;
    write(
        ".config/heroic/legendaryConfig/legendary/installed.json",
        r#"{"Quail": {"app_name": "Quail", "title": "Quail Hunt", "is_dlc": false}}"#,
    )?;
    write(
        ".local/share/applications/chess.desktop",
        "[Desktop Entry]\nType=Application\nName=Chess\nExec=chess --board %f\nCategories=Game;\n",
    )?;
    let database = home(".local/share/lutris/pga.db");
    fs::create_dir_all(database.parent().context("a folder")?)?;
    let rows = "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); \
                database.execute('CREATE TABLE IF NOT EXISTS games (id INTEGER PRIMARY KEY, name TEXT, slug TEXT, runner TEXT, installed INTEGER)'); \
                database.execute(\"INSERT OR REPLACE INTO games VALUES (7, 'Quake', 'quake', 'linux', 1)\"); database.commit()";
    let made = run("python3", &["-c", rows, &database.to_string_lossy()])?;
    ensure!(made.status.success(), "no database: {}", text(&made));
    for program in ["steam", "lutris", "heroic", "chess"] {
        script(program, &format!("echo \"{program} $*\" >> ~/diary; exec sleep 100"))?;
    }
    let owned = run("chown", &["-R", &format!("{USER}:"), &home("").to_string_lossy()])?;
    ensure!(owned.status.success(), "{}", text(&owned));
    Ok(())
}

/// A program of the user's, in `~/bin`.
fn script(name: &str, lines: &str) -> Result<()> {
    let path = home("bin").join(name);
    fs::create_dir_all(home("bin"))?;
    fs::write(&path, format!("#!/bin/sh\n{lines}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(Into::into)
}

const APPS: &str = r#"
[apps.forks]
command = ["forks"]
[apps.short]
command = ["short"]
at_end = "end-session"
prep = [{ do = ["note", "on"], undo = ["note", "off"] }, { undo = ["note", "second off"] }]
[apps.unprepared]
command = ["short"]
prep = [{ do = ["note", "tried"], undo = ["note", "untried"] }, { do = ["false"] }]
[apps.slow]
command = ["short"]
prep = [{ do = ["lull"] }]
[apps.stays]
command = ["stays"]
directory = "~/bin"
environment = { COLOUR = "dark red" }
prep = [{ do = ["note", "loud"], undo = ["note", "quiet"] }]
image = "~/stays.png"
"#;

fn host() -> Result<Constellation> {
    lumen_tests::constellation::user()?;
    for old in ["diary", ".local/share/Steam", ".local/share/lutris", ".config/heroic"] {
        let _ = run("rm", &["-rf", &home(old).to_string_lossy()])?;
    }
    for (name, lines) in [
        ("note", "echo \"$1\" >> ~/diary"),
        ("lull", "sleep 6; echo lulled >> ~/diary"),
        ("short", "echo short >> ~/diary; exit 3"),
        ("forks", "echo forks >> ~/diary; (sleep 2; echo child >> ~/diary) & exit 0"),
        ("stays", "echo \"stays $PWD $COLOUR\" >> ~/diary; exec sleep 100"),
    ] {
        script(name, lines)?;
    }
    launchers()?;
    fs::write(home("stays.png"), b"\x89PNG\r\n\x1a\npicture")?;
    let host = Setup::default().config("apps", APPS).start()?;
    let path = format!("PATH={}:/usr/local/bin:/usr/bin:/bin", home("bin").display());
    host.systemctl(&["set-environment", &path])?;
    // Its own PATH says which launchers are there.
    host.unit("restart", "vdisplayd")?;
    Ok(host)
}

#[test]
fn apps_start_as_configured() -> Result<()> {
    let host = host()?;
    let client = Moonlight::paired(&host)?;
    let listed = client.ask("apps")?;
    let ids = |name: &str| listed["apps"].as_array()?.iter().find(|app| app["name"] == name)?["id"].as_i64();
    for name in ["Portal 2", "Quail Hunt", "Quake", "Chess", "forks", "stays"] {
        ensure!(ids(name).is_some(), "{name} is not listed: {listed:#}\n{}", host.status());
    }
    let art = client.art(ids("stays").context("stays")?)?;
    ensure!(art["png"].as_str().is_some_and(|png| png.ends_with("picture")), "not its own picture: {art:#}");
    for (name, asked) in [
        ("Portal 2", "steam steam://rungameid/620"),
        ("Quail Hunt", "heroic --no-gui heroic://launch/legendary/Quail"),
        ("Quake", "lutris lutris:rungameid/7"),
        ("Chess", "chess --board"),
    ] {
        let report = Probe::allowed(&host)?.stream(&["--seconds", "1", "--app", name])?;
        ensure!(report.output.status.success(), "{name}: {}\n{}", text(&report.output), host.logs());
        ensure!(diary().last().map(String::as_str) == Some(asked), "{name}: {:?}", diary());
    }
    what_is_done_is_undone(&host)?;
    ends_are_told(&host)?;
    nobody_waits_for_anothers_preparation(&host)
}

fn nobody_waits_for_anothers_preparation(host: &Constellation) -> Result<()> {
    fs::remove_file(home("diary"))?;
    let [slow, quick] = [Probe::allowed(host)?, Probe::allowed(host)?];
    let waiting = slow.start(&["--seconds", "1", "--app", "slow"])?;
    std::thread::sleep(Duration::from_secs(1));
    quick.stream(&["--seconds", "1"])?.success()?;
    ensure!(diary().is_empty(), "the other one was streamed to only after {:?}", diary());
    waiting.finish()?.success()?;
    ensure!(diary() == ["lulled", "short"], "{:?}", diary());
    Ok(())
}

/// By the end of the session, and by systemd when every stage is killed.
fn what_is_done_is_undone(host: &Constellation) -> Result<()> {
    fs::remove_file(home("diary"))?;
    Probe::allowed(host)?.stream(&["--seconds", "1", "--app", "stays"])?.success()?;
    wait("the undoing", SOON, || diary().len() == 3)?;
    let started = format!("stays {} dark red", home("bin").display());
    ensure!(diary() == ["loud", &started, "quiet"], "{:?}", diary());
    fs::remove_file(home("diary"))?;
    let probe = Probe::allowed(host)?;
    let streaming = probe.start(&["--seconds", "20", "--app", "stays"])?;
    wait("the app to start", SOON, || diary().len() == 2)?;
    host.systemctl(&["kill", "--signal=SIGKILL", "lumen-vdisplayd", "lumen-captured", "lumen-transportd"])?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(diary().len() == 2, "a death of vdisplayd undid or started something: {:?}", diary());
    host.systemctl(&["stop", "lumen.target"])?;
    let is_undone = || diary().last().map(String::as_str) == Some("quiet");
    wait("the undoing after a stop", SOON, is_undone).with_context(|| format!("{:?}", diary()))?;
    // It would come back to the next host.
    run("kill", &["-9", &streaming.pid().to_string()])?;
    let _ = streaming.finish();
    wait("the stages to stop", SOON, || {
        STAGES.iter().all(|stage| host.processes(&format!("lumen-{stage}")).is_empty())
    })?;
    host.systemctl(&["start", "lumen.target"])?;
    host.await_all()
}

/// One that ends at once, one that forks, one whose preparation fails.
fn ends_are_told(host: &Constellation) -> Result<()> {
    fs::remove_file(home("diary"))?;
    let begun = Instant::now();
    let report = Probe::allowed(host)?.stream(&["--seconds", "20", "--app", "short"])?;
    let said = text(&report.output) + &report.summary.to_string();
    ensure!(said.contains("exit status 3"), "not told why it ended: {said}");
    ensure!(begun.elapsed() < Duration::from_secs(15), "the session did not end with its app: {said}");
    wait("the undoing", SOON, || diary().len() == 4)?;
    ensure!(diary() == ["on", "short", "second off", "off"], "{:?}", diary());

    fs::remove_file(home("diary"))?;
    let report = Probe::allowed(host)?.stream(&["--seconds", "4", "--app", "forks"])?.success()?;
    ensure!(diary() == ["forks", "child"], "its child was ended: {:?}", diary());
    let notices = report.summary["notices"].to_string();
    ensure!(notices.contains("app-ended"), "nothing told when the last of it ended: {notices}");

    fs::remove_file(home("diary"))?;
    let report = Probe::allowed(host)?.stream(&["--seconds", "1", "--app", "unprepared"])?;
    let said = text(&report.output);
    ensure!(report.output.status.code() == Some(6) && said.contains("exit status 1"), "{said}");
    // A launch may ask for its Output more than once.
    let is_undone = || diary().chunks(2).all(|pair| pair == ["tried", "untried"]) && !diary().is_empty();
    wait("the undoing", SOON, is_undone).with_context(|| format!("{:?}", diary()))?;
    let failed = text(&host.systemctl(&["list-units", "--failed", "--plain", "--no-legend", "lumen-*"])?);
    ensure!(failed.trim().is_empty(), "left failed: {failed}");
    Ok(())
}
