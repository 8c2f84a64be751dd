//! `lumen-probe`: a client without a screen. It streams, decodes, judges and records what it saw.
#![forbid(unsafe_code)]

mod args;
mod change;
mod clock;
mod connection;
mod decode;
mod ear;
mod failure;
mod identity;
mod intervals;
mod judge;
mod known_hosts;
mod latency;
mod link;
mod mouth;
mod notice;
mod picture;
mod pointer;
mod pulse;
mod record;
mod report;
mod script;
mod signal;
mod stream;
mod tidings;
mod video;
mod workers;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;

use crate::{
    args::{Args, Command, StreamArgs},
    connection::{Dialer, Expectation},
    failure::Failure,
    identity::{Identity, IdentityError},
    known_hosts::KnownHosts,
    record::Recording,
    report::Summary,
    stream::{End, Outcome, Stream},
};

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("lumen-probe: {failure}");
            failure.exit_code()
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let home = args.identity.clone().or_else(state_directory).ok_or(IdentityError::NoPlace)?;
    let identity = Identity::load_or_make(&home)?;
    if let Some(Command::Fingerprint) = args.command {
        println!("{}", identity.fingerprint());
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Failure::System { act: "start the runtime", source })?;
    runtime.block_on(stream(&args.stream, identity, &home))
}

/// `$XDG_STATE_HOME/lumen-probe`, else `~/.local/state/lumen-probe`.
fn state_directory() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("lumen-probe"))
}

/// Streams, and reports what came also when the end was not as wished.
async fn stream(args: &StreamArgs, identity: Identity, home: &Path) -> Result<(), Failure> {
    let known = KnownHosts::at(args.known_hosts.clone().unwrap_or_else(|| home.join("known_hosts")));
    let expected = Expectation::of(args.host, args.pin, &known)?;
    let is_new = matches!(expected, Expectation::Unknown);
    let recording = Recording::create(&args.outputs)?;
    let dialer = Dialer::new(args.host, expected, identity)?;
    let stream = Stream::open(args, &dialer, recording).await?;
    if let (true, Some(host)) = (is_new, dialer.proven()) {
        eprintln!("lumen-probe: {} is new and has the fingerprint {host}; it is remembered", args.host);
        known.remember(args.host, &host)?;
    }
    report(args, &dialer, stream.run().await)
}

/// Writes the summary of a session that was launched; says what was wrong with it.
fn report(args: &StreamArgs, dialer: &Dialer, outcome: Outcome) -> Result<(), Failure> {
    let yielded = outcome.yielded?;
    let end = match &outcome.end {
        End::Enough => "as asked".into(),
        End::Interrupted => "by a signal".into(),
        End::NoPicture(_) => "no picture came".into(),
        End::Failed(failure) => failure.to_string(),
    };
    let pictures = yielded.decoded.frames + yielded.decoded.repeats;
    if !outcome.session.is_empty() {
        let mut summary = Summary {
            host: dialer.proven().map_or_else(String::new, |host| host.to_string()),
            address: args.host.to_string(),
            session: outcome.session,
            connections: outcome.connections,
            fps: 0.0,
            bitrate_bps: 0.0,
            launch_to_picture_ms: outcome.launch_to_picture.map_or(0.0, |time| time.as_secs_f64() * 1e3),
            end,
            decoded: yielded.decoded,
            network: yielded.network,
            clock: outcome.clock,
            sound: outcome.heard,
            microphone: outcome.spoken,
            tidings: outcome.tidings,
        };
        summary.derive_rates();
        summary.write(args.outputs.json.as_deref())?;
    }
    match outcome.end {
        End::Failed(failure) => Err(failure),
        End::Enough | End::Interrupted if pictures > 0 => Ok(()),
        End::NoPicture(waited) => Err(no_picture(waited, &yielded.network)),
        End::Enough | End::Interrupted => Err(no_picture(args.patience, &yielded.network)),
    }
}

fn no_picture(waited: std::time::Duration, network: &video::NetworkSummary) -> Failure {
    Failure::NoPicture { waited, frames: network.whole, datagrams: network.datagrams }
}
