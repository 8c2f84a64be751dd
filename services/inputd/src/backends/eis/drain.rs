//! Connections on which fingers were down, each let go of once they are up: those of Seats that ended, and those that an inputd
//! that died left in systemd's fd store.

use std::{
    future::Future,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use lumen_stage::{
    clock::now_ns,
    inherited::{self, Stored},
};
use reis::ei;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown},
};

use super::record::{Record, Slot};

/// Between the compositor's word that it has read that the fingers are up, and the connection's end. Because it handles the end of a
/// touch some time after it has read of it (Mutter with its next frame), and the device is gone with the connection; and because
/// the next connection is there by then (a Seat asks again after 100 ms), so that the desktop is never without a keyboard: a program
/// misses what is pressed while it takes notice of one.
const HANDLED: Duration = Duration::from_millis(300);

/// Most that is read in search of an answer.
const MOST: usize = 1 << 20;

/// All such connections. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct Drains(Arc<AtomicUsize>);

impl Drains {
    /// Lets go of the connections that an incarnation before left in `stored`; what else there is is removed from the store.
    pub fn adopt(mut stored: Vec<Stored>) -> Self {
        let drains = Self::default();
        let adopted = Record::adopt(&mut stored);
        inherited::discard(stored);
        for (record, socket) in adopted {
            drains.run(move || {
                tracing::info!("lifting the fingers that the inputd before had down");
                inherit(&socket, record)
            });
        }
        drains
    }

    /// Lets go of `context`, on which there is what `record` says.
    pub(super) fn begin(&self, context: ei::Context, record: Record) {
        self.run(move || finish(&context, record));
    }

    /// Waits until none is left, at most `limit`. Because a key that is pressed anew while the older connection still holds it goes up
    /// with that (seen with Mutter 51).
    pub(super) fn wait(&self, limit: Duration) {
        let end = Instant::now() + limit;
        while self.0.load(Relaxed) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until none is left, at most `limit`; then the next inputd lets go of them.
    pub fn all_ended(self, limit: Duration) -> impl Future<Output = ()> {
        let all_ended = async move {
            while self.0.load(Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        async move {
            let _ = tokio::time::timeout(limit, all_ended).await;
        }
    }

    fn run(&self, drain: impl FnOnce() -> io::Result<()> + Send + 'static) {
        let count = self.0.clone();
        count.fetch_add(1, Relaxed);
        let spawned = thread::Builder::new().name("drain".to_owned()).spawn(move || {
            if let Err(error) = drain() {
                tracing::debug!("a connection to EIS ended with its fingers: {error}");
            }
            count.fetch_sub(1, Relaxed);
        });
        if let Err(error) = spawned {
            self.0.fetch_sub(1, Relaxed);
            tracing::warn!("fingers stay down until inputd is started again: {error}");
        }
    }
}

/// Lets go of a connection of our own.
fn finish(context: &ei::Context, mut record: Record) -> io::Result<()> {
    loop {
        match context.flush() {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) => await_ready(context, PollFlags::OUT)?,
            Err(error) => {
                record.remove();
                return Err(error.into());
            }
        }
    }
    record.settle()?;
    let socket = context.as_fd().try_clone_to_owned()?;
    let lifted = lift(&socket, &mut record);
    end(&socket, record, lifted)
}

/// Lets go of a connection of the inputd before.
fn inherit(socket: &OwnedFd, mut record: Record) -> io::Result<()> {
    let lifted = match record.said().is_ragged {
        false => inquire(socket, &mut record).and_then(|()| lift(socket, &mut record)),
        true => Err(io::Error::other("the inputd before died within a message")),
    };
    end(socket, record, lifted)
}

/// Ends the connection now: systemd closes what was in its fd store some time after it was taken out.
fn end(socket: &OwnedFd, record: Record, result: io::Result<()>) -> io::Result<()> {
    // Where the compositor has ended it before, there is nothing to end.
    let _ = shutdown(socket, Shutdown::Both);
    record.remove();
    result
}

/// Learns of all that was on its way whether it was sent.
fn inquire(socket: &OwnedFd, record: &mut Record) -> io::Result<()> {
    let callback = callback();
    say(socket, &sync(record, callback))?;
    let heard = hear(socket, callback)?;
    record.edit(|said| {
        for slot in &mut said.slots {
            if let Slot::Going { down, callback } = *slot {
                *slot = if is_done(&heard, callback) == down { Slot::Down } else { Slot::Up };
            }
        }
    })
}

/// Lifts all fingers that are down, and waits until that has happened.
fn lift(socket: &OwnedFd, record: &mut Record) -> io::Result<()> {
    let callback = callback();
    let said = record.said();
    let down = (1u32..).zip(said.slots).filter(|(_, slot)| *slot == Slot::Down);
    // Older servers know no cancelling.
    let opcode = if said.cancels { CANCEL } else { UP };
    let mut words: Vec<u8> =
        down.flat_map(|(number, _)| message(said.touchscreen, opcode, &[&number.to_ne_bytes()])).collect();
    if !words.is_empty() {
        let time_us = now_ns() / 1000;
        words.extend(message(said.device, FRAME, &[&said.serial.to_ne_bytes(), &time_us.to_ne_bytes()]));
    }
    words.extend(sync(record, callback));
    record.edit(|said| {
        let down = said.slots.iter_mut().filter(|slot| **slot == Slot::Down);
        down.for_each(|slot| *slot = Slot::Going { down: false, callback });
    })?;
    say(socket, &words)?;
    record.settle()?;
    hear(socket, callback)?;
    thread::sleep(HANDLED);
    Ok(())
}

/// EI's numbers of the requests.
const SYNC: u32 = 0;
const UP: u32 = 3;
const CANCEL: u32 = 4;
const FRAME: u32 = 3;

/// One request: its header, and its arguments.
fn message(object: u64, opcode: u32, arguments: &[&[u8]]) -> Vec<u8> {
    let arguments = arguments.concat();
    // Fits: it is less than a hundred.
    let length = 16 + arguments.len() as u32;
    [&object.to_ne_bytes()[..], &length.to_ne_bytes(), &opcode.to_ne_bytes(), &arguments].concat()
}

fn sync(record: &Record, callback: u64) -> Vec<u8> {
    message(record.said().connection, SYNC, &[&callback.to_ne_bytes(), &1u32.to_ne_bytes()])
}

/// An object of the client's side that none was called before: reis counts from 1. Of 32 bits, because libeis (1.3.901) forgets the
/// rest of a callback's.
fn callback() -> u64 {
    1 << 31 | (now_ns() >> 10) & 0x7fff_ffff
}

/// Whether `heard` has the compositor's word that it has read what came before the `sync` of this `callback`. What was heard may begin
/// within a message, of which the inputd before has read the rest.
fn is_done(heard: &[u8], callback: u64) -> bool {
    let done = [&callback.to_ne_bytes()[..], &24u32.to_ne_bytes(), &0u32.to_ne_bytes()].concat();
    heard.windows(done.len()).any(|window| window == done)
}

/// Sends all of it at once: the kernel takes some hundred bytes whole or not at all.
fn say(socket: &OwnedFd, words: &[u8]) -> io::Result<()> {
    loop {
        match send(socket, words, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => return Ok(()),
            Err(Errno::WOULDBLOCK) => await_ready(socket, PollFlags::OUT)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// All that comes until `callback` is done.
fn hear(socket: &OwnedFd, callback: u64) -> io::Result<Vec<u8>> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 4096]);
    while !is_done(&heard, callback) {
        if heard.len() > MOST {
            return Err(io::Error::other("the compositor says much and does not answer"));
        }
        match recv(socket, &mut buffer, RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((count, _)) => heard.extend(buffer.iter().take(count)),
            Err(Errno::WOULDBLOCK) => await_ready(socket, PollFlags::IN)?,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(heard)
}

/// Waits as long as it takes: a compositor that hangs would die of a connection that ended meanwhile.
fn await_ready(socket: &impl AsFd, flags: PollFlags) -> io::Result<()> {
    match poll(&mut [PollFd::new(socket, flags)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumen_ipc::input::MAX_FINGERS;
    use std::{
        io::{Read, Write},
        os::unix::net::UnixStream,
    };

    const SCREEN: u64 = 0xff00_0000_0000_0009;

    /// A compositor: answers each `sync` and notes the fingers that went up, until the connection ends. It said something of which the
    /// inputd before has read a part, and that it has read the `sync` of callback 7.
    fn compositor(mut socket: UnixStream) -> Vec<(u32, u32)> {
        let done = |callback: u64| message(callback, 0, &[&[0; 8]]);
        socket.write_all(&[&[1, 2, 3, 4, 5][..], &done(7)].concat()).unwrap();
        let mut lifted = Vec::new();
        loop {
            let mut head = [0; 16];
            if socket.read_exact(&mut head).is_err() {
                return lifted;
            }
            let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
            let mut body = vec![0; word(8) as usize - 16];
            socket.read_exact(&mut body).unwrap();
            match u64::from_ne_bytes(head[..8].try_into().unwrap()) {
                SCREEN => lifted.push((word(12), u32::from_ne_bytes(body[..4].try_into().unwrap()))),
                1 => socket.write_all(&done(u64::from_ne_bytes(body[..8].try_into().unwrap()))).unwrap(),
                _ => assert_eq!(word(12), FRAME),
            }
        }
    }

    /// Sabotage: lift each finger that is written down; or none that was on its way.
    #[test]
    fn heir_lifts_the_fingers_that_were_sent_and_no_others() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut record = Record::keep(ours.as_fd()).unwrap();
        let going = |down, callback| Slot::Going { down, callback };
        let slots = [Slot::Down, going(true, 7), going(true, 8), going(false, 7), going(false, 8)];
        record
            .edit(|said| {
                (said.connection, said.touchscreen, said.device, said.cancels) = (1, SCREEN, 2, true);
                said.slots[..slots.len()].copy_from_slice(&slots);
            })
            .unwrap();
        let compositor = thread::spawn(move || compositor(theirs));
        let socket = OwnedFd::from(ours);
        inquire(&socket, &mut record).unwrap();
        lift(&socket, &mut record).unwrap();
        assert_eq!(record.said().slots, [Slot::Up; MAX_FINGERS]);
        drop(socket);
        assert_eq!(compositor.join().unwrap(), [(CANCEL, 1), (CANCEL, 2), (CANCEL, 5)]);
    }

    /// Sabotage: say something after a part of a message.
    #[test]
    fn connection_that_ends_within_a_message_is_left_alone() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut record = Record::keep(ours.as_fd()).unwrap();
        record.edit(|said| (said.is_ragged, said.slots[0]) = (true, Slot::Down)).unwrap();
        assert!(inherit(&ours.into(), record).is_err());
        assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    }
}
