//! A client of sway's IPC socket: one request, one answer, each within a time limit.
//!
//! Packet (sway-ipc(7)): `"i3-ipc"`, payload length u32, type u32 (both in native byte order), payload. The
//! connection belongs to this value; dropping it ends it. Only [`Ipc::windows`] subscribes, so that all other packets
//! are answers.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, de::DeserializeOwned};
use swayipc_types::{CommandOutcome, CommandType, Output, Success, Version};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

/// Longest answer in bytes that is read, because a tree of a thousand windows has about 1 MB.
const MAX_ANSWER: u32 = 16 << 20;

/// Time for one answer: a healthy sway answers in 1 ms, one whose GPU hangs does not answer at all.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Type of the packets that tell of windows.
const WINDOW_EVENT: u32 = 0x8000_0003;

/// Length of a packet's head in bytes.
const HEAD: usize = 14;

/// Why a request to sway has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum IpcError {
    /// Nobody listens there.
    #[error("no sway answers at {}: {source}", path.display())]
    NotThere {
        /// The socket.
        path: PathBuf,
        /// What connect said.
        source: io::Error,
    },
    /// sway hangs.
    #[error("sway did not answer {request} within {} ms", limit.as_millis())]
    TimedOut {
        /// What was asked.
        request: &'static str,
        /// How long we waited.
        limit: Duration,
    },
    /// sway ended, or hung up.
    #[error("sway hung up during {request}: {source}")]
    HungUp {
        /// What was asked.
        request: &'static str,
        /// What read or write said.
        source: io::Error,
    },
    /// The packet is not one of sway's.
    #[error("the answer to {request} is no sway packet (type {kind}, {length} bytes)")]
    NotSway {
        /// What was asked.
        request: &'static str,
        /// Type field of the packet.
        kind: u32,
        /// Length field of the packet.
        length: u32,
    },
    /// The JSON is not what sway-ipc(7) says.
    #[error("the answer to {request} cannot be read: {source}")]
    Unreadable {
        /// What was asked.
        request: &'static str,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// sway refused a command.
    #[error("sway refused `{command}`: {message}")]
    Refused {
        /// The command.
        command: String,
        /// What sway said.
        message: String,
    },
}

/// One connection to one sway.
#[derive(Debug)]
pub struct Ipc {
    stream: UnixStream,
}

impl Ipc {
    /// Connects to the socket at `path`.
    pub async fn connect(path: &Path) -> Result<Self, IpcError> {
        let not_there = |source| IpcError::NotThere { path: path.to_owned(), source };
        match timeout(ANSWER_LIMIT, UnixStream::connect(path)).await {
            Ok(Ok(stream)) => Ok(Self { stream }),
            Ok(Err(source)) => Err(not_there(source)),
            Err(_) => Err(not_there(io::ErrorKind::TimedOut.into())),
        }
    }

    /// Process id and user id of the sway at the other end.
    pub fn peer(&self) -> Option<(i32, u32)> {
        let credentials = self.stream.peer_cred().ok()?;
        Some((credentials.pid()?, credentials.uid()))
    }

    /// What version of sway this is.
    pub async fn version(&mut self) -> Result<Version, IpcError> {
        self.ask("get_version", CommandType::GetVersion, "").await
    }

    /// All outputs, disabled ones too.
    pub async fn outputs(&mut self) -> Result<Vec<Output>, IpcError> {
        self.ask("get_outputs", CommandType::GetOutputs, "").await
    }

    /// Runs sway commands; the first that sway refuses is the error.
    pub async fn run(&mut self, command: &str) -> Result<(), IpcError> {
        let outcomes: Vec<CommandOutcome> = self.ask("run_command", CommandType::RunCommand, command).await?;
        match outcomes.into_iter().find(|outcome| !outcome.success) {
            None => Ok(()),
            Some(refused) => Err(IpcError::Refused {
                command: command.to_owned(),
                message: refused.error.map(|error| error.message).unwrap_or_default(),
            }),
        }
    }

    /// Turns this connection into one that only tells of new windows.
    pub async fn windows(mut self) -> Result<Windows, IpcError> {
        let _: Success = self.ask("subscribe", CommandType::Subscribe, r#"["window"]"#).await?;
        Ok(Windows { ipc: self })
    }

    async fn ask<T: DeserializeOwned>(
        &mut self,
        request: &'static str,
        kind: CommandType,
        payload: &str,
    ) -> Result<T, IpcError> {
        let answer = timeout(ANSWER_LIMIT, self.exchange(request, kind, payload))
            .await
            .map_err(|_| IpcError::TimedOut { request, limit: ANSWER_LIMIT })??;
        serde_json::from_slice(&answer).map_err(|source| IpcError::Unreadable { request, source })
    }

    async fn exchange(
        &mut self,
        request: &'static str,
        kind: CommandType,
        payload: &str,
    ) -> Result<Vec<u8>, IpcError> {
        let hung_up = |source| IpcError::HungUp { request, source };
        self.stream.write_all(&kind.encode_with(payload)).await.map_err(hung_up)?;
        self.packet(request, kind.into()).await
    }

    /// Reads one packet of type `kind`.
    async fn packet(&mut self, request: &'static str, kind: u32) -> Result<Vec<u8>, IpcError> {
        let hung_up = |source| IpcError::HungUp { request, source };
        let mut head = [0; HEAD];
        self.stream.read_exact(&mut head).await.map_err(hung_up)?;
        let length = payload_length(&head, kind).map_err(|(kind, length)| IpcError::NotSway {
            request,
            kind,
            length,
        })?;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await.map_err(hung_up)?;
        Ok(payload)
    }
}

/// The stream of new windows.
#[derive(Debug)]
pub struct Windows {
    ipc: Ipc,
}

/// A window that just came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Window {
    /// sway's number of it (`con_id`).
    pub id: i64,
    /// Process that it belongs to.
    pub pid: Option<i32>,
}

impl Windows {
    /// Waits for the next new window, without limit.
    pub async fn next(&mut self) -> Result<Window, IpcError> {
        #[derive(Deserialize)]
        struct Change {
            change: String,
            container: Window,
        }
        loop {
            let packet = self.ipc.packet("window events", WINDOW_EVENT).await?;
            let change: Change = serde_json::from_slice(&packet)
                .map_err(|source| IpcError::Unreadable { request: "window events", source })?;
            if change.change == "new" {
                return Ok(change.container);
            }
        }
    }
}

/// Payload length in bytes of a packet of type `asked`; else the type and length that its head claims.
fn payload_length(head: &[u8; HEAD], asked: u32) -> Result<usize, (u32, u32)> {
    let [m0, m1, m2, m3, m4, m5, l0, l1, l2, l3, k0, k1, k2, k3] = *head;
    let length = u32::from_ne_bytes([l0, l1, l2, l3]);
    let kind = u32::from_ne_bytes([k0, k1, k2, k3]);
    if [m0, m1, m2, m3, m4, m5] != swayipc_types::MAGIC || kind != asked || length > MAX_ANSWER {
        return Err((kind, length));
    }
    Ok(length as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    /// A sway that answers one request with `answer` and hangs up.
    fn sway_that_says(answer: Vec<u8>) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        });
        (folder, path)
    }

    fn answer_to(kind: CommandType, json: &str) -> Vec<u8> {
        kind.encode_with(json)
    }

    #[tokio::test]
    async fn refused_command_carries_sways_own_words() {
        let json =
            r#"[{"success":true},{"success":false,"parse_error":true,"error":"Invalid output subcommand"}]"#;
        let (_folder, path) = sway_that_says(answer_to(CommandType::RunCommand, json));
        let error = Ipc::connect(&path).await.unwrap().run("output X unplug").await.unwrap_err();
        assert_eq!(error.to_string(), "sway refused `output X unplug`: Invalid output subcommand");
    }

    #[tokio::test]
    async fn answers_that_sway_would_not_give_are_errors() {
        let mut foreign = answer_to(CommandType::GetVersion, "{}");
        foreign[0] = b'x';
        let huge = [&swayipc_types::MAGIC[..], &u32::MAX.to_ne_bytes(), &7u32.to_ne_bytes()].concat();
        for packet in [foreign, huge, answer_to(CommandType::GetOutputs, "[]")] {
            let (_folder, path) = sway_that_says(packet);
            let error = Ipc::connect(&path).await.unwrap().version().await.unwrap_err();
            assert!(matches!(error, IpcError::NotSway { .. }), "{error}");
        }
        let (_folder, path) = sway_that_says(answer_to(CommandType::GetVersion, "nonsense"));
        let error = Ipc::connect(&path).await.unwrap().version().await.unwrap_err();
        assert!(matches!(error, IpcError::Unreadable { .. }), "{error}");
    }

    #[tokio::test]
    async fn sway_that_ends_amid_an_answer_is_an_error() {
        let mut short = answer_to(CommandType::GetVersion, r#"{"human_readable":"1.7"}"#);
        short.truncate(20);
        let (_folder, path) = sway_that_says(short);
        let error = Ipc::connect(&path).await.unwrap().version().await.unwrap_err();
        assert!(matches!(error, IpcError::HungUp { .. }), "{error}");
    }

    #[tokio::test]
    async fn socket_that_nobody_holds_is_not_there() {
        let error = Ipc::connect(Path::new("/nonexistent/sway.sock")).await.unwrap_err();
        assert!(matches!(error, IpcError::NotThere { .. }));
    }
}
