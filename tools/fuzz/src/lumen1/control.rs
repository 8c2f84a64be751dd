//! The control stream's messages.

use lumen_core::control::{Decoder, MalformedMessage, Message};

use crate::Script;

/// A stream says the same in whatever pieces it comes, and what is read is written so that it is read again.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let piece = usize::from(script.u8()) + 1;
    let stream = script.rest();
    let whole = read([stream].into_iter());
    assert_eq!(read(stream.chunks(piece)), whole, "in pieces of {piece} it is another");
    for message in &whole.0 {
        let again = message.to_bytes();
        assert_eq!(read([&again[..]].into_iter()), (vec![message.clone()], None), "{}", message.name());
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Message>, Option<MalformedMessage>) {
    let (mut decoder, mut messages) = (Decoder::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(malformed) => return (messages, Some(malformed)),
            }
        }
    }
    (messages, None)
}
