//! The façade: a [`Target`] in, a [`Login`] out. What it holds is shared by all clones.

mod builder;
mod connect;
mod policies;

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub use self::builder::Builder;
use crate::{
    cache::{CacheKey, FileCache, Listed, MemoryCache, Peek, Wish},
    clock::SystemClock,
    credential::{Credential, Endpoint, Login, Origin},
    discover::{self, Discovery},
    env::Env,
    error::{Error, ErrorKind, Result},
    identity::{Caller, Identity, SESSIONS, Scope, Standing, Surroundings},
    issue::{self, Request},
    observe::Log,
    shared::{Fact, Facts, Pace, digest},
    target::{Target, Warehouse},
};

/// Turns AWS identities into logins, and shares what it was issued. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shiftkey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    surroundings: Arc<Surroundings>,
    /// The same with nobody to ask.
    alone: Arc<Surroundings>,
    memory: MemoryCache,
    file: FileCache,
    facts: Facts,
    /// By fingerprint.
    identities: Slots<String, Identity>,
    /// By access key: of sessions whose names are made up, which are nobody else's.
    callers: Slots<String, Caller>,
}

/// Values that are made once per key, by one caller, while the others wait for it.
type Slots<K, V> = Mutex<HashMap<K, Arc<Mutex<Option<V>>>>>;

/// By account, region and warehouse. A connection that fails reads it anew.
impl Fact for Endpoint {
    const KIND: &'static str = "endpoint";
    const LIFETIME: Duration = Duration::from_secs(6 * 3600);
}

/// The warehouse behind a custom domain.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Behind(Warehouse);

/// By account, region and domain.
impl Fact for Behind {
    const KIND: &'static str = "domain";
    const LIFETIME: Duration = Duration::from_secs(6 * 3600);
}

/// Who asks: what is worked out once for all steps of a call.
#[derive(Clone, Debug)]
struct Asker {
    scope: Scope,
    fingerprint: String,
    standing: Standing,
}

// === impl Shiftkey ===

impl Shiftkey {
    /// Starts with an empty environment, the system's clock, nobody to ask and nothing shared between processes.
    pub fn builder() -> Builder {
        Builder {
            env: Env::default(),
            clock: Arc::new(SystemClock),
            prompt: None,
            observer: Arc::new(Log),
            cache_dir: None,
            pace: Pace::default(),
        }
    }

    /// A credential for `target`, and where it came from.
    ///
    /// # Errors
    /// See [`ErrorKind`]; the error names the target.
    pub async fn credential(&self, target: &Target) -> Result<(Arc<Credential>, Origin)> {
        // Boxed: the way down to AWS is deep, and callers put this into futures of their own.
        Box::pin(self.issue(target)).await.map_err(|error| error.with_target(&target.label))
    }

    /// Where `target` listens: as given, or as AWS said within the last hours.
    ///
    /// # Errors
    /// As for any AWS call; a denial says how to do without it.
    pub async fn endpoint(&self, target: &Target) -> Result<Endpoint> {
        Box::pin(self.locate(target)).await.map_err(|error| error.with_target(&target.label))
    }

    /// Endpoint and credential, asked for at the same time.
    ///
    /// # Errors
    /// As for [`Self::endpoint`] and [`Self::credential`].
    pub async fn login(&self, target: &Target) -> Result<Login> {
        let (endpoint, (credential, origin)) = tokio::try_join!(self.endpoint(target), self.credential(target))?;
        Ok(Login::new(target, endpoint, credential, origin))
    }

    /// The login of `target` when all of it is in the cache and nothing needs to be renewed. Needs no asynchronous
    /// runtime, parses no AWS configuration and speaks to nobody: the path that most calls take.
    pub fn cached_login(&self, target: &Target) -> Option<Login> {
        let (asker, wish) = self.known(target)?;
        let endpoint = self.known_endpoint(target, &asker.standing)?;
        match self.0.file.peek(&wish) {
            Peek::Fresh(credential) => Some(Login::new(target, endpoint, credential, Origin::File)),
            Peek::Denied(_) | Peek::Miss | Peek::RefreshDue(_) => None,
        }
    }

    /// Who AWS says is calling. AWS is asked each time.
    ///
    /// # Errors
    /// When no identity is found, or STS does not accept it.
    pub async fn caller(&self, scope: &Scope) -> Result<Caller> {
        let fingerprint = self.0.surroundings.fingerprint(scope);
        let caller = self.identity(&self.0.surroundings, scope, &fingerprint).await?.caller().await?;
        let standing = self.standing(scope, &fingerprint).await?;
        if !standing.nameless {
            self.0.facts.learn(&standing.who, &caller);
        }
        Ok(caller)
    }

    /// The region that `scope` acts in.
    ///
    /// # Errors
    /// When no identity or no region is found.
    pub async fn region(&self, scope: &Scope) -> Result<String> {
        Ok(self.standing(scope, &self.0.surroundings.fingerprint(scope)).await?.region)
    }

    /// What AWS lists in the account and region of `scope`.
    ///
    /// # Errors
    /// When neither clusters nor workgroups may be listed.
    pub async fn discover(&self, scope: &Scope) -> Result<Discovery> {
        let asker = self.asker(scope.clone()).await?;
        discover::discover(&self.identity_of(&asker).await?).await
    }

    /// Forgets `credential` if it is still the one that is handed out for `target`; a newer one stays, whichever process
    /// obtained it.
    pub async fn invalidate(&self, target: &Target, credential: &Credential) {
        if let Ok((_, wish)) = self.prepare(target).await {
            self.0.memory.invalidate(&wish.key, credential);
            self.0.file.invalidate(&wish.key, credential).await;
        }
    }

    /// Where `target` listens, after `stale` did not answer. Processes that find out at the same time ask AWS once, and not
    /// again within a few seconds.
    ///
    /// # Errors
    /// As for [`Self::endpoint`].
    pub async fn renew_endpoint(&self, target: &Target, stale: &Endpoint) -> Result<Endpoint> {
        let renew = async {
            let asker = self.asker(Scope::from(target)).await?;
            let told = |endpoint: &Endpoint| with_port(target, endpoint.clone()) == *stale;
            let ask = || self.locate_anew(target, &asker);
            let endpoint = self.0.facts.renew(&about(&asker.standing, &target.warehouse), told, ask).await?;
            Ok(with_port(target, endpoint))
        };
        renew.await.map_err(|error: Error| error.with_target(&target.label))
    }

    /// The credentials that the processes of this user share. No secret is among it.
    pub fn cached(&self) -> Vec<Listed> {
        self.0.file.list()
    }

    /// Forgets the shared credentials that `chosen` picks, and says how many there were. Sessions that are open stay open.
    pub fn forget(&self, chosen: impl Fn(&Listed) -> bool) -> usize {
        self.0.file.clear(chosen)
    }

    /// Forgets everything that is shared: credentials, endpoints, callers, and the AWS sessions that cost an MFA code.
    /// Says how many credentials there were.
    pub fn forget_all(&self) -> usize {
        let credentials = self.0.file.clear(|_| true);
        self.0.facts.clear();
        self.0.surroundings.store.remove_all(SESSIONS);
        credentials
    }

    async fn issue(&self, target: &Target) -> Result<(Arc<Credential>, Origin)> {
        let (asker, wish) = match self.known(target) {
            Some(known) => known,
            None => self.prepare(target).await?,
        };
        let (this, asked) = (self.clone(), wish.clone());
        let ask = move || {
            let (this, asker, wish) = (this.clone(), asker.clone(), asked.clone());
            async move { this.ask(&asker, &wish).await }
        };
        self.0.memory.get_or_issue(&wish, ask).await
    }

    /// What the memory does not have: from the file, or from AWS. Whatever may ask a person is done before the key's lock
    /// is taken, by one process at a time.
    async fn ask(&self, asker: &Asker, wish: &Wish) -> Result<(Arc<Credential>, Origin)> {
        let (mut signed_in, mut _signing_in) = (None, None);
        if asker.standing.asks {
            let (store, name) = (&self.0.surroundings.store, format!("sign-in-{}.lock", asker.fingerprint));
            let mut surroundings = &self.0.surroundings;
            _signing_in = match self.0.file.peek(wish) {
                Peek::Fresh(credential) => return Ok((credential, Origin::File)),
                Peek::Denied(error) => return Err(error),
                Peek::Miss => Some(store.lock(&name, &format!("signing in as {}", asker.standing.description)).await?),
                Peek::RefreshDue(credential) => {
                    // Nobody is asked for a code as long as there is a good credential.
                    surroundings = &self.0.alone;
                    match store.try_lock(&name) {
                        None => return Ok((credential, Origin::File)),
                        lock => lock,
                    }
                }
            };
            // Whoever had the lock may have seen to it.
            match self.0.file.peek(wish) {
                Peek::Fresh(credential) => return Ok((credential, Origin::File)),
                Peek::Denied(error) => return Err(error),
                Peek::Miss | Peek::RefreshDue(_) => {}
            }
            signed_in = Some(self.identity_in(surroundings, asker).await);
        }
        let obtain = |purpose| {
            let signed_in = signed_in.clone();
            async move {
                let identity = match signed_in {
                    Some(outcome) => outcome?,
                    None => self.identity_of(asker).await?,
                };
                wish.key.request.issue(&identity, &*self.0.surroundings.clock, purpose).await
            }
        };
        self.0.file.get_or_issue(wish, obtain).await
    }

    /// Who asks for what, when that is known without asking anybody.
    fn known(&self, target: &Target) -> Option<(Asker, Wish)> {
        let scope = Scope::from(target);
        let fingerprint = self.0.surroundings.fingerprint(&scope);
        let standing: Standing = self.0.facts.recall(&fingerprint)?;
        let known_caller = || self.0.facts.recall::<Caller>(&standing.who).filter(|_| !standing.nameless);
        let caller = if Request::needs_caller(target) { Some(known_caller()?) } else { None };
        let warehouse = match &target.warehouse {
            Warehouse::CustomDomain(_) => self.0.facts.recall::<Behind>(&about(&standing, &target.warehouse))?.0,
            plain => plain.clone(),
        };
        let asker = Asker { scope, fingerprint, standing };
        let wish = self.wish(target, &asker, &warehouse, caller.as_ref()).ok()?;
        Some((asker, wish))
    }

    /// Who asks for what, AWS being asked where need be.
    async fn prepare(&self, target: &Target) -> Result<(Asker, Wish)> {
        let asker = self.asker(Scope::from(target)).await?;
        let caller = if Request::needs_caller(target) { Some(self.caller_of(&asker).await?) } else { None };
        let warehouse = self.warehouse(target, &asker).await?;
        let wish = self.wish(target, &asker, &warehouse, caller.as_ref())?;
        Ok((asker, wish))
    }

    fn wish(&self, target: &Target, asker: &Asker, warehouse: &Warehouse, caller: Option<&Caller>) -> Result<Wish> {
        let standing = &asker.standing;
        let request = Request::new(target, warehouse, caller)?;
        let arn = || Some(self.0.facts.recall::<Caller>(&standing.who)?.arn).filter(|_| !standing.nameless);
        Ok(Wish {
            key: CacheKey { region: standing.region.clone(), endpoints: standing.endpoints.clone(), who: standing.who.clone(), request },
            min_remaining: target.min_remaining,
            target: target.label.clone(),
            who: arn().unwrap_or_else(|| standing.description.clone()),
        })
    }

    async fn locate(&self, target: &Target) -> Result<Endpoint> {
        let asker = match &target.host {
            // Nobody needs to be known for what is given.
            Some(host) => return Ok(given(target, host)),
            None => self.asker(Scope::from(target)).await?,
        };
        if let Some(known) = self.known_endpoint(target, &asker.standing) {
            return Ok(known);
        }
        let ask = || self.locate_anew(target, &asker);
        let told = self.0.facts.once(&about(&asker.standing, &target.warehouse), ask).await?;
        Ok(with_port(target, told))
    }

    async fn locate_anew(&self, target: &Target, asker: &Asker) -> Result<Endpoint> {
        let identity = self.identity_of(asker).await?;
        issue::locate(&identity, &target.warehouse).await.map_err(without_describe)
    }

    fn known_endpoint(&self, target: &Target, standing: &Standing) -> Option<Endpoint> {
        match &target.host {
            Some(host) => Some(given(target, host)),
            None => Some(with_port(target, self.0.facts.recall(&about(standing, &target.warehouse))?)),
        }
    }

    async fn warehouse(&self, target: &Target, asker: &Asker) -> Result<Warehouse> {
        let Warehouse::CustomDomain(host) = &target.warehouse else {
            return Ok(target.warehouse.clone());
        };
        let ask = || async { Ok(Behind(issue::resolve_domain(&self.identity_of(asker).await?, host).await?)) };
        Ok(self.0.facts.once(&about(&asker.standing, &target.warehouse), ask).await?.0)
    }

    async fn asker(&self, scope: Scope) -> Result<Asker> {
        let fingerprint = self.0.surroundings.fingerprint(&scope);
        let standing = self.standing(&scope, &fingerprint).await?;
        Ok(Asker { scope, fingerprint, standing })
    }

    async fn standing(&self, scope: &Scope, fingerprint: &str) -> Result<Standing> {
        let work_out = || self.0.surroundings.standing(scope, || self.identity(&self.0.surroundings, scope, fingerprint));
        self.0.facts.once(fingerprint, work_out).await
    }

    async fn identity_of(&self, asker: &Asker) -> Result<Identity> {
        self.identity_in(&self.0.surroundings, asker).await
    }

    async fn identity_in(&self, surroundings: &Arc<Surroundings>, asker: &Asker) -> Result<Identity> {
        let identity = self.identity(surroundings, &asker.scope, &asker.fingerprint).await?;
        let told = || Some(self.0.facts.recall::<Caller>(&asker.standing.who)?.account);
        Ok(identity.in_account(asker.standing.account.clone().or_else(told)))
    }

    async fn identity(&self, surroundings: &Arc<Surroundings>, scope: &Scope, fingerprint: &str) -> Result<Identity> {
        let slot = slot(&self.0.identities, fingerprint.to_owned()).await;
        let mut known = slot.lock().await;
        match &*known {
            Some(identity) if identity.is_lasting(self.0.surroundings.skew.aws_now()) => Ok(identity.clone()),
            _ => {
                let identity = Identity::find(surroundings, scope).await?;
                *known = Some(identity.clone());
                Ok(identity)
            }
        }
    }

    async fn caller_of(&self, asker: &Asker) -> Result<Caller> {
        if !asker.standing.nameless {
            let ask = || async { self.identity_of(asker).await?.caller().await };
            return self.0.facts.once(&asker.standing.who, ask).await;
        }
        let identity = self.identity_of(asker).await?;
        let slot = slot(&self.0.callers, identity.access_key_id().to_owned()).await;
        let mut known = slot.lock().await;
        if known.is_none() {
            *known = Some(identity.caller().await?);
        }
        Ok(known.clone().expect("filled above"))
    }
}

async fn slot<K: Eq + std::hash::Hash, V>(slots: &Slots<K, V>, key: K) -> Arc<Mutex<Option<V>>> {
    Arc::clone(slots.lock().await.entry(key).or_default())
}

fn given(target: &Target, host: &str) -> Endpoint {
    Endpoint { host: host.to_owned(), port: target.port.unwrap_or(5439) }
}

fn with_port(target: &Target, told: Endpoint) -> Endpoint {
    Endpoint { port: target.port.unwrap_or(told.port), ..told }
}

/// What a fact about a warehouse is filed under. Principals of one account see the same warehouses.
fn about(standing: &Standing, warehouse: &Warehouse) -> String {
    let (kind, name) = match warehouse {
        Warehouse::Cluster(name) => ("cluster", name),
        Warehouse::CustomDomain(name) => ("domain", name),
        Warehouse::Workgroup(name) => ("workgroup", name),
    };
    let account = standing.account.as_ref().unwrap_or(&standing.who);
    digest(&[account, &standing.region, &standing.endpoints, kind, name])
}

fn without_describe(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    error.with_hint(
        "looking up the endpoint needs redshift:DescribeClusters (or redshift-serverless:GetWorkgroup) on it; with --host \
         and --port, or both in the configuration, no permission is needed",
    )
}
