//! How far this machine's clock is off, learned from the `Date` of AWS's answers (RFC 9110 section 6.6.1).
//!
//! AWS says by its own clock until when a credential is good. (It also refuses a signature that is more than five minutes
//! off; that the SDK corrects by itself, on the second attempt of a client.)

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef, dyn_dispatch_hint},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};

use crate::clock::Clock;

/// Less than this is the answer's way through the network, and the second that `Date` is rounded to.
const TOLERANCE: i64 = 30;

/// The difference between AWS's clock and this machine's. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Skew {
    clock: Arc<dyn Clock>,
    /// Seconds by which AWS is ahead.
    ahead: Arc<AtomicI64>,
}

impl Skew {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead: Arc::default() }
    }

    /// Seconds by which AWS's clock is ahead of this machine's; 0 when they agree, or nothing was heard yet.
    pub(crate) fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// AWS's time, as far as it is known.
    pub(crate) fn aws_now(&self) -> SystemTime {
        shift(self.clock.now(), self.ahead())
    }

    fn learn(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, Format::HttpDate) else { return };
        let now = self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let ahead = date.secs().saturating_sub(i64::try_from(now).unwrap_or(i64::MAX));
        // Learned anew from each answer: the clock may be put right at any time.
        self.ahead.store(if ahead.abs() <= TOLERANCE { 0 } else { ahead }, Ordering::Relaxed);
    }
}

#[dyn_dispatch_hint]
impl Intercept for Skew {
    fn name(&self) -> &'static str {
        "ClockOffset"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.learn(date);
        }
        Ok(())
    }
}

fn shift(at: SystemTime, seconds: i64) -> SystemTime {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let shifted = if seconds < 0 { at.checked_sub(by) } else { at.checked_add(by) };
    shifted.unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl Clock for At {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(self.0)
        }
    }

    #[test]
    fn the_offset_is_the_last_answers() {
        let skew = Skew::new(Arc::new(At(784_111_777)));
        for (date, ahead) in [
            ("Sun, 06 Nov 1994 09:49:37 GMT", 3_600),
            ("Sun, 06 Nov 1994 07:49:37 GMT", -3_600),
            ("yesterday", -3_600),
            ("Sun, 06 Nov 1994 08:49:57 GMT", 0),
        ] {
            skew.learn(date);
            assert_eq!(skew.ahead(), ahead, "{date}");
            assert_eq!(skew.aws_now(), shift(At(784_111_777).now(), ahead));
        }
    }
}
