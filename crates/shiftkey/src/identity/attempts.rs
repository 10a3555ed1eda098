//! One call to AWS: at the pace that the machine keeps, repeated while that makes sense, inside one deadline.
//!
//! The SDK's own retries are off for these calls. They would neither pass the token bucket nor be counted, and a
//! throttled process would not tell the others.

use std::{future::Future, time::Duration};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{error::metadata::ProvideErrorMetadata, retry::RetryConfig};
use tokio::time::{Instant, sleep};

use super::{Identity, errors::aws_error};
use crate::{
    backoff::Backoff,
    error::{Error, ErrorKind, Result},
    observe::Event,
    shared::Scale,
};

/// Full jitter inside one deadline. An attempt itself may take 5 s.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5), deadline: Duration::from_secs(20) };

/// So often AWS is tried that cannot be reached, or answers nonsense. A throttle is waited out up to the deadline.
const BROKEN_ATTEMPTS: u32 = 4;

/// How long nobody calls after a throttle that named no time.
const PAUSE: Duration = Duration::from_secs(1);

/// Why AWS is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Somebody waits.
    First,
    /// Others than the caller wait for it as well, so that it goes first.
    Lookup,
    /// A valid credential is at hand.
    Renewal,
}

/// For the configuration of clients whose calls go through [`call`].
pub(crate) fn no_retries() -> RetryConfig {
    RetryConfig::disabled()
}

/// Makes the call `action`. Somebody waits for a `First` call, which therefore waits for its place and is repeated; a
/// `Renewal` is tried once, when it has a turn.
pub(crate) async fn call<T, E, Fut>(identity: &Identity, action: &'static str, purpose: Purpose, make: impl Fn() -> Fut) -> Result<T>
where
    Fut: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let started = Instant::now();
    let (mut attempt, mut broken, mut corrected) = (0, 0, false);
    let mut last: Option<Error> = None;
    loop {
        if let Err(busy) = pass(identity, action, purpose, BACKOFF.deadline.saturating_sub(started.elapsed())).await {
            // What AWS said is why there was another attempt, and more to the point.
            return Err(last.unwrap_or(busy));
        }
        let failed = match make().await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let asked = retry_after(&failed);
        let error = aws_error(action, failed);
        match error.kind() {
            // The answer told that this machine's clock is wrong, which is why the signature was refused. The client has heard
            // it as well, and signs the next one by AWS's time.
            ErrorKind::IdentityExpired | ErrorKind::NoIdentity if !corrected && identity.skew().ahead() != 0 => {
                corrected = true;
                continue;
            }
            ErrorKind::Throttled => {
                identity.observer().event(&Event::Throttled { action });
                let pause = asked.unwrap_or(PAUSE);
                identity.buckets().throttled(scale(identity, action), pause).await?;
            }
            // Throttles in between are AWS at work, and do not count.
            ErrorKind::Unreachable if broken + 1 < BROKEN_ATTEMPTS => broken += 1,
            _ => return Err(error),
        }
        if purpose == Purpose::Renewal {
            return Err(error);
        }
        let Some(wait) = BACKOFF.wait(attempt, started.elapsed(), unit()) else { return Err(error) };
        let wait = wait.max(asked.unwrap_or_default());
        if started.elapsed() + wait > BACKOFF.deadline {
            return Err(error);
        }
        tracing::info!(action, ?wait, %error, "trying again");
        sleep(wait).await;
        attempt += 1;
        last = Some(error);
    }
}

fn scale<'a>(identity: &'a Identity, action: &'a str) -> Scale<'a> {
    let service = action.split_once(':').map_or(action, |(service, _)| service);
    Scale { account: identity.account(), region: &identity.region, service }
}

/// Waits for a place in the queue of the account and region.
async fn pass(identity: &Identity, action: &'static str, purpose: Purpose, patience: Duration) -> Result<()> {
    let scale = scale(identity, action);
    if purpose == Purpose::Renewal {
        return match identity.buckets().take_turn(scale).await? {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Throttled, "other calls to AWS go first; the renewal waits")),
        };
    }
    let place = match purpose {
        Purpose::Lookup => identity.buckets().take_first(scale, patience).await?,
        Purpose::First | Purpose::Renewal => identity.buckets().take(scale, patience).await?,
    };
    match place {
        Some(wait) => {
            if !wait.is_zero() {
                identity.observer().event(&Event::Queued { action, wait });
                sleep(wait).await;
            }
            Ok(())
        }
        None => Err(Error::new(ErrorKind::Throttled, format!("{action}: too many calls to AWS are waiting on this machine already"))
            .with_hint("try again in a moment; SHIFTKEY_RATE sets how many calls a second are made")),
    }
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3). AWS does not send the form with a date.
fn retry_after<E>(error: &SdkError<E, HttpResponse>) -> Option<Duration> {
    let seconds = error.raw_response()?.headers().get("retry-after")?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A number in 0..1; the standard library's hash seed is random enough to spread callers.
fn unit() -> f64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let draw = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(draw).unwrap_or(u32::MAX)) / f64::from(u32::MAX)
}
