//! The least that two processes take to hand each other a message, and a core to read a picture.

use std::{
    env,
    hint::black_box,
    os::fd::{AsFd, OwnedFd},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::{
    io::{Errno, read, write},
    net::{AddressFamily, SocketFlags, SocketType, socketpair},
};

use crate::bench::Spread;

/// As long as a link's message about a Frame.
const MESSAGE: [u8; 64] = [0; 64];

/// Messages measured.
const ROUNDS: usize = 1000;

/// Between two messages both processes sleep, as the stages do between two frames: a warm hop would be faster.
const PAUSE: Duration = Duration::from_millis(2);

/// One way of a message over SOCK_SEQPACKET to another process: half of a round trip.
///
/// # Errors
/// The second process does not start, or ends early.
pub fn between_processes() -> anyhow::Result<Spread> {
    let (here, there) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let mut echo = Command::new(env::current_exe()?).arg("echo").stdin(Stdio::from(there)).spawn()?;
    let mut samples = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        std::thread::sleep(PAUSE);
        let begun = Instant::now();
        write(&here, &MESSAGE)?;
        ensure!(read(&here, &mut [0; MESSAGE.len()])? == MESSAGE.len(), "the other process ended");
        samples.push(begun.elapsed() / 2);
    }
    drop(here);
    echo.wait()?;
    Ok(Spread::of(samples))
}

/// The other process: sends back what comes on its standard input, until that is closed.
///
/// # Errors
/// Standard input is no connected socket.
pub fn echo() -> anyhow::Result<()> {
    let socket: OwnedFd = std::io::stdin().as_fd().try_clone_to_owned().context("no standard input")?;
    let mut message = MESSAGE;
    loop {
        match read(&socket, &mut message) {
            Ok(0) | Err(Errno::CONNRESET) => return Ok(()),
            Ok(length) => drop(write(&socket, message.get(..length).unwrap_or_default())?),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Copying a picture of so many pixels, four bytes each, once: what no conversion can be faster than by much.
pub fn copy_of_a_picture(pixels: usize) -> Spread {
    let from = vec![1_u8; pixels * 4];
    let mut to = vec![0_u8; pixels * 4];
    let samples = (0..100).map(|_| {
        let begun = Instant::now();
        black_box(&mut to).copy_from_slice(black_box(&from));
        begun.elapsed()
    });
    Spread::of(samples.collect())
}
