//! The RTSP socket: one sealed message a connection, and its answer.

use std::{io, sync::Arc, time::Duration};

use lumen_gamestream::rtsp::seal::Framing;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

use super::launches::Launches;
use crate::{peers::lobby::Lobby, upstream::Upstream};

/// Within which a connection must have said what it wants. Because clients say it at once, over networks that are slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// Pause after the kernel gave no connection: it has no descriptors left for a moment.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// Bytes read at once.
const READ_BYTES: usize = 4096;

/// Serves clients for as long as the stage lives.
pub async fn listen<U: Upstream>(listener: TcpListener, launches: Arc<Launches<U>>) {
    let lobby = Arc::new(Lobby::default());
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let (place, launches) = (lobby.enter(), launches.clone());
                let birth = place.birth();
                let task = tokio::spawn(async move {
                    // Who is too slow, or says what no session's key opens, hears nothing.
                    let _ = timeout(PATIENCE, serve(stream, &launches)).await;
                    drop(place);
                });
                lobby.seat(birth, from.ip(), task.abort_handle());
            }
            Err(_) => sleep(ERROR_PAUSE).await,
        }
    }
}

async fn serve<U: Upstream>(mut stream: TcpStream, launches: &Launches<U>) -> io::Result<()> {
    let Some(message) = read(&mut stream).await? else {
        return Ok(());
    };
    if let Some(answer) = launches.handle_rtsp(&message).await {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
    }
    Ok(())
}

/// A whole sealed message; `None` if none comes. Anything else is not read on, because nobody could answer it.
async fn read(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let (mut message, mut buffer) = (Vec::new(), [0; READ_BYTES]);
    loop {
        let wanted = match Framing::of(&message) {
            Ok(Framing::Unknown) => READ_BYTES,
            Ok(Framing::Sealed(len)) if message.len() >= len => return Ok(Some(message)),
            Ok(Framing::Sealed(len)) => len - message.len(),
            Ok(Framing::Plain) | Err(_) => return Ok(None),
        };
        let count = stream.read(buffer.get_mut(..wanted.min(READ_BYTES)).unwrap_or_default()).await?;
        if count == 0 {
            return Ok(None);
        }
        message.extend(buffer.get(..count).unwrap_or_default());
    }
}
