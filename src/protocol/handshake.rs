//! The beginning of a connection, on either side of it.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;

use super::frame::{FrameError, PREAMBLE_BYTES, Preamble, Role};

/// The longest path that fits a socket address, without its terminator.
const ADDRESS_BYTES_MAX: usize = 107;

/// A connection ended before its first frame.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The stream broke.
    #[error(transparent)]
    Broken(#[from] io::Error),
    /// The other side does not speak this protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The other side sends nothing.
    #[error("the other side does not answer")]
    Silent,
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::Broken(error) => error,
            HandshakeError::Frame(error) => Self::new(io::ErrorKind::InvalidData, error),
            HandshakeError::Silent => Self::new(io::ErrorKind::TimedOut, error),
        }
    }
}

/// Sends our `role`, and returns the other side's: a scheduler's, or any other if we are the
/// scheduler. `limit` is for both together.
///
/// # Errors
/// The stream breaks, or the other side does not speak this protocol, or sends nothing.
pub async fn handshake<S>(
    stream: &mut S,
    role: Role,
    limit: Duration,
) -> Result<Role, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let exchange = async {
        stream.write_all(&Preamble { role }.encode()).await?;
        let mut theirs = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut theirs).await?;
        Ok::<_, HandshakeError>(Preamble::decode(theirs)?.role)
    };
    let exchanged = tokio::time::timeout(limit, exchange).await;
    let theirs = exchanged.map_err(|_| HandshakeError::Silent)??;
    match (role == Role::Scheduler) == (theirs == Role::Scheduler) {
        true => Err(FrameError::NotCrewlog.into()),
        false => Ok(theirs),
    }
}

/// Connects to a socket. A path longer than a socket address is opened through its directory's
/// descriptor.
///
/// # Errors
/// Nobody listens there, or the system refuses.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return UnixStream::connect(path).await;
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    let dir = File::options()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(dir)?;
    let short = Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name);
    UnixStream::connect(short).await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn one_side_is_a_scheduler_and_the_other_is_none() {
        let roles = [Role::Worker, Role::Client, Role::Scheduler];
        for ours in roles {
            for theirs in roles {
                let (mut here, mut there) = tokio::io::duplex(64);
                let (heard, _) = tokio::join!(
                    handshake(&mut here, ours, LIMIT),
                    handshake(&mut there, theirs, LIMIT)
                );
                let fits = (ours == Role::Scheduler) != (theirs == Role::Scheduler);
                assert_eq!(
                    heard.ok(),
                    fits.then_some(theirs),
                    "{ours:?} and {theirs:?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_says_nothing_or_something_else_is_told_apart() {
        let (mut here, there) = tokio::io::duplex(64);
        drop(there);
        let gone = handshake(&mut here, Role::Client, LIMIT).await;
        assert!(matches!(gone, Err(HandshakeError::Broken(_))), "{gone:?}");

        let (mut here, _there) = tokio::io::duplex(64);
        let silent = handshake(&mut here, Role::Client, Duration::from_millis(1)).await;
        assert!(matches!(silent, Err(HandshakeError::Silent)), "{silent:?}");

        let (mut here, mut there) = tokio::io::duplex(64);
        there.write_all(b"GET / HT").await.expect("written");
        let other = handshake(&mut here, Role::Client, LIMIT).await;
        let not_ours = matches!(other, Err(HandshakeError::Frame(FrameError::NotCrewlog)));
        assert!(not_ours, "{other:?}");
    }
}
