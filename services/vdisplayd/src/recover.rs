//! What survives a crash, and what is taken away when nobody will come back for it.

use std::process::ExitCode;

use lumen_stage::{clock::now_ns, failpoint};

use crate::{
    backends::{Backend, sway::keeper::Sweep},
    places::Places,
    run::Run,
};

lumen_stage::steps! {
    /// The Outputs of before are found.
    FOUND = "found";
    /// One of them has its lease again.
    LEASED = "leased";
    /// One of them has its app again.
    SETTLED = "settled";
    /// Those that are gone are forgotten.
    FORGOTTEN = "forgotten";
    /// captured asks for an Output.
    ASKED = "asked";
    /// The Output is there.
    ACQUIRED = "acquired";
    /// It is written down whose it is.
    HELD = "held";
}

/// Takes care again of the Outputs and apps of earlier incarnations, before the stage has a name on the bus.
///
/// An Output that captured had not released still belongs to that captured; the others go on with a new lease.
pub async fn outputs(run: &mut Run) {
    let found = match run.backend.adopt().await {
        Ok(found) => found,
        Err(failure) => return tracing::warn!("cannot look for Outputs of before: {failure}"),
    };
    failpoint::at(FOUND);
    for (session, made) in found {
        tracing::info!(SESSION = %session, "found {} on {}", made.mode, made.backend);
        let holder = std::fs::read_to_string(run.places.file(session, "holder")).ok();
        run.displays.handle_found(session, holder.and_then(|pid| pid.parse().ok()), now_ns());
        failpoint::at(LEASED);
        run.show(session, made);
        run.stay_awake().await;
        run.watch_app(session);
        run.describe_app(session, false).await;
        run.expect_app_again(session).await;
        failpoint::at(SETTLED);
    }
    let orphans = run.places.sessions().into_iter().filter(|session| !run.backend.has(*session));
    orphans.for_each(|session| run.places.forget(session));
    failpoint::at(FORGOTTEN);
}

/// Runs `--sweep SESSION [gnome | SOCKET KEEP…]`, which Output units do when they stop; `None` if `words` say something else.
pub fn sweep(words: impl Iterator<Item = String>) -> Option<ExitCode> {
    let mut words = words.peekable();
    words.next_if(|word| word == "--sweep")?;
    let Some(sweep) = Sweep::parse(words) else {
        eprintln!(
            "usage: lumen-vdisplayd --sweep SESSION [gnome | SOCKET KEPT-OUTPUT...]; units of lumen call it"
        );
        return Some(ExitCode::from(2));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let swept = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        let places = Places::find().map_err(|error| error.to_string())?;
        runtime.block_on(sweep.run(&places)).map_err(|error| error.to_string())
    });
    match swept {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            eprintln!("the Output of session {} may be left over: {error}", sweep.session);
            Some(ExitCode::FAILURE)
        }
    }
}
