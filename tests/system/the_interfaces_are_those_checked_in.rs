//! The D-Bus interfaces of the running, unit-started services are the XML in `ipc-schema/dbus`.
//!
//! Sabotage: rename an argument of any method of any stage.

use std::{env, fs};

use anyhow::{Context, Result, ensure};
use lumen_tests::{
    Constellation,
    constellation::{Setup, checkout, text},
};

const OBJECTS: [&str; 5] = ["Display1", "Capture1", "Encode1", "Transport1", "Input1"];

#[test]
fn the_interfaces_are_those_checked_in() -> Result<()> {
    let host = Setup::default().start()?;
    for object in OBJECTS {
        let xml = introspect(&host, object)?;
        for interface in [format!("org.lumen.{object}"), "org.lumen.Stage1".to_owned()] {
            compare(&interface, &cut(&xml, &interface)?)?;
        }
    }
    Ok(())
}

fn introspect(host: &Constellation, object: &str) -> Result<String> {
    let address = format!("--address=unix:path={}/lumen/bus", host.runtime_dir().display());
    let (name, path) = (format!("org.lumen.{object}"), format!("/org/lumen/{object}"));
    let call = ["org.freedesktop.DBus.Introspectable", "Introspect"];
    let output =
        host.as_user(&["busctl", &address, "--json=short", "call", &name, &path, call[0], call[1]])?;
    ensure!(output.status.success(), "{name}: {}", text(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(answer.pointer("/data/0").and_then(|xml| xml.as_str()).context("no XML in the answer")?.to_owned())
}

/// The block of one interface, each line without its indentation.
fn cut(xml: &str, interface: &str) -> Result<String> {
    let start =
        xml.find(&format!("<interface name=\"{interface}\"")).with_context(|| format!("no {interface}"))?;
    let block = &xml[start..];
    let end = block.find("</interface>").context("no end")? + "</interface>".len();
    Ok(block[..end].lines().map(|line| line.trim_start().to_owned() + "\n").collect())
}

/// Compares with the file; with `LUMEN_BLESS` set, writes it instead.
fn compare(interface: &str, running: &str) -> Result<()> {
    let path = checkout().join(format!("ipc-schema/dbus/{interface}.xml"));
    if env::var_os("LUMEN_BLESS").is_some() {
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, running)?;
    }
    let checked_in = fs::read_to_string(&path).with_context(|| format!("{} is missing", path.display()))?;
    ensure!(checked_in == running, "{interface} differs from {}:\n{running}", path.display());
    Ok(())
}
