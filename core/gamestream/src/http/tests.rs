use super::*;
use crate::pairing::{PairRequest, PairingError};
use proptest::prelude::*;
use std::net::IpAddr;

const KEY: &str = "000102030405060708090a0b0c0d0e0f";

fn get(target: &str) -> Request {
    let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let Ok(Parsed::Whole(request)) = Request::parse(text.as_bytes()) else { panic!("{target}") };
    request
}

fn launch(changes: &[(&str, &str)]) -> Result<Call, Refusal> {
    let mut fields = vec![
        ("appid", "7"),
        ("mode", "1920x1080x60"),
        ("rikey", KEY),
        ("rikeyid", "-5"),
        ("localAudioPlayMode", "0"),
        ("surroundAudioInfo", "196610"),
        ("corever", "1"),
    ];
    for &(name, value) in changes {
        fields.retain(|(field, _)| *field != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    let query: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Call::parse(&get(&format!("/launch?{}", query.join("&"))), Caller::Client)
}

/// The attribute of the root and the texts of its elements.
fn read(response: &Response) -> (String, Vec<(String, String)>) {
    let text = String::from_utf8(response.body.clone()).unwrap();
    let tree = roxmltree::Document::parse(&text).unwrap();
    let root = tree.root_element();
    let elements = root.children().filter(|node| node.is_element());
    let texts =
        elements.map(|node| (node.tag_name().name().to_owned(), node.text().unwrap_or_default().to_owned()));
    (root.attribute("status_code").unwrap().to_owned(), texts.collect())
}

fn value(response: &Response, name: &str) -> Option<String> {
    read(response).1.into_iter().find(|(field, _)| field == name).map(|(_, text)| text)
}

// Sabotage: give any other route `Access::Anyone`, or let a stranger on TLS pass.
#[test]
fn a_stranger_reaches_serverinfo_and_pair_only() {
    let mut reached = Vec::new();
    for route in Route::ALL {
        let request = get(route.path());
        assert_eq!(Call::parse(&request, Caller::Stranger), Err(Refusal::NotPaired), "over TLS: nothing");
        match Call::parse(&request, Caller::Plain) {
            Err(Refusal::NotFound { .. }) => {}
            _ => reached.push(route),
        }
    }
    assert_eq!(reached, [Route::ServerInfo, Route::Pair]);
    let refused = Refusal::NotPaired.response("/applist");
    assert_eq!((refused.status, read(&refused).0.as_str()), (200, "401"), "inside TLS, as XML");
    let unknown = Call::parse(&get("/admin/../etc"), Caller::Client).unwrap_err().response("/admin/../etc");
    assert_eq!(read(&unknown).0, "404");
}

// Sabotage: repeat the whole path.
#[test]
fn what_a_stranger_is_refused_is_short_whatever_it_asks() {
    let path = format!("/{}", "&".repeat(10_000));
    for (caller, status) in [(Caller::Plain, "404"), (Caller::Stranger, "401")] {
        let response = Call::parse(&get(&path), caller).unwrap_err().response(&path);
        assert_eq!(read(&response).0, status);
        assert!(response.body.len() <= 512, "{} bytes", response.body.len());
    }
}

// Sabotage: say the MAC, the session or PairStatus to anyone.
#[test]
fn what_anyone_learns_is_short_and_says_nothing_of_clients() {
    let mut info = answers::ServerInfo {
        name: &"h".repeat(63),
        unique_id: &"u".repeat(16),
        https_port: 47984,
        http_port: 47989,
        local: "192.168.100.200".parse().unwrap(),
        codecs: answers::Codecs::H264
            .and(answers::Codecs::HEVC)
            .and(answers::Codecs::HEVC_MAIN10)
            .and(answers::Codecs::AV1),
        asker: answers::Asker::Anyone,
    };
    let plain = info.response();
    assert!(plain.body.len() <= 512, "{} bytes", plain.body.len());
    assert_eq!(value(&plain, "PairStatus").as_deref(), Some("0"));
    assert_eq!(value(&plain, "mac").as_deref(), Some("00:00:00:00:00:00"));
    assert_eq!(
        value(&plain, "currentgame").as_deref(),
        Some("0"),
        "what lacks it is no answer to moonlight-embedded"
    );
    assert!(!value(&plain, "state").unwrap().ends_with("_SERVER_BUSY"));
    assert_eq!(value(&plain, "ServerCodecModeSupport").as_deref(), Some("66305"));
    info.asker = answers::Asker::Client { mac: [2, 0, 0, 0, 0, 0xff], current_app: Some(-9) };
    info.local = "fe80::1".parse().unwrap();
    let client = info.response();
    assert_eq!(value(&client, "mac").as_deref(), Some("02:00:00:00:00:ff"));
    assert_eq!(value(&client, "currentgame").as_deref(), Some("-9"));
    assert!(value(&client, "state").unwrap().ends_with("_SERVER_BUSY"));
    assert_eq!(value(&client, "LocalIP").as_deref(), Some("127.0.0.1"), "asked over IPv6");
}

#[test]
fn a_launch_is_read() {
    let Ok(Call::Launch(query)) = launch(&[]) else { panic!() };
    assert_eq!(query.mode, Mode { width: 1920, height: 1080, fps: 60 });
    assert_eq!((query.app, query.resume.key_id), (7, -5));
    assert_eq!(query.resume.key.as_bytes()[15], 15);
    assert_eq!((query.hdr, query.local_audio, query.surround), (false, false, Surround::Stereo));
    let Ok(Call::Launch(unsigned)) = launch(&[("rikeyid", "4294967291"), ("corever", "2")]) else { panic!() };
    assert_eq!(unsigned.resume.key_id, -5);
    let Ok(Call::Launch(loud)) = launch(&[("surroundAudioInfo", "4128774"), ("appid", "-2147483648")]) else {
        panic!()
    };
    assert_eq!((loud.surround, loud.app), (Surround::FiveOne, i32::MIN));
}

// Sabotage: take any of these.
#[test]
fn bad_launches_are_refused_in_words_a_client_can_show() {
    let cases = [
        ("rikey", "", "no rikey"),
        ("rikey", "0001", "32 hexadecimal digits"),
        ("rikey", &format!("{}g", &KEY[1..]), "32 hexadecimal digits"),
        ("rikeyid", "4294967296", "32 bits"),
        ("rikeyid", "-2147483649", "32 bits"),
        ("rikeyid", "five", "32 bits"),
        ("mode", "0x0x0", "0x0x0"),
        ("mode", "1x1x1000", "1x1x1000"),
        ("mode", "9999x9999x60", "128 to 8192 pixels"),
        ("mode", "1920x1080", "1920x1080x60"),
        ("mode", "1920x1080x60x1", "1920x1080x60"),
        ("mode", "-1x1080x60", "1920x1080x60"),
        ("mode", "99999999999x1080x60", "1920x1080x60"),
        ("appid", "", "no appid"),
        ("appid", "0", "an app in the list"),
        ("appid", "2147483648", "a number"),
        ("localAudioPlayMode", "", "no localAudioPlayMode"),
        ("surroundAudioInfo", "3", "2, 6 or 8 channels"),
        ("corever", "", "RTSP is sealed"),
        ("corever", "0", "RTSP is sealed"),
    ];
    for (name, bad, expected) in cases {
        let refusal = launch(&[(name, bad)]).unwrap_err();
        let text = refusal.to_string();
        assert!(text.contains(expected), "{name}={bad}: {text}");
        let response = refusal.response("/launch");
        assert_eq!(read(&response).0, "400");
        assert!(String::from_utf8(response.body).unwrap().contains("status_message"));
    }
    let twice = Call::parse(&get(&format!("/resume?rikey={KEY}&rikey={KEY}&rikeyid=1")), Caller::Client);
    assert_eq!(twice, Err(Refusal::Query(QueryError::Twice { name: "rikey" })));
}

#[test]
fn the_phases_of_pairing_are_told_apart() {
    let pair =
        |query: &str, caller| Call::parse(&get(&format!("/pair?uniqueid=0123456789ABCDEF&{query}")), caller);
    let salt = format!("phrase=getservercert&salt={KEY}&clientcert=2d2D");
    let first = pair(&salt, Caller::Plain);
    let salt = std::array::from_fn(|index| index as u8);
    let expected = PairRequest::GetServerCert { salt, certificate: b"--".to_vec() };
    assert_eq!(first, Ok(Call::Pair(expected)));
    assert_eq!(
        pair("clientchallenge=00", Caller::Plain),
        Ok(Call::Pair(PairRequest::ClientChallenge(vec![0])))
    );
    assert_eq!(pair("phrase=pairchallenge", Caller::Client), Ok(Call::Pair(PairRequest::PairChallenge)));
    assert_eq!(pair("phrase=pairchallenge", Caller::Plain), Err(Refusal::NotPaired));
    assert!(matches!(
        pair("clientchallenge=0", Caller::Plain),
        Err(Refusal::Pairing(PairingError::Hex { .. }))
    ));
    assert!(matches!(pair("phrase=getservercert&salt=00", Caller::Plain), Err(Refusal::Pairing(_))));
    assert!(matches!(pair("", Caller::Plain), Err(Refusal::Query(QueryError::Missing { .. }))));
}

#[test]
fn answers_say_what_clients_look_for() {
    let apps = [answers::App { id: 1, title: "A & <B>".into(), hdr: true }];
    let list = String::from_utf8(answers::app_list(&apps).body).unwrap();
    assert!(list.contains(
        "<App><IsHdrSupported>1</IsHdrSupported><AppTitle>A &amp; &lt;B&gt;</AppTitle><ID>1</ID></App>"
    ));
    let url = |local: &str| answers::SessionUrl { local: local.parse::<IpAddr>().unwrap(), port: 48010 };
    let launched = answers::launched(url("192.0.2.1"));
    assert_eq!(value(&launched, "sessionUrl0").as_deref(), Some("rtspenc://192.0.2.1:48010"));
    assert_eq!(value(&launched, "gamesession").as_deref(), Some("1"));
    let resumed = answers::resumed(url("2001:db8::1"));
    assert_eq!(value(&resumed, "sessionUrl0").as_deref(), Some("rtspenc://[2001:db8::1]:48010"));
    assert_eq!(value(&resumed, "resume").as_deref(), Some("1"));
    assert_eq!(value(&answers::cancelled(), "cancel").as_deref(), Some("1"));
    let failed = answers::pair(&crate::pairing::Answer::Failed(PairingError::WrongPin));
    assert_eq!((read(&failed).0.as_str(), value(&failed, "paired").as_deref()), ("400", Some("0")));
    let bytes = String::from_utf8(answers::cancelled().to_bytes()).unwrap();
    assert!(bytes.starts_with("HTTP/1.1 200 OK\r\n") && bytes.contains("\r\nConnection: close\r\n"));
}

// Sabotage: search the end of the head beyond MAX_HEAD, or take another method or a body.
#[test]
fn what_is_no_request_is_told_apart() {
    let error = |text: &str| Request::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error("POST /pair HTTP/1.1\r\n\r\n"), RequestError::Method);
    assert_eq!(error("GET /pair HTTP/2\r\n\r\n"), RequestError::Version);
    assert_eq!(error("GET  /pair HTTP/1.1\r\n\r\n"), RequestError::RequestLine);
    assert_eq!(error("GET pair HTTP/1.1\r\n\r\n"), RequestError::RequestLine);
    assert_eq!(error("GET /pa\u{e9}r HTTP/1.1\r\n\r\n"), RequestError::RequestLine);
    assert_eq!(error("GET /pair?a=%f HTTP/1.1\r\n\r\n"), RequestError::Query);
    assert_eq!(error("GET /pair?a=%ff HTTP/1.1\r\n\r\n"), RequestError::Query);
    assert_eq!(error("GET / HTTP/1.1\r\nnonsense\r\n\r\n"), RequestError::Header);
    assert_eq!(error("GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n"), RequestError::Body);
    assert_eq!(error("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), RequestError::Body);
    assert_eq!(error(&format!("GET /?{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20))), RequestError::TooLong);
    assert_eq!(error(&format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(40))), RequestError::Header);
    assert_eq!(Request::parse(b"GET / HTTP/1.1\r\nHost: a\r\n"), Ok(Parsed::Partial));
    assert_eq!(get("/a?b=%20c&d").query.need("b"), Ok(" c"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(
        bytes in prop::collection::vec(any::<u8>(), 0..300), target in "[ -~]{0,200}", caller in 0usize..3,
    ) {
        let _ = Request::parse(&bytes);
        let caller = [Caller::Plain, Caller::Stranger, Caller::Client][caller];
        for route in Route::ALL {
            let text = format!("GET {}?{target} HTTP/1.1\r\n\r\n", route.path());
            if let Ok(Parsed::Whole(request)) = Request::parse(text.as_bytes())
                && let Err(refusal) = Call::parse(&request, caller)
            {
                let response = refusal.response(&request.path);
                prop_assert!(roxmltree::Document::parse(std::str::from_utf8(&response.body).unwrap()).is_ok());
            }
        }
    }
}
