//! Counts the calls that reached the pretend AWS: that number is the product's headline.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// One call that arrived.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call {
    /// The API action, for example `GetClusterCredentials`.
    pub action: String,
    /// The caller's ARN; empty when the signature did not hold.
    pub caller_arn: String,
    /// `ok`, the error code, or the fault that kept the answer back: `hang`, `drop`, `truncate`, `garbage`.
    pub outcome: String,
}

/// All calls so far. Clones share the list; `Display` prints a table.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    list: Arc<Mutex<Vec<Call>>>,
    changed: watch::Sender<()>,
}

impl Calls {
    /// How many calls of this action arrived, failed ones too.
    pub fn count(&self, action: &str) -> usize {
        self.list().iter().filter(|it| it.action == action).count()
    }

    /// Every call, oldest first.
    pub fn list(&self) -> Vec<Call> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls there were of each kind.
    pub fn tally(&self) -> BTreeMap<Call, usize> {
        let mut rows = BTreeMap::new();
        for call in self.list() {
            *rows.entry(call).or_default() += 1;
        }
        rows
    }

    /// Waits until `count` calls of this action have arrived: how a test knows, without waiting for a time, that a call hangs.
    pub async fn reached(&self, action: &str, count: usize) {
        let mut changes = self.changed.subscribe();
        while self.count(action) < count {
            changes.changed().await.expect("this holds a sender");
        }
    }

    pub(crate) fn record(&self, call: Call) {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.changed.send_replace(());
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>6}  {:<30} {:<22} caller", "calls", "action", "outcome")?;
        self.tally().iter().try_for_each(|(call, n)| writeln!(f, "{n:>6}  {:<30} {:<22} {}", call.action, call.outcome, call.caller_arn))
    }
}
