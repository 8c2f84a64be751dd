//! What a person does at two clients, the probe and the genuine Moonlight client, is what two programs get in one GNOME: characters on each
//! layout, places, buttons, scrolling, touches, each on the client's own Output, whatever its scale. Neither a killed inputd nor another
//! keyboard layout leaves a key or button down, and what is held is held again. Fingers that are down then go up, and gnome-shell lives.
//!
//! Sabotage: leave the Output's offset out of its places, send relative motion without looking at the edge, type by a US
//! keyboard, drop parts of a notch, leave the Output's offset out of a finger's place, take a
//! new keyboard for the old one, keep no connection with fingers on it for the next inputd, lift none of them before one ends, put them down
//! again on the next one, or read no descriptors on a line that was resumed (vdisplayd).

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{
    Moonlight,
    constellation::binaries,
    lab::{Client, Lab},
    layouts::LAYOUTS,
    moonlight::Playing,
    watch::{Watch, hit, touched},
};
use serde_json::Value;

use super::gnome_streams_sharp_and_true::{recorded, stop_without_a_trace};

/// Time for anything that vdisplayd does.
const LONG: Duration = Duration::from_secs(30);

/// Time for the monitors' layout to settle after a change.
const SETTLED: Duration = Duration::from_secs(2);

/// Time for vdisplayd to close the overview, if the program's monitor opened it.
const OVERVIEW: Duration = Duration::from_secs(7);

/// What the first client does. Its keyboard is a German one. It clicks before it types, because gnome-shell 51 may keep the keyboard for
/// a window that it has just shown. After the fingers it moves the pointer, which they took away.
const FIRST: &str = "\
0 to 32768 32768
50 press 272
50 release 272
200 press 42
100 text Grüße, ß→中 😀
200 press 21
50 release 21
50 release 42
100 press 21
50 release 21
100 to 0 0
100 to 65535 0
100 to 65535 65535
100 move 3000 3000
100 to 32768 32768
100 move 100 -50
100 press 272
50 release 272
50 press 273
50 release 273
50 press 274
50 release 274
50 press 275
50 release 275
50 press 276
50 release 276
50 scroll 0 240
100 scroll -120 0
100 scroll 0 60
100 scroll 0 30
100 scroll 0 30
20 touch 7 16384 16384
20 touch 8 65535 0
20 touch 7 32768 32768
20 lift 7
20 touch 9 0 65535
20 cancel touches
20 move 1 0
20 move -1 0
60 press 30
50 press 272
";

/// What it does when the other one's Output is the left one.
const LATER: &str = "\
0 touch 7 32768 32768
50 lift 7
50 to 32768 32768
500 to 0 32768
100 move -300 0
100 press 272
50 release 272
200 text eins
";

/// What the second client does. Its first motion brings back the pointer, which fingers took away.
const SECOND: &str = "\
0 to 300 300 1440 900
500 to 1439 0 1440 900
100 to 1439 899 1440 900
100 to 0 0 1440 900
100 to 720 450 1440 900
100 button 1 down
50 button 1 up
200 text zwei
200 move 9000 0
100 touch 3 down 0.25 0.75
50 touch 3 move 0.5 0.5
50 touch 3 up 0.5 0.5
50 touch 4 down 1 1
50 touch 4 cancel 1 1
50 move -1 0
";

/// What it does once its Output has another scale.
const SCALED: &str = "\
0 to 300 300 1440 900
500 to 1439 899 1440 900
100 to 0 899 1440 900
100 to 720 450 1440 900
100 touch 5 down 0.5 0.25
50 touch 5 up 0.5 0.25
";

/// Gives the monitor at 0,0 the scale 1.5, until the next change.
const SCALE: &str = r#"
from gi.repository import Gio, GLib
bus = Gio.bus_get_sync(Gio.BusType.SESSION)
name, path = 'org.gnome.Mutter.DisplayConfig', '/org/gnome/Mutter/DisplayConfig'
def call(method, arguments=None):
    return bus.call_sync(name, path, name, method, arguments, None, 0, -1, None).unpack()
serial, monitors, places, _ = call('GetCurrentState')
modes = {m[0][0]: next(mode for mode in m[1] if mode[6].get('is-current')) for m in monitors if any(mode[6].get('is-current') for mode in m[1])}
places.sort()
right, wanted = 0, []
for x, y, scale, transform, primary, shown, _ in places:
    scale = 1.5 if x == 0 else scale
    wanted.append((right, y, scale, transform, primary, [(one[0], modes[one[0]][0], {}) for one in shown]))
    right += round(modes[shown[0][0]][1] / scale)
call('ApplyMonitorsConfig', GLib.Variant('(uua(iiduba(ssa{sv}))a{sv})', (serial, 1, wanted, {})))
"#;

/// Text of the first client, without what no German keyboard has.
const TYPED: &str = "Grüße, ß→ Zz";

/// A GNOME with a German keyboard, in which each client may have a lumen-see of its own.
fn desk(suite: &'static str) -> Result<Lab> {
    let lab = Lab::start(suite)?;
    lab.push_program(&binaries().join("lumen-see"))?;
    choose(&lab, "de")?;
    lab.start_gnome(&[])?;
    lab.config("apps", &format!("[apps]\n{}{}", Watch::app("first"), Watch::app("second")))?;
    lab.config("inputd", "touch = true\n")?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    Ok(lab)
}

/// Starts the first client and waits until its program is shown and the overview that its monitor opened is over.
fn start_first(lab: &Lab) -> Result<Client<'_>> {
    let arguments = ["--seconds", "180", "--app", "first", "--mode", "1280x720@60", "--script", "-"];
    let client = lab.start_client("first", &arguments)?;
    Watch::of(lab, "first").until_shown(1280, 720)?;
    let ask =
        ["-d", "org.gnome.Shell", "-o", "/org/gnome/Shell", "-m", "org.freedesktop.DBus.Properties.Get"];
    let ask = [&["gdbus", "call", "--session"], &ask[..], &["org.gnome.Shell", "OverviewActive"]].concat();
    let (end, mut was_open) = (Instant::now() + OVERVIEW, false);
    while Instant::now() < end {
        let is_open = lab.user(&ask)?.contains("true");
        if was_open && !is_open {
            break;
        }
        was_open |= is_open;
        sleep(Duration::from_millis(100));
    }
    sleep(Duration::from_secs(1));
    Ok(client)
}

/// Chooses the desktop's keyboard layout.
fn choose(lab: &Lab, layout: &str) -> Result<()> {
    let sources = format!("[('xkb', '{layout}')]");
    lab.user(&["gsettings", "set", "org.gnome.desktop.input-sources", "sources", &sources]).map(drop)
}

/// Codes that type nothing, held by each of the clients: F13 at the first one, F14 at the second.
const HELD: [u32; 2] = [183, 184];

/// Keys of both clients go to the second one's program, which has the focus: each layout types there what it says.
fn on_each_layout(lab: &Lab, first: &mut Client<'_>, second: &mut Playing<'_>) -> Result<()> {
    let program = Watch::of(lab, "second");
    first.play(&format!("0 press {}\n", HELD[0]))?;
    second.play("0 key 0x7d down\n")?;
    program.until("a key of each client to be down", |seen| seen.held() == Ok(HELD.into()))?;
    for layout in &LAYOUTS {
        program.up_and_down(&HELD, layout.name, || choose(lab, layout.gnome))?;
        for is_moonlight in [false, true] {
            let typed = program.seen()?.text() + &layout.typed();
            match is_moonlight {
                true => second.play(&layout.at_moonlight())?,
                false => first.play(&layout.at_the_probe())?,
            }
            let whose = if is_moonlight { "Moonlight's" } else { "the probe's" };
            program.until(&format!("{whose} {typed:?} on {}", layout.name), |seen| seen.text() == typed)?;
        }
    }
    first.play(&format!("0 release {}\n", HELD[0]))?;
    second.play("0 key 0x7d up\n")?;
    program.until("nothing to be held", |seen| seen.held() == Ok([].into())).map(drop)
}

/// The second client's Output at another scale: its program stays on it in GNOME 51; in 48 windows go to another monitor then, and one
/// that is shown from then on is on it.
fn on_a_scaled_output(lab: &Lab, second: &mut Playing<'_>) -> Result<()> {
    lab.user(&["python3", "-c", SCALE])?;
    sleep(SETTLED);
    let mut program = Watch::of(lab, "second");
    let is_shown = |seen: &Seen| seen.0.contains(&Thing::Shown { width: 960, height: 600 });
    let stays = is_shown(&program.seen()?);
    if !stays {
        let see = ["/home/lumen/bin/lumen-see", "--log", "/home/lumen/third.jsonl"];
        lab.user(&[&["systemd-run", "--user", "--quiet", "--collect", "--unit=third"], &see[..]].concat())?;
        program = Watch::of(lab, "third");
        program.until("the program to be shown", is_shown)?;
        sleep(SETTLED);
    }
    let things = program.seen()?.0.len();
    second.play(SCALED)?;
    let seen =
        program.until_since(things, "a finger on the scaled Output", |seen| seen.touches().len() >= 2)?;
    hit(&seen.places(), &[(960.0, 600.0), (0.0, 600.0), (480.0, 300.0)])?;
    touched(&seen, &[Some((480.0, 150.0)), None])?;
    match stays {
        true => Ok(()),
        false => lab.user(&["systemctl", "--user", "stop", "third.service"]).map(drop),
    }
}

/// Two fingers are down when `happens` ends inputd's connection: they go up, and come down again only where they do so anew at the client.
fn go_up(
    program: &Watch,
    first: &mut Client<'_>,
    what: &str,
    happens: impl Fn() -> Result<()>,
) -> Result<()> {
    let things = program.seen()?.0.len();
    first.play("0 touch 7 16384 16384\n20 touch 8 32768 16384\n")?;
    program.until_since(things, "both fingers to be down", |seen| seen.touches().len() >= 2)?;
    happens()?;
    let are_up = |seen: &Seen| seen.fingers() == Ok([].into());
    program.until_since(things, &format!("the fingers to be up after {what}"), are_up)?;
    let things = program.seen()?.0.len();
    first.play("0 touch 7 0 0\n20 lift 7\n20 lift 8\n20 touch 7 49152 49152\n20 lift 7\n")?;
    let anew = |seen: &Seen| seen.touches().len() >= 2;
    let seen = program.until_since(things, "a finger to come down anew", anew)?;
    touched(&seen, &[Some((960.0, 540.0)), None]).with_context(|| format!("after {what}"))
}

/// No finger outlives its connection, a key that is held beside it stays so, and gnome-shell lives.
fn fingers_go_up(lab: &Lab, first: &mut Client<'_>) -> Result<()> {
    let program = Watch::of(lab, "first");
    let gnome = lab.user(&["pgrep", "-x", "gnome-shell"])?;
    let kill = || lab.root(&["kill", "-KILL", &lab.pid("inputd")?.to_string()]).map(drop);
    let is_held = |seen: &Seen| seen.held() == Ok([HELD[0]].into());
    first.play(&format!("0 press {}\n", HELD[0]))?;
    program.until("the key to be down", is_held)?;
    go_up(&program, first, "a killed inputd", kill)?;
    program.until("the key to be down after a killed inputd", is_held)?;
    go_up(&program, first, "another killed inputd", kill)?;
    program.until("the key to be down after another", is_held)?;
    go_up(&program, first, "another keyboard layout", || choose(lab, "fr"))?;
    program.until("the key to be down with another layout", is_held)?;
    first.play(&format!("0 release {}\n", HELD[0]))?;
    program.until("nothing to be held", |seen| seen.held() == Ok([].into()))?;
    let restart = || lab.user(&["systemctl", "--user", "restart", "lumen-inputd.service"]).map(drop);
    go_up(&program, first, "a restart of inputd", restart)?;
    ensure!(lab.user(&["pgrep", "-x", "gnome-shell"])? == gnome, "another gnome-shell runs\n{}", lab.logs());
    Ok(())
}

/// What the genuine Moonlight client does on its own Output, and what the first client does beside it.
fn side_by_side(lab: &Lab, first: &mut Client<'_>) -> Result<()> {
    let client = Moonlight::paired(lab)?;
    let app = client.app("second")?;
    let arguments = ["--seconds", "120", "--mode", "1440x900x60", "--app", &app, "--script", "-"];
    let mut second = client.start("launch", &arguments)?;
    let program = Watch::of(lab, "second");
    program.until_shown(1440, 900)?;
    sleep(SETTLED);
    ensure!(recorded(&lab.monitors()?).len() == 2, "{}", lab.monitors()?);
    second.play(SECOND)?;
    let seen = program.until("the second client's fingers to be gone", |seen| {
        seen.touches().len() >= 4 && seen.fingers() == Ok([].into())
    })?;
    ensure!(seen.text() == "zwei", "the second one's program got {:?}", seen.text());
    hit(&seen.places(), &[(1440.0, 0.0), (1440.0, 900.0), (0.0, 0.0), (720.0, 450.0), (1440.0, 450.0)])?;
    touched(&seen, &[Some((360.0, 675.0)), Some((720.0, 450.0)), None, Some((1440.0, 900.0))])?;
    on_each_layout(lab, first, &mut second)?;

    let program = Watch::of(lab, "first");
    let things = program.seen()?.0.len();
    first.play(LATER)?;
    let seen = program.until_since(things, "the first client's text", |seen| seen.text() == "eins")?;
    touched(&seen, &[Some((640.0, 360.0)), None])?;
    on_a_scaled_output(lab, &mut second)?;
    let played = second.end("INT")?;
    played.unbroken()?;
    ensure!(played.summary["hands"] == serde_json::json!([]), "{:#}", played.summary);
    Ok(())
}

/// What the first client did before anything died.
fn judge_hands(seen: &Seen) -> Result<()> {
    ensure!(seen.text().starts_with(TYPED), "typed was {:?}: {seen:?}", seen.text());
    let places = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (640.0, 360.0), (740.0, 310.0)];
    hit(&seen.places(), &places)?;
    let buttons: Vec<u32> = seen.presses().into_iter().filter(|code| (272..=276).contains(code)).collect();
    ensure!(buttons.starts_with(&[272, 272, 273, 274, 275, 276]), "{buttons:?}");
    touched(
        seen,
        &[Some((320.0, 180.0)), Some((1280.0, 0.0)), Some((640.0, 360.0)), None, Some((0.0, 720.0))],
    )?;
    // Three notches down, of which one came in parts, and one to the left; Mutter's are 10 pixels long.
    ensure!(seen.scrolled() == [(30.0, 3), (-10.0, -1)], "{:?}", seen.scrolled());
    Ok(())
}

/// Nobody of the two got what the other one's client did.
fn judge_apart(first: &Seen, second: &Seen) -> Result<()> {
    ensure!(!second.text().contains("eins"), "the second one's program got {:?}", second.text());
    ensure!(first.text().ends_with("eins"), "the first one's program got {:?}", first.text());
    ensure!(!first.text().contains("zwei"), "the first one's program got {:?}", first.text());
    hit(&first.places(), &[(740.0, 310.0), (0.0, 360.0)])?;
    // Whatever was pressed on the second one's Output, its own client did.
    let clicks = second.presses().into_iter().filter(|code| *code == 272).count();
    ensure!(clicks == 1, "{clicks} clicks on the second one's program: {second:?}");
    Ok(())
}

/// How many characters inputd refused.
fn refused(lab: &Lab) -> Result<u64> {
    let status: Value = serde_json::from_str(&lab.user(&["lumenctl", "status", "--json"])?)?;
    let counted = status.to_string();
    let count = counted.split("\"characters_refused\":").nth(1).context("no such count")?;
    Ok(count.chars().take_while(char::is_ascii_digit).collect::<String>().parse()?)
}

fn typed_in(suite: &'static str) -> Result<()> {
    let lab = desk(suite)?;
    let mut first = start_first(&lab)?;
    let status = lab.user(&["lumenctl", "status"])?;
    ensure!(status.contains("eis") && status.contains("takes input by EIS"), "{status}");

    let program = Watch::of(&lab, "first");
    first.play(FIRST)?;
    let held = program.until("the key and the button to be down", |seen| seen.held() == Ok([30, 272].into()));
    judge_hands(&held?).map_err(|error| error.context(lab.logs()))?;
    ensure!(refused(&lab)? == 2, "{} characters were refused", refused(&lab)?);
    // Mutter 48 keeps down what is held meanwhile until its client goes.
    program.up_and_down(&[30], "another keyboard layout", || choose(&lab, "us"))?;
    program.up_and_down(&[30], "a death of inputd after one of vdisplayd", || {
        lab.root(&["kill", "-KILL", &lab.pid("vdisplayd")?.to_string()])?;
        lab.wait("the next vdisplayd", LONG, || {
            let status = lab.user(&["lumenctl", "status"]);
            Ok(status.is_ok_and(|status| status.contains("found in the user's GNOME")))
        })?;
        lab.root(&["kill", "-KILL", &lab.pid("inputd")?.to_string()]).map(drop)
    })?;
    first.play("0 release 272\n0 release 30\n")?;
    program.until("all to be up, as at the client", |seen| seen.held() == Ok([].into()))?;
    fingers_go_up(&lab, &mut first)?;
    side_by_side(&lab, &mut first)?;
    let (one, other) = (program.seen()?, Watch::of(&lab, "second").seen()?);
    judge_apart(&one, &other).map_err(|error| error.context(lab.logs()))?;
    first.interrupt()?;
    ensure!(!lab.logs().contains("Gr\u{fc}"), "typed text is in a log:\n{}", lab.logs());
    stop_without_a_trace(&lab)
}

#[test]
fn gnome_of_stable_debian_gets_what_is_typed() -> Result<()> {
    typed_in("trixie")
}

#[test]
fn gnome_of_unstable_debian_gets_what_is_typed() -> Result<()> {
    typed_in("sid")
}
