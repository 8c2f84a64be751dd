//! What a package installs so that lumen may make input devices: a group by sysusers, rules for udev. Whoever sits at the
//! machine may, and that group; never everybody, because such a device types as the user.
//!
//! Sabotage: MODE="0666" in the rules, or another group in sysusers than in the rules.

use anyhow::{Context, Result, ensure};
use lumen_tests::lab::Lab;

/// Where `make install` puts them.
const RULES: &str = "/usr/lib/udev/rules.d/60-lumen.rules";

#[test]
fn input_devices_are_for_few() -> Result<()> {
    let lab = Lab::start("trixie")?;
    lab.root(&["systemd-sysusers"])?;
    lab.root(&["udevadm", "verify", RULES])?;
    let rules = lab.root(&["cat", RULES])?;
    for device in ["uinput", "uhid"] {
        let rule = rules.lines().find(|line| line.starts_with(&format!("KERNEL==\"{device}\"")));
        let rule = rule.with_context(|| format!("no rule for {device}"))?;
        let value = |key: &str| {
            let (_, rest) = rule.split_once(&format!("{key}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let group = value("GROUP").context("a device without a group")?;
        lab.root(&["getent", "group", &group])?;
        let mode = u32::from_str_radix(&value("MODE").context("a device without a mode")?, 8)?;
        ensure!(mode & 0o007 == 0, "{device} is everybody's: {mode:o}");
        ensure!(rule.contains("TAG+=\"uaccess\""), "whoever sits at the machine may not have {device}");
    }
    Ok(())
}
