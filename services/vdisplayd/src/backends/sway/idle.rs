//! Keeps the user's own desktop from blanking and locking while a session lives: an idle inhibitor on a surface that
//! is never shown, which sway honours (its check: a surface without a window counts as visible).
//!
//! Spoken by hand because it is five requests of the Wayland wire: object u32, then opcode u16 and size u16 in one
//! u32 (size in the upper half), then arguments; all in native byte order.

use std::{io, os::unix::net::UnixStream as Connection, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
    time::timeout,
};

/// Time for the compositor to list its globals.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Longest list of globals in bytes, because a compositor has about 60 of some 40 bytes.
const MAX_ANSWER: usize = 64 << 10;

const DISPLAY: u32 = 1;
const REGISTRY: u32 = 2;
const SYNC: u32 = 3;
const COMPOSITOR: u32 = 4;
const MANAGER: u32 = 5;
const SURFACE: u32 = 6;
const INHIBITOR: u32 = 7;

/// Held while a session lives; dropping it ends the connection and with it the inhibitor.
#[derive(Debug)]
pub struct IdleInhibitor {
    reader: JoinHandle<()>,
}

/// A global of the registry: number, interface, version.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Global {
    number: u32,
    interface: String,
    version: u32,
}

impl IdleInhibitor {
    /// Makes the inhibitor over a fresh connection to the compositor.
    pub async fn take(connection: Connection) -> io::Result<Self> {
        connection.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(connection)?;
        timeout(ANSWER_LIMIT, inhibit(&mut stream)).await??;
        // What the compositor says later (outputs that come and go) is read and thrown away, or its queue fills up.
        let reader = tokio::spawn(async move {
            let mut waste = [0; 4096];
            while stream.read(&mut waste).await.is_ok_and(|count| count > 0) {}
        });
        Ok(Self { reader })
    }
}

impl Drop for IdleInhibitor {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn inhibit(stream: &mut UnixStream) -> io::Result<()> {
    let get_registry = request(DISPLAY, 1, &[REGISTRY]);
    let sync = request(DISPLAY, 0, &[SYNC]);
    stream.write_all(&[get_registry, sync].concat()).await?;
    let globals = globals(stream).await?;
    let find = |interface: &str| {
        let found = globals.iter().find(|global| global.interface == interface);
        found.ok_or_else(|| {
            io::Error::new(io::ErrorKind::Unsupported, format!("the compositor has no {interface}"))
        })
    };
    let requests = [
        bind(find("wl_compositor")?, COMPOSITOR),
        bind(find("zwp_idle_inhibit_manager_v1")?, MANAGER),
        request(COMPOSITOR, 0, &[SURFACE]),
        request(MANAGER, 1, &[INHIBITOR, SURFACE]),
    ];
    stream.write_all(&requests.concat()).await
}

/// Reads the globals until the sync is answered.
async fn globals(stream: &mut UnixStream) -> io::Result<Vec<Global>> {
    let (mut bytes, mut globals) = (Vec::new(), Vec::new());
    loop {
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > MAX_ANSWER {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while let Some((object, opcode, body, rest)) = event(&bytes) {
            match (object, opcode) {
                (REGISTRY, 0) => globals.extend(global(body)),
                (SYNC, 0) => return Ok(globals),
                (DISPLAY, 0) => return Err(io::Error::other("the compositor refused a request")),
                _ => {}
            }
            bytes = rest.to_vec();
        }
    }
}

fn word(bytes: &[u8], index: usize) -> Option<u32> {
    let word = bytes.get(index * 4..index * 4 + 4)?;
    Some(u32::from_ne_bytes(word.try_into().ok()?))
}

/// The first event: object, opcode, body, and what comes after it; `None` if it is not whole.
fn event(bytes: &[u8]) -> Option<(u32, u32, &[u8], &[u8])> {
    let (object, head) = (word(bytes, 0)?, word(bytes, 1)?);
    let size = (head >> 16) as usize;
    Some((object, head & 0xffff, bytes.get(8..size)?, bytes.get(size..)?))
}

/// Reads the body of wl_registry.global.
fn global(body: &[u8]) -> Option<Global> {
    let length = word(body, 1)? as usize;
    let text = body.get(8..8 + length.checked_sub(1)?)?;
    let version = word(body, 2 + length.div_ceil(4))?;
    Some(Global { number: word(body, 0)?, interface: String::from_utf8(text.to_vec()).ok()?, version })
}

fn request(object: u32, opcode: u32, arguments: &[u32]) -> Vec<u8> {
    let size = (8 + arguments.len() * 4) as u32;
    let head = [object, size << 16 | opcode];
    head.iter().chain(arguments).flat_map(|word| word.to_ne_bytes()).collect()
}

/// wl_registry.bind of version 1: number, interface as a string, version, new object.
fn bind(global: &Global, object: u32) -> Vec<u8> {
    let mut text = global.interface.clone().into_bytes();
    text.push(0);
    let length = text.len() as u32;
    text.resize(text.len().next_multiple_of(4), 0);
    let mut arguments = vec![global.number, length];
    arguments.extend((0..text.len() / 4).filter_map(|index| word(&text, index)));
    arguments.extend([1, object]);
    request(REGISTRY, 0, &arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globals_are_read_as_they_are_bound() {
        let manager = Global { number: 9, interface: "zwp_idle_inhibit_manager_v1".into(), version: 1 };
        let bytes = bind(&manager, MANAGER);
        let (object, opcode, body, rest) = event(&bytes).unwrap();
        assert_eq!((object, opcode, rest.len()), (REGISTRY, 0, 0));
        assert_eq!(global(body), Some(manager));
        assert_eq!(event(&bytes[..bytes.len() - 1]), None);
        assert_eq!(global(&body[..10]), None);
    }

    #[tokio::test]
    async fn compositor_without_the_protocol_is_unsupported() {
        let (ours, theirs) = Connection::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut theirs = UnixStream::from_std(theirs).unwrap();
        theirs.write_all(&request(SYNC, 0, &[0])).await.unwrap();
        let error = IdleInhibitor::take(ours).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("wl_compositor"));
    }
}
