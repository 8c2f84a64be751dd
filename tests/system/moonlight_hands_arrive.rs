//! What a person does at the genuine Moonlight client, by its own calls, is what lumen-see gets in a headless sway with a
//! German keyboard: characters, places, buttons and scrolling.
//!
//! Sabotage: take Windows' codes for another layout's, a key by its meaning for one by its place, the buttons in the client's
//! order, scrolling upside down, or a place of the client's picture without its size (core/gamestream, transportd).

use std::fs;

use anyhow::{Context, Result, ensure};
use lumen_see::{Seen, Thing};
use lumen_tests::Moonlight;

use crate::{gnome_gets_what_is_typed::hit, what_is_typed_arrives_in_the_program::desk};

/// Shift is held over the text. The key called Y types z on a German keyboard by its place, and y by its meaning. The
/// client's picture has half the size of the Output.
const SCRIPT: &str = "\
1500 key 0xa0 down
1550 text Grüße, ß→中 😀
1800 key 0x59 down
1820 key 0x59 up
1840 key 0xa0 up
1900 key 0x59 down
1920 key 0x59 up
1940 meant 0x59 down
1960 meant 0x59 up
2000 to 0 0 640 360
2100 to 639 0 640 360
2200 to 639 359 640 360
2300 to 0 359 640 360
2400 to 320 180 640 360
2500 move 100 -50
2600 button 1 down
2620 button 1 up
2640 button 2 down
2660 button 2 up
2680 button 3 down
2700 button 3 up
2720 button 4 down
2740 button 4 up
2760 button 5 down
2780 button 5 up
2800 scroll -2
2850 hscroll -1
2900 finescroll -60
2950 finehscroll 30
3000 key 0x20 down
3050 key 0x20 up
";

#[test]
fn moonlight_hands_arrive() -> Result<()> {
    let (host, journal) = desk("")?;
    let client = Moonlight::paired(&host)?;
    let script = client.file("script");
    fs::write(&script, SCRIPT)?;
    let played = client.stream("launch", &["--seconds", "4", "--script", &script])?;
    played.unbroken()?;
    ensure!(played.summary["hands"] == serde_json::json!([]), "{:#}", played.summary);
    let seen = Seen::read(&journal)?;
    let told = || format!("{seen:?}\n{}", host.status());
    ensure!(seen.text() == "Grüße, ß→中 😀Zzy ", "typed was {:?}\n{}", seen.text(), told());
    ensure!(seen.held()?.is_empty(), "{:?} is still held", seen.held());
    let buttons: Vec<u32> = seen.presses().into_iter().filter(|code| *code > 255).collect();
    ensure!(buttons == [272, 274, 273, 275, 276], "{buttons:?}: {}", told());
    let clicked = seen.0.iter().position(|thing| matches!(thing, Thing::Button { pressed: true, .. }));
    let before = Seen(seen.0[..clicked.context("no click")?].to_vec());
    let places = [(0.0, 0.0), (1280.0, 0.0), (1280.0, 720.0), (0.0, 720.0), (641.0, 361.0), (741.0, 311.0)];
    hit(&before.places(), &places)?;
    ensure!(seen.scrolled() == [(37.5, 2), (-11.25, -1)], "{:?}: {}", seen.scrolled(), told());
    ensure!(!host.logs().contains("Gr"), "typed text is in a log:\n{}", host.logs());
    Ok(())
}
