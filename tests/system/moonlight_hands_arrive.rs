//! What a person does at the genuine Moonlight client, by its own calls, is what lumen-see gets in a headless sway with a
//! German keyboard: characters, places, buttons and scrolling; then keys and text on each other layout that the host may have.
//!
//! Sabotage: take Windows' codes for another layout's, a key by its meaning for one by its place, the buttons in the client's
//! order, scrolling upside down, or a place of the client's picture without its size (core/gamestream, transportd).

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::{Moonlight, watch::hit};

use crate::what_is_typed_arrives_in_the_program::{await_focus, await_text, desk, types_on_each_layout};

/// Shift is held over the text. The key called Y types z on a German keyboard by its place, and y by its meaning. The
/// client's picture has half the size of the Output.
const SCRIPT: &str = "\
0 key 0xa0 down
50 text Grüße, ß→中 😀
250 key 0x59 down
20 key 0x59 up
20 key 0xa0 up
60 key 0x59 down
20 key 0x59 up
20 meant 0x59 down
20 meant 0x59 up
40 to 0 0 640 360
100 to 639 0 640 360
100 to 639 359 640 360
100 to 0 359 640 360
100 to 320 180 640 360
100 move 100 -50
100 button 1 down
20 button 1 up
20 button 2 down
20 button 2 up
20 button 3 down
20 button 3 up
20 button 4 down
20 button 4 up
20 button 5 down
20 button 5 up
20 scroll -2
50 hscroll -1
50 finescroll -60
50 finehscroll 30
50 key 0x20 down
50 key 0x20 up
";

#[test]
fn moonlight_hands_arrive() -> Result<()> {
    let (host, journal) = desk("")?;
    let client = Moonlight::paired(&host)?;
    let mut playing = client.start("launch", &["--seconds", "60", "--script", "-"])?;
    await_focus(&journal, 0)?;
    playing.play(SCRIPT)?;
    let typed = "Grüße, ß→中 😀Zzy ";
    await_text(&host, &journal, typed)?;
    let seen = Seen::read(&journal)?;
    let told = || format!("{seen:?}\n{}", host.status());
    let buttons: Vec<u32> = seen.presses().into_iter().filter(|code| *code > 255).collect();
    ensure!(buttons == [272, 274, 273, 275, 276], "{buttons:?}: {}", told());
    let clicked = seen.0.iter().position(|thing| matches!(thing, Thing::Button { pressed: true, .. }));
    let before = Seen(seen.0[..clicked.context("no click")?].to_vec());
    let places = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (0.0, 720.0), (641.0, 361.0), (741.0, 311.0)];
    hit(&before.places(), &places)?;
    ensure!(seen.scrolled() == [(37.5, 2), (-11.25, -1)], "{:?}: {}", seen.scrolled(), told());
    types_on_each_layout(&host, &journal, |layout| playing.play(&layout.at_moonlight()))?;
    let played = playing.end("INT")?;
    played.unbroken()?;
    ensure!(played.summary["hands"] == serde_json::json!([]), "{:#}", played.summary);
    ensure!(!host.logs().contains("Gr"), "typed text is in a log:\n{}", host.logs());
    Ok(())
}
