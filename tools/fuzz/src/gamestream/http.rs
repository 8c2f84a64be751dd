//! Requests of both doors.

use lumen_gamestream::hex;
use lumen_gamestream::http::{
    Call, Caller, LaunchQuery, Parsed, Refusal, Request, RequestError, ResumeQuery,
};

use crate::Script;

/// A request of someone: anyone over plain HTTP, a stranger over TLS, a Client.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let caller = match script.u8() % 3 {
        0 => Caller::Plain,
        1 => Caller::Stranger,
        _ => Caller::Client,
    };
    let received = script.rest();
    let Some(request) = read(received) else {
        return;
    };
    assert!(request.path.starts_with('/') && request.path.bytes().all(|byte| byte.is_ascii_graphic()));
    match Call::parse(&request, caller) {
        Err(refusal) => refused(&request, caller, &refusal),
        Ok(call) => allowed(caller, &call),
    }
}

/// What is decided of the beginning of a connection holds whatever follows.
fn read(received: &[u8]) -> Option<Request> {
    let (half, _) = received.split_at(received.len() / 2);
    let parsed = Request::parse(received);
    match Request::parse(half) {
        Ok(Parsed::Partial) => {}
        decided => assert_eq!(decided, parsed, "what came later changed what was decided"),
    }
    match parsed {
        Ok(Parsed::Whole(request)) => Some(request),
        Ok(Parsed::Partial) => None,
        Err(error) => {
            assert!((400..600).contains(&error.status()));
            let too_long = error == RequestError::TooLong;
            assert!(too_long || !error.to_string().is_empty());
            None
        }
    }
}

/// Strangers hear little, and over TLS only that they are strangers.
fn refused(request: &Request, caller: Caller, refusal: &Refusal) {
    let response = refusal.response(&request.path);
    assert_eq!(response.status, 200, "clients read the status in the XML");
    assert!(response.to_bytes().ends_with(&response.body));
    if caller != Caller::Client {
        assert!(response.body.len() <= 512, "{} bytes for a stranger", response.body.len());
    }
    assert!(caller != Caller::Stranger || *refusal == Refusal::NotPaired);
}

fn allowed(caller: Caller, call: &Call) {
    match caller {
        Caller::Client => {}
        Caller::Plain => assert!(matches!(call, Call::ServerInfo | Call::Pair(_)), "{call:?} for anyone"),
        Caller::Stranger => assert_eq!(Some(call), None, "a stranger reached it"),
    }
    match call {
        Call::AppAsset { app } => assert_ne!(*app, 0),
        Call::Launch(launch) => launched(launch),
        Call::Resume(resume) => {
            let text = format!("/resume?{}", keys(resume));
            assert_eq!(ask(&text), Ok(Call::Resume(*resume)));
        }
        _ => {}
    }
}

/// All is within bounds, and asked for again it is the same.
fn launched(launch: &LaunchQuery) {
    let mode = launch.mode;
    assert!((128..=8192).contains(&mode.width) && (128..=8192).contains(&mode.height));
    assert!((10..=480).contains(&mode.fps) && launch.app != 0);
    let (width, height, fps) = (mode.width, mode.height, mode.fps);
    let text = format!(
        "/launch?appid={}&mode={width}x{height}x{fps}&hdrMode={}&localAudioPlayMode={}&surroundAudioInfo={}&remoteControllersBitmap={}&{}",
        launch.app,
        u8::from(launch.hdr),
        u8::from(launch.local_audio),
        launch.surround.channels(),
        launch.pads,
        keys(&launch.resume),
    );
    assert_eq!(ask(&text), Ok(Call::Launch(*launch)), "{text}");
}

fn keys(resume: &ResumeQuery) -> String {
    format!("rikey={}&rikeyid={}&corever=1", hex::encode(resume.key.as_bytes()), resume.key_id)
}

fn ask(target: &str) -> Result<Call, Refusal> {
    let text = format!("GET {target} HTTP/1.1\r\n\r\n");
    match Request::parse(text.as_bytes()) {
        Ok(Parsed::Whole(request)) => Call::parse(&request, Caller::Client),
        _ => Err(Refusal::NotPaired),
    }
}
