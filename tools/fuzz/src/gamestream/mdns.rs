//! Questions of multicast DNS, from anyone on the link.

use std::net::Ipv4Addr;

use lumen_gamestream::mdns::{Service, label};

/// What is answered, to whom, and how much.
pub(super) fn run(bytes: &[u8]) {
    let address = Ipv4Addr::new(192, 0, 2, 7);
    let service = Service { name: "tower".into(), host: "lumen-00ff".into(), port: 47989, address };
    if let Some(answer) = service.answer(bytes) {
        assert!(answer.len() <= 512, "{} bytes", answer.len());
        assert_eq!(service.answer(&answer), None, "its own answer is no question");
        assert!(bytes.get(2).is_some_and(|flags| flags & 0x80 == 0), "an answer was answered");
    }
    if let Ok(name) = std::str::from_utf8(bytes) {
        let label = label(name);
        assert!((1..=63).contains(&label.len()));
        assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
    }
}
