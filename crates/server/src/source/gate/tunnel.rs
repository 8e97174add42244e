//! Bytes from one stream to another and back, within bounds.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// How long neither side may send a byte.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes that are read at once.
const BUFFER: usize = 16 << 10;

/// The bytes that the connections of one fetch may carry together.
#[derive(Debug)]
pub(super) struct Allowance(AtomicU64);

impl Allowance {
    pub(super) fn new(bytes: u64) -> Self {
        Self(AtomicU64::new(bytes))
    }

    /// Takes bytes away, if that many are left.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let less = |left: u64| left.checked_sub(bytes as u64);
        let spent = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        spent.map(drop).map_err(|_| io::Error::other("the fetch has no bytes left"))
    }
}

/// When either side has sent something.
struct Activity {
    begin: Instant,
    /// Milliseconds after the beginning.
    last: AtomicU64,
}

impl Activity {
    fn note(&self) {
        self.last.store(self.begin.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    fn quiet(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.begin.elapsed().saturating_sub(last)
    }
}

/// Carries bytes both ways until both sides have ended, one fails, both are silent, or the
/// allowance is spent.
pub(super) async fn join<A, B>(a: A, b: B, allowance: &Allowance) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite,
    B: AsyncRead + AsyncWrite,
{
    let ((from_a, to_a), (from_b, to_b)) = (tokio::io::split(a), tokio::io::split(b));
    let activity = Activity { begin: Instant::now(), last: AtomicU64::new(0) };
    tokio::try_join!(
        carry(from_a, to_b, allowance, &activity),
        carry(from_b, to_a, allowance, &activity)
    )?;
    Ok(())
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    allowance: &Allowance,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let left = SILENCE.saturating_sub(activity.quiet());
        let count = match timeout(left, from.read(&mut buffer)).await {
            Ok(count) => count?,
            // The other side may have sent something meanwhile.
            Err(_) if activity.quiet() < SILENCE => continue,
            Err(late) => return Err(late.into()),
        };
        if count == 0 {
            return to.shutdown().await;
        }
        activity.note();
        allowance.spend(count)?;
        timeout(SILENCE, async {
            to.write_all(&buffer[..count]).await?;
            to.flush().await
        })
        .await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_are_heard_to_their_ends() {
        let ((mut near, a), (b, mut far)) = (tokio::io::duplex(8), tokio::io::duplex(8));
        let joined = tokio::spawn(async move { join(a, b, &Allowance::new(100)).await });
        near.write_all(b"ask").await.unwrap();
        near.shutdown().await.unwrap();
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        far.write_all(b"a long answer").await.unwrap();
        drop(far);
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert_eq!((heard.as_str(), answer.as_str()), ("ask", "a long answer"));
        joined.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn no_byte_beyond_the_allowance_is_carried() {
        let ((mut near, a), (b, mut far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let joined = tokio::spawn(async move { join(a, b, &Allowance::new(10)).await });
        far.write_all(b"0123456789").await.unwrap();
        let mut heard = [0; 10];
        near.read_exact(&mut heard).await.unwrap();
        far.write_all(b"x").await.unwrap();
        assert!(joined.await.unwrap().unwrap_err().to_string().contains("no bytes left"));
        assert_eq!(near.read(&mut heard).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_ends_and_one_that_speaks_one_way_does_not() {
        let ((near, a), (b, mut far)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let joined = tokio::spawn(async move { join(a, b, &Allowance::new(1 << 20)).await });
        for _ in 0..10 {
            tokio::time::sleep(SILENCE / 2).await;
            far.write_all(b"x").await.unwrap();
        }
        assert!(!joined.is_finished());
        let begin = Instant::now();
        assert_eq!(joined.await.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begin.elapsed() < 2 * SILENCE, "{:?}", begin.elapsed());
        drop((near, far));
    }
}
