//! What a person does at two clients is what two programs get in one GNOME: characters, places, buttons, scrolling, touches, each on
//! the client's own Output. Neither a killed inputd nor another keyboard layout leaves anything down, and what is held is
//! held again.
//!
//! Sabotage: leave the Output's offset out of its places, send relative motion without looking at the edge, type by a US
//! keyboard, drop parts of a notch, leave the Output's offset out of a finger's place, count fingers from 0,
//! take a new keyboard for the old one, or read no descriptors on a line that was resumed (vdisplayd).

use std::{collections::BTreeSet, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{
    constellation::binaries,
    lab::{Client, Lab},
};
use serde_json::Value;
use tempfile::TempDir;

use super::gnome_streams_sharp_and_true::{recorded, stop_without_a_trace};

const HOME: &str = "/home/lumen";

/// Time for GNOME to lay out its monitors, and to leave its overview.
const LONG: Duration = Duration::from_secs(30);

/// What the first client does, from its first picture on. Its keyboard is a German one. It clicks before it types, because
/// gnome-shell 51 may keep the keyboard for a window that it has just shown. After the fingers it moves the pointer, which they took
/// away.
const FIRST: &str = "\
11800 to 32768 32768
11850 press 272
11900 release 272
12100 press 42
12200 text Grüße, ß→中 😀
12400 press 21
12450 release 21
12500 release 42
12600 press 21
12650 release 21
12700 to 0 0
12800 to 65535 0
12900 to 65535 65535
13000 move 3000 3000
13100 to 32768 32768
13200 move 100 -50
13300 press 272
13350 release 272
13400 press 273
13450 release 273
13500 press 274
13550 release 274
13600 press 275
13650 release 275
13700 press 276
13750 release 276
13800 scroll 0 240
13900 scroll -120 0
14000 scroll 0 60
14100 scroll 0 30
14200 scroll 0 30
14220 touch 7 16384 16384
14240 touch 8 65535 0
14260 touch 7 32768 32768
14280 lift 7
14300 touch 9 0 65535
14320 cancel touches
14340 move 1 0
14360 move -1 0
14400 press 30
14450 press 272
40000 release 272
40050 release 30
70000 to 0 32768
70100 move -300 0
70200 press 272
70250 release 272
70400 text eins
";

/// What the second client does, whose Output is the left one.
const SECOND: &str = "\
8000 to 65535 0
8100 to 65535 65535
8200 to 0 0
8300 to 32768 32768
8400 press 272
8450 release 272
8600 text zwei
8800 move 9000 0
";

/// Text of the first client, without what no German keyboard has.
const TYPED: &str = "Grüße, ß→ Zz";

/// What lumen-see wrote down for the client called `name`.
fn seen(lab: &Lab, name: &str) -> Result<Seen> {
    let home = TempDir::new()?;
    let file = home.path().join(name);
    fs::write(&file, lab.user(&["cat", &format!("{HOME}/{name}.jsonl")])?)?;
    Ok(Seen::read(&file)?)
}

/// A GNOME with a German keyboard, in which each client may have a lumen-see of its own.
fn desk(suite: &'static str) -> Result<Lab> {
    let lab = Lab::start(suite)?;
    lab.push_program(&binaries().join("lumen-see"))?;
    lab.user(&["gsettings", "set", "org.gnome.desktop.input-sources", "sources", "[('xkb', 'de')]"])?;
    lab.start_gnome(&[])?;
    let see =
        |name: &str| format!("{name} = [\"{HOME}/bin/lumen-see\", \"--log\", \"{HOME}/{name}.jsonl\"]\n");
    lab.config("apps", &format!("[apps]\n{}{}", see("first"), see("second")))?;
    lab.config("inputd", "touch = true\n")?;
    lab.user(&["systemctl", "--user", "start", "lumen.target"])?;
    Ok(lab)
}

/// Starts the client and waits until its program is shown at its size.
fn start<'a>(
    lab: &'a Lab,
    name: &'static str,
    size: (u32, u32),
    (script, seconds): (&str, &str),
) -> Result<Client<'a>> {
    lab.write(HOME, &format!("{name}.script"), script)?;
    let mode = format!("{}x{}@60", size.0, size.1);
    let script = format!("{HOME}/{name}.script");
    let arguments = ["--seconds", seconds, "--app", name, "--mode", &mode, "--script", &script];
    let client = lab.start_client(name, &arguments)?;
    let shown = Thing::Shown { width: size.0, height: size.1 };
    lab.wait("the program", LONG, || Ok(seen(lab, name).is_ok_and(|seen| seen.0.contains(&shown))))?;
    Ok(client)
}

/// Waits until what the first program holds is as `wished`.
fn await_held(lab: &Lab, what: &str, wished: impl Fn(&BTreeSet<u32>) -> bool) -> Result<()> {
    lab.wait(what, LONG, || Ok(wished(&seen(lab, "first")?.held()?)))
        .with_context(|| format!("{:?}", seen(lab, "first")))
}

/// The key that the first client holds goes up by what `happens`, and is down again.
fn goes_up_and_down(lab: &Lab, what: &str, happens: impl FnOnce() -> Result<()>) -> Result<()> {
    let things = seen(lab, "first")?.0.len();
    happens()?;
    lab.wait(&format!("the key to go up after {what}"), LONG, || {
        let since = Seen(seen(lab, "first")?.0.split_off(things));
        Ok(since.0.iter().any(|thing| matches!(thing, Thing::Key { code: 30, pressed: false, .. })))
    })?;
    // A program that just takes notice of the new pointer misses the button.
    await_held(lab, &format!("the key to be down again after {what}"), |held| held.contains(&30))
}

/// All of `wanted` were hit within a pixel, in this order.
pub fn hit(places: &[(f64, f64)], wanted: &[(f64, f64)]) -> Result<()> {
    let near = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).abs() <= 1.0 && (a.1 - b.1).abs() <= 1.0;
    let mut left = places.iter();
    let hits = wanted.iter().filter(|wanted| left.any(|place| near(place, wanted))).count();
    ensure!(hits == wanted.len(), "{hits} of {wanted:?} were hit, in this order: {places:?}");
    Ok(())
}

/// What the first client did before anything died.
fn judge_hands(seen: &Seen) -> Result<()> {
    ensure!(seen.text().starts_with(TYPED), "typed was {:?}: {seen:?}", seen.text());
    let places = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (640.0, 360.0), (740.0, 310.0)];
    hit(&seen.places(), &places)?;
    let buttons: Vec<u32> = seen.presses().into_iter().filter(|code| (272..=276).contains(code)).collect();
    ensure!(buttons.starts_with(&[272, 272, 273, 274, 275, 276]), "{buttons:?}");
    let wanted = [Some((320.0, 180.0)), Some((1280.0, 0.0)), Some((640.0, 360.0)), None, Some((0.0, 720.0))];
    let touches = seen.touches();
    let is_near = |(touch, wanted): (&Option<(f64, f64)>, &Option<(f64, f64)>)| match (touch, wanted) {
        (Some(touch), Some(wanted)) => hit(&[*touch], &[*wanted]).is_ok(),
        (touch, wanted) => touch == wanted,
    };
    ensure!(
        touches.len() >= wanted.len() && touches.iter().zip(&wanted).all(is_near),
        "the fingers did {touches:?}"
    );
    ensure!(seen.fingers()?.is_empty(), "fingers {:?} are down", seen.fingers()?);
    // Three notches down, of which one came in parts, and one to the left; Mutter's are 10 pixels long.
    ensure!(seen.scrolled() == [(30.0, 3), (-10.0, -1)], "{:?}", seen.scrolled());
    Ok(())
}

/// Nobody of the two got what the other one's client did.
fn judge_apart(first: &Seen, second: &Seen) -> Result<()> {
    ensure!(second.text() == "zwei", "the second one's program got {:?}", second.text());
    ensure!(first.text().ends_with("eins"), "the first one's program got {:?}", first.text());
    ensure!(!first.text().contains("zwei"), "the first one's program got {:?}", first.text());
    hit(&second.places(), &[(1366.0, 0.0), (1366.0, 768.0), (0.0, 0.0), (683.0, 384.0), (1366.0, 384.0)])?;
    hit(&first.places(), &[(740.0, 310.0), (0.0, 360.0)])?;
    // Whatever was pressed on the second one's Output, its own client did.
    let clicks = second.presses().into_iter().filter(|code| *code == 272).count();
    ensure!(clicks == 1, "{clicks} clicks on the second one's program: {second:?}");
    let last = second.places().last().copied().context("the pointer was never on the second Output")?;
    ensure!(
        (last.0 - 1366.0).abs() <= 1.0,
        "the first one's pointer came to {last:?} of the second one's Output"
    );
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
    let first = start(&lab, "first", (1280, 720), (FIRST, "76"))?;
    let status = lab.user(&["lumenctl", "status"])?;
    ensure!(status.contains("eis") && status.contains("takes input by EIS"), "{status}");

    await_held(&lab, "the key and the button to be down", |held| *held == [30, 272].into())?;
    judge_hands(&seen(&lab, "first")?).map_err(|error| error.context(lab.logs()))?;
    ensure!(refused(&lab)? == 2, "{} characters were refused", refused(&lab)?);
    goes_up_and_down(&lab, "another keyboard layout", || {
        // Mutter 48 keeps down what is held meanwhile until its client goes.
        let us = ["org.gnome.desktop.input-sources", "sources", "[('xkb', 'us')]"];
        lab.user(&[&["gsettings", "set"], &us[..]].concat()).map(drop)
    })?;
    goes_up_and_down(&lab, "a death of inputd after one of vdisplayd", || {
        lab.root(&["kill", "-KILL", &lab.pid("vdisplayd")?.to_string()])?;
        lab.wait("the next vdisplayd", LONG, || {
            let status = lab.user(&["lumenctl", "status"]);
            Ok(status.is_ok_and(|status| status.contains("found in the user's GNOME")))
        })?;
        lab.root(&["kill", "-KILL", &lab.pid("inputd")?.to_string()]).map(drop)
    })?;
    await_held(&lab, "all to be up, as at the client", BTreeSet::is_empty)?;

    let second = start(&lab, "second", (1366, 768), (SECOND, "60"))?;
    ensure!(recorded(&lab.monitors()?).len() == 2, "{}", lab.monitors()?);
    lab.wait("the second client's text", LONG, || Ok(seen(&lab, "second")?.text() == "zwei"))
        .with_context(|| format!("{:?}", seen(&lab, "second")))?;
    lab.wait("the first client's text", Duration::from_secs(60), || {
        Ok(seen(&lab, "first")?.text().ends_with("eins"))
    })
    .with_context(|| format!("{:?}", seen(&lab, "first")))?;
    let (one, other) = (seen(&lab, "first")?, seen(&lab, "second")?);
    judge_apart(&one, &other).map_err(|error| error.context(lab.logs()))?;
    first.finish()?.success()?;
    second.finish()?.success()?;
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
