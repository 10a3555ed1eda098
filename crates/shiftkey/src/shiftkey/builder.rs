//! What a [`Shiftkey`] is made of.

use std::{path::PathBuf, sync::Arc};

use super::{Inner, Shiftkey, Slots};
use crate::{
    cache::{FileCache, MemoryCache},
    clock::Clock,
    env::Env,
    error::{Error, Result},
    identity::{Prompt, Skew, Surroundings},
    observe::{Event, Observe},
    shared::{Buckets, Facts, Pace, Store},
};

/// Makes a [`Shiftkey`].
#[derive(Debug)]
pub struct Builder {
    pub(super) env: Env,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) prompt: Option<Arc<dyn Prompt>>,
    pub(super) observer: Arc<dyn Observe>,
    pub(super) cache_dir: Option<PathBuf>,
    pub(super) pace: Pace,
}

impl Builder {
    /// The environment that identities are looked for in. Empty unless set.
    #[must_use]
    pub fn env(mut self, env: Env) -> Self {
        self.env = env;
        self
    }

    /// Where the time comes from.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// A person who may be asked for an MFA code.
    #[must_use]
    pub fn prompt(mut self, prompt: Arc<dyn Prompt>) -> Self {
        self.prompt = Some(prompt);
        self
    }

    /// Who is told what happens; a log unless set.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observer = observer;
        self
    }

    /// Where the processes of this user share credentials: a directory of mode 0700, made when missing. Without one they
    /// share nothing.
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// How often AWS may be asked, for each account and region.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Shares, and keeps a pace, as the variables of [`Self::env`] say: `SHIFTKEY_CACHE`, [`Env::cache_dir`], `SHIFTKEY_RATE`.
    /// Nothing is shared unless `share`, or when there is no place for it, which the observer is told. Call it last.
    ///
    /// # Errors
    /// `Config` when a variable cannot be understood.
    pub fn as_the_environment_says(mut self, share: bool) -> Result<Self> {
        if share && self.env.shares()? {
            self.cache_dir = self.env.cache_dir();
            if self.cache_dir.is_none() {
                let none = "there is no place of your own for the cache; credentials are not shared, and no MFA session is kept";
                let hint = "set SHIFTKEY_CACHE_DIR, or SHIFTKEY_CACHE=off to do without";
                self.observer.event(&Event::CacheOff(Error::config(none).with_hint(hint)));
            }
        }
        if let Some(rate) = self.env.var("SHIFTKEY_RATE") {
            self.pace = rate.parse()?;
        }
        Ok(self)
    }

    /// Does no IO.
    pub fn build(self) -> Shiftkey {
        let Self { env, clock, prompt, observer, cache_dir, pace } = self;
        let store = Arc::new(Store::new(cache_dir, observer));
        let surroundings = Surroundings {
            env,
            buckets: Arc::new(Buckets::new(pace, Arc::clone(&store), Arc::clone(&clock))),
            skew: Skew::new(Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            prompt,
            store: Arc::clone(&store),
        };
        Shiftkey(Arc::new(Inner {
            memory: MemoryCache::new(Arc::clone(&clock)),
            file: FileCache::new(Arc::clone(&store), Arc::clone(&clock)),
            facts: Facts::new(Arc::clone(&store), Arc::clone(&clock)),
            alone: Arc::new(Surroundings { prompt: None, ..surroundings.clone() }),
            surroundings: Arc::new(surroundings),
            identities: Slots::default(),
            callers: Slots::default(),
        }))
    }
}
