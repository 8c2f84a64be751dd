use super::*;
use crate::input::{Event, InputError};
use crate::keys::{SessionKey, Side};
use lumen_core::seal::LocalCounter;
use proptest::prelude::*;

const KEY: SessionKey = SessionKey::from_bytes([0x11; 16]);

/// A message of the client.
fn sealed(number: u32, kind: u16, payload: &[u8]) -> Vec<u8> {
    seal::seal(&KEY.cipher(), Side::Client, number, kind, payload)
}

fn opener() -> Opener {
    Opener::new(&KEY, ReplayWindow::default())
}

fn read(kind: u16, payload: &[u8]) -> Result<Incoming, ControlError> {
    Incoming::parse(kind, payload)
}

// The head's layout and length are those of gamestream.md 4.6.
#[test]
fn a_message_has_the_layout_that_clients_send() {
    let bytes = sealed(0x0403_0201, 0x0302, &[0, 0]);
    assert_eq!(bytes[..8], [1, 0, 26, 0, 1, 2, 3, 4]);
    assert_eq!(bytes.len(), 8 + 16 + 6);
    assert_eq!(opener().open(&bytes), Ok((0x0302, vec![0, 0])));
}

// Sabotage: open with the host's letter, skip the tag, or the window.
#[test]
fn only_fresh_messages_of_the_client_are_read() {
    let mut opener = opener();
    let message = sealed(7, 0x0200, &[0; 8]);
    for changed in 4..message.len() {
        let mut forged = message.clone();
        forged[changed] ^= 0x80;
        assert_eq!(opener.open(&forged), Err(ControlError::Forged), "byte {changed}");
    }
    let reflected = seal::seal(&KEY.cipher(), Side::Host, 7, 0x0200, &[0; 8]);
    assert_eq!(opener.open(&reflected), Err(ControlError::Forged));
    assert!(opener.open(&message).is_ok());
    assert_eq!(opener.open(&message), Err(ControlError::Replayed { number: 7 }));
    assert!(opener.open(&sealed(5, 0x0200, &[0; 8])).is_ok(), "overtaken on another channel");
    let mut next = Opener::new(&KEY, opener.window());
    assert_eq!(next.open(&message), Err(ControlError::Replayed { number: 7 }), "after a restart");
    assert!(next.open(&sealed(6, 0x0200, &[0; 8])).is_ok(), "what was not seen is still fresh");
}

// Sabotage: read `message[3]` without a look at the length. (A 1-byte control packet killed a host.)
#[test]
fn short_and_lying_messages_are_refused() {
    let mut opener = opener();
    for len in [0usize, 1, 3] {
        assert_eq!(opener.open(&vec![1; len]), Err(ControlError::Length { got: len }));
    }
    let mut past_the_end = sealed(1, 0x0302, &[0, 0]);
    past_the_end[2] += 1;
    assert_eq!(opener.open(&past_the_end), Err(ControlError::Length { got: 30 }));
    assert_eq!(opener.open(&sealed(1, 0x0302, &[0, 0])[..29]), Err(ControlError::Length { got: 29 }));
    assert_eq!(opener.open(&[2, 3, 2, 0, 0, 0]), Err(ControlError::NotSealed { got: 0x0302 }));
    let mut inner = vec![2, 3, 0xff, 0, 0, 0];
    let tag = KEY.cipher().seal(crate::keys::message_nonce(9, Side::Client, b'C'), &mut inner);
    let lying = [&[1, 0, 26, 0, 9, 0, 0, 0][..], &tag, &inner].concat();
    assert_eq!(opener.open(&lying), Err(ControlError::Length { got: 30 }));
}

#[test]
fn what_clients_say_is_read() {
    assert_eq!(read(0x0302, &[0, 0]), Ok(Incoming::RequestIdr));
    assert_eq!(read(0x0307, &[0]), Ok(Incoming::Start));
    assert_eq!(read(0x0200, &[4, 0, 0, 0, 0, 0, 0, 0]), Ok(Incoming::Ping));
    assert_eq!(read(0x7777, &[]), Ok(Incoming::Unknown { kind: 0x7777 }));
    assert_eq!(read(0x0350, &[5, 0, 0, 0, 0, 0, 0, 0]), Ok(Incoming::LongTermReference { frame: 5 }));
    let mut range = [0; 24];
    range[0] = 10;
    range[8] = 12;
    assert_eq!(read(0x0301, &range), Ok(Incoming::InvalidateReferences { first: 10, last: 12 }));
    range[8] = 9;
    assert_eq!(read(0x0301, &range), Err(ControlError::Range { first: 10, last: 9 }));
    range[..4].fill(0xff);
    assert_eq!(read(0x0301, &range), Ok(Incoming::InvalidateReferences { first: u32::MAX, last: 9 }));
    assert_eq!(read(0x0301, &range[..12]), Err(ControlError::Payload { kind: 0x0301, got: 12 }));
    let status = crate::hex::decode("0000000a0001000200030004000500060007140103").unwrap();
    assert_eq!(
        read(0x5502, &status),
        Ok(Incoming::Fec(FecStatus {
            frame: 10,
            highest: 1,
            next_contiguous: 2,
            missing_before_highest: 3,
            data: 4,
            parity: 5,
            received_data: 6,
            received_parity: 7,
            percent: 20,
            block: 1,
            blocks: 3,
        }))
    );
    assert_eq!(read(0x5502, &status[..20]), Err(ControlError::Payload { kind: 0x5502, got: 20 }));
    let stats: Vec<u8> =
        [3u32, 50, 1000, 99, 0, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let expected = LossStats { lost: 3, period_ms: 50, last_good_frame: 99 };
    assert_eq!(read(0x0201, &stats), Ok(Incoming::Loss(expected)));
    let moved = [0, 0, 0, 8, 7, 0, 0, 0, 0, 1, 0xff, 0xff];
    assert_eq!(read(0x0206, &moved), Ok(Incoming::Input(Event::Motion { dx: 1, dy: -1 })));
    assert!(matches!(read(0x0206, &moved[..7]), Err(ControlError::Input(InputError::Length { .. }))));
}

// Bytes by gamestream.md 4.6.
#[test]
fn what_the_host_says_has_the_layout_that_clients_read() {
    let cases: [(Outgoing, u16, &[u8]); 7] = [
        (Outgoing::Rumble { pad: 1, low: 0x0203, high: 4 }, 0x010b, &[0, 0, 0, 0, 1, 0, 3, 2, 4, 0]),
        (Outgoing::RumbleTriggers { pad: 1, left: 2, right: 3 }, 0x5500, &[1, 0, 2, 0, 3, 0]),
        (
            Outgoing::ReportMotion { pad: 1, rate_hz: 100, sensor: Sensor::Gyroscope },
            0x5501,
            &[1, 0, 100, 0, 2],
        ),
        (Outgoing::Light { pad: 2, rgb: [1, 2, 3] }, 0x5502, &[2, 0, 1, 2, 3]),
        (
            Outgoing::Triggers {
                pad: 0,
                triggers: AdaptiveTriggers { left: None, right: Some((6, [7; 10])) },
            },
            0x5503,
            &[0, 0, 4, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
        ),
        (
            Outgoing::Hdr {
                enabled: true,
                metadata: HdrMetadata {
                    primaries: [(1, 2), (3, 4), (5, 6)],
                    white: (7, 8),
                    max_display: 9,
                    min_display: 10,
                    max_content: 11,
                    max_frame_average: 12,
                    max_full_frame: 13,
                },
            },
            0x010e,
            &[1, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0, 11, 0, 12, 0, 13, 0],
        ),
        (Outgoing::Terminate(Termination::Graceful), 0x0109, &[0x80, 0x03, 0x00, 0x23]),
    ];
    let (mut sealer, mut counter) = (Sealer::new(&KEY), LocalCounter::default());
    for ((message, kind, payload), number) in cases.into_iter().zip(0u32..) {
        let bytes = sealer.seal(&message, &mut counter).unwrap();
        assert_eq!(bytes[4..8], number.to_le_bytes(), "numbers start at 0");
        let nonce = crate::keys::message_nonce(number, Side::Host, b'C');
        let plain = KEY.cipher().open(nonce, &bytes[8..24], &bytes[24..]).unwrap();
        assert_eq!((&plain[..2], &plain[4..]), (&kind.to_le_bytes()[..], payload), "{message:?}");
    }
}

// Sabotage: let the number wrap.
#[test]
fn a_key_seals_no_number_twice() {
    let (mut sealer, mut counter) = (Sealer::new(&KEY), LocalCounter::starting_at(u32::MAX.into()));
    let message = Outgoing::Terminate(Termination::Graceful);
    assert!(sealer.seal(&message, &mut counter).is_ok());
    assert_eq!(sealer.seal(&message, &mut counter), Err(SealError));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80), number: u32) {
        let kinds = [0x0302, 0x0307, 0x0301, 0x0350, 0x0200, 0x0201, 0x5502, 0x0206, 0x0001];
        for kind in kinds {
            let _ = Incoming::parse(kind, &bytes);
        }
        let mut opener = opener();
        prop_assert!(opener.open(&bytes).is_err());
        prop_assert_eq!(opener.open(&sealed(number, 0x0206, &bytes)), Ok((0x0206, bytes)));
    }
}
