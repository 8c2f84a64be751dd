use super::*;
use crate::record::{
    gamestream::tests::{CONNECT, terms},
    tests::fixed,
};
use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use lumen_gamestream::hex::{decode, encode};

fn at(ms: u64) -> Timestamp {
    Timestamp::from_ns(1_000_000_000) + Duration::from_millis(ms)
}

fn place(port: u16) -> Destination {
    Destination { to: ([127, 0, 0, 1], port).into(), from: None }
}

fn record() -> Arc<Record> {
    Arc::new(Record::make_gamestream(&fixed(1), &terms(), 1).unwrap())
}

fn talk(record: &Arc<Record>, ms: u64) -> Talk {
    Talk::new(record.clone(), &terms(), PeerId::new(7).unwrap(), at(ms))
}

fn outputs(talk: &mut Talk) -> Vec<Output> {
    std::iter::from_fn(|| talk.poll_output()).collect()
}

/// One whose client has connected and acknowledged that.
fn connected(record: &Arc<Record>) -> Talk {
    let mut talk = talk(record, 0);
    talk.handle_datagram(&decode(CONNECT).unwrap(), place(1), at(0));
    outputs(&mut talk);
    talk.handle_datagram(&decode("8007000001ff000100010000").unwrap(), place(1), at(1));
    talk
}

/// A reliable message on channel 2, sealed by the client: a key of Windows.
fn key(number: u8, code: u8, pressed: bool) -> Vec<u8> {
    let magic = if pressed { 3 } else { 4 };
    let mut body = vec![6, 2, 14, 0, 0, 0, 0, 10, magic, 0, 0, 0, 0, code, 0x80, 0, 0, 0];
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &terms().key).unwrap());
    let nonce = Nonce::assume_unique_for_key([number, 0, 0, 0, 0, 0, 0, 0, 0, 0, b'C', b'C']);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::empty(), &mut body).unwrap();
    let sealed = [&[1, 0, 20 + body.len() as u8, 0, number, 0, 0, 0], tag.as_ref(), &body].concat();
    let head = [0x80, 7, 0, 0, 0x86, 2, 0, number + 1, 0, sealed.len() as u8];
    [&head[..], &sealed].concat()
}

fn press(code: u16, pressed: bool) -> Output {
    Output::Wish(Wish::Input(Input::Key { code, pressed }))
}

/// Sabotage: answer any connect, or one that says another number.
#[test]
fn only_a_connect_with_the_sessions_number_is_answered() {
    let (record, mut other) = (record(), decode(CONNECT).unwrap());
    let mut talk = talk(&record, 0);
    *other.last_mut().unwrap() = 8;
    for datagram in [&other[..], b"", b"\x80\x07\0\0\x05\xff\0\x02"] {
        talk.handle_datagram(datagram, place(1), at(0));
        assert_eq!(outputs(&mut talk), []);
    }
    talk.handle_datagram(&decode(CONNECT).unwrap(), place(1), at(0));
    let [Output::Send(bytes, to)] = &outputs(&mut talk)[..] else {
        panic!("it was not answered once");
    };
    assert!(encode(bytes).contains("deadbeef") && *to == place(1));
}

/// Sabotage: let an acknowledgement out before the record has what it acknowledges.
#[test]
fn what_was_acknowledged_is_in_the_record_and_not_done_twice() {
    let record = record();
    let mut first = connected(&record);
    outputs(&mut first);
    let message = key(0, b'A', true);
    first.handle_datagram(&message, place(1), at(2));
    // It dies here, with the acknowledgement and the key in its hands.
    let mut next = talk(&record, 3);
    assert_eq!(record.held().as_slice(), [30]);
    let before = outputs(&mut next);
    assert!(before.iter().all(|output| matches!(output, Output::Send(..))), "{before:?}");
    next.handle_datagram(&message, place(1), at(4));
    let again = outputs(&mut next);
    assert!(matches!(again[..], [Output::Send(..)]), "acknowledged and not pressed again: {again:?}");
    next.handle_datagram(&key(1, b'A', false), place(1), at(5));
    assert!(outputs(&mut next).contains(&press(30, false)));
    assert!(record.held().is_empty());
}

/// Sabotage: take whoever names the peer for the client.
#[test]
fn another_address_is_not_the_client() {
    let record = record();
    let mut talk = connected(&record);
    outputs(&mut talk);
    talk.handle_datagram(&key(0, b'A', true), place(2), at(2));
    talk.handle_datagram(&decode("8007000084ff000200000000").unwrap(), place(2), at(2));
    assert_eq!(outputs(&mut talk), []);
    assert!(!talk.is_over());
}

/// Sabotage: leave keys down whose client is gone.
#[test]
fn a_client_that_goes_holds_nothing_down() {
    let record = record();
    let mut talk = connected(&record);
    talk.handle_datagram(&key(0, b'A', true), place(1), at(2));
    outputs(&mut talk);
    talk.handle_datagram(&decode("8007000084ff000200000000").unwrap(), place(1), at(3));
    let last = outputs(&mut talk);
    assert!(last.ends_with(&[press(30, false), Output::Closed("the client quit")]), "{last:?}");
    assert!(talk.is_over() && super::Talk::new(record.clone(), &terms(), talk.id(), at(4)).is_over());
    assert!(record.held().is_empty(), "the next incarnation presses nothing");
}

#[test]
fn a_client_that_is_silent_or_never_comes_is_gone() {
    let mut never = talk(&record(), 0);
    assert_eq!(never.poll_timeout(), Some(at(0) + PATIENCE));
    never.handle_timeout(at(0) + PATIENCE);
    assert_eq!(outputs(&mut never), [Output::Closed("it did not connect")]);
    let mut silent = connected(&record());
    let mut said = Vec::new();
    while let Some(due) = silent.poll_timeout() {
        silent.handle_timeout(due);
        said.extend(outputs(&mut silent));
        assert!(due <= at(0) + enet::TIMEOUT + Duration::from_millis(10));
    }
    assert_eq!(said.last(), Some(&Output::Closed("the client was silent")));
}

/// Sabotage: wait for a client that does not answer.
#[test]
fn who_is_sent_away_is_told_and_then_gone() {
    let mut talk = connected(&record());
    outputs(&mut talk);
    talk.part(at(10));
    assert!(matches!(outputs(&mut talk)[..], [Output::Send(..)]));
    talk.handle_timeout(at(10) + LAST_WORDS);
    assert_eq!(outputs(&mut talk), [Output::Closed("the host ended it")]);
}
