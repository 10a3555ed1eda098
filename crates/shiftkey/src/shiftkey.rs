//! The façade: a [`Target`] in, a [`Login`] out. What it holds is shared by all clones.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::Mutex;

use crate::{
    cache::{CacheKey, MemoryCache},
    clock::{Clock, SystemClock},
    credential::{Credential, Endpoint, Login},
    discover::{self, Discovery},
    env::Env,
    error::{Error, ErrorKind, Result},
    identity::{Caller, Identity, Prompt, Scope, Surroundings},
    issue::{self, Request},
    target::{Target, Warehouse},
};

/// How long an endpoint that AWS told is believed. A connection that fails reads it anew.
const ENDPOINT_LIFETIME: Duration = Duration::from_secs(6 * 3600);

/// Turns AWS identities into logins, and shares what it was issued. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Shiftkey(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    surroundings: Arc<Surroundings>,
    cache: MemoryCache,
    identities: Slots<Scope, Identity>,
    callers: Slots<String, Caller>,
    endpoints: Slots<(Scope, Warehouse), (Endpoint, SystemTime)>,
    domains: Slots<(Scope, String), Warehouse>,
}

/// Values that are made once per key, by one caller, while the others wait for it.
type Slots<K, V> = Mutex<HashMap<K, Arc<Mutex<Option<V>>>>>;

/// Makes a [`Shiftkey`].
#[derive(Debug)]
pub struct Builder {
    env: Env,
    clock: Arc<dyn Clock>,
    prompt: Option<Arc<dyn Prompt>>,
    cache_dir: Option<PathBuf>,
}

// === impl Builder ===

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

    /// Where AWS sessions that cost an MFA code are kept (directory of mode 0700, made when missing).
    #[must_use]
    pub fn cache_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(dir.into());
        self
    }

    /// Does no IO.
    pub fn build(self) -> Shiftkey {
        let Self { env, clock, prompt, cache_dir } = self;
        Shiftkey(Arc::new(Inner {
            cache: MemoryCache::new(Arc::clone(&clock)),
            surroundings: Arc::new(Surroundings { env, clock, prompt, cache_dir }),
            identities: Slots::default(),
            callers: Slots::default(),
            endpoints: Slots::default(),
            domains: Slots::default(),
        }))
    }
}

// === impl Shiftkey ===

impl Shiftkey {
    /// Starts with an empty environment, the system's clock and nobody to ask.
    pub fn builder() -> Builder {
        Builder { env: Env::default(), clock: Arc::new(SystemClock), prompt: None, cache_dir: None }
    }

    /// A credential for `target`, and whether it was there already.
    ///
    /// # Errors
    /// See [`ErrorKind`]; the error names the target.
    pub async fn credential(&self, target: &Target) -> Result<(Arc<Credential>, bool)> {
        self.issue(target).await.map_err(|error| error.with_target(&target.label))
    }

    /// Where `target` listens: as given, or as AWS said within the last hours.
    ///
    /// # Errors
    /// As for any AWS call; a denial says how to do without it.
    pub async fn endpoint(&self, target: &Target) -> Result<Endpoint> {
        self.locate(target).await.map_err(|error| error.with_target(&target.label))
    }

    /// Endpoint and credential, asked for at the same time.
    ///
    /// # Errors
    /// As for [`Self::endpoint`] and [`Self::credential`].
    pub async fn login(&self, target: &Target) -> Result<Login> {
        let (endpoint, issued) = tokio::try_join!(self.endpoint(target), self.credential(target))?;
        let (credential, cached) = issued;
        Ok(Login {
            target: target.label.clone(),
            endpoint,
            server_name: target.server_name.clone(),
            database: target.database.clone(),
            credential,
            cached,
            ca_file: target.ca_file.clone(),
        })
    }

    /// Who AWS says is calling.
    ///
    /// # Errors
    /// When no identity is found, or STS does not accept it.
    pub async fn caller(&self, scope: &Scope) -> Result<Caller> {
        let identity = self.identity(scope).await?;
        self.known_caller(&identity).await
    }

    /// The region that `scope` acts in.
    ///
    /// # Errors
    /// When no identity or no region is found.
    pub async fn region(&self, scope: &Scope) -> Result<String> {
        Ok(self.identity(scope).await?.region)
    }

    /// What AWS lists in the account and region of `scope`.
    ///
    /// # Errors
    /// When neither clusters nor workgroups may be listed.
    pub async fn discover(&self, scope: &Scope) -> Result<Discovery> {
        discover::discover(&self.identity(scope).await?).await
    }

    /// Forgets `credential` if it is still the one that is handed out for `target`; a newer one stays.
    pub async fn invalidate(&self, target: &Target, credential: &Credential) {
        if let Ok((key, _, _)) = self.prepare(target).await {
            self.0.cache.invalidate(&key, credential);
        }
    }

    /// Forgets where `target` listens, after a connection failed in a way that says that it moved.
    pub async fn forget_endpoint(&self, target: &Target) {
        self.0.endpoints.lock().await.remove(&(Scope::from(target), target.warehouse.clone()));
    }

    async fn issue(&self, target: &Target) -> Result<(Arc<Credential>, bool)> {
        let (key, request, identity) = self.prepare(target).await?;
        let clock = Arc::clone(&self.0.surroundings.clock);
        self.0
            .cache
            .get_or_issue(&key, move || {
                let (request, identity, clock) = (request.clone(), identity.clone(), Arc::clone(&clock));
                async move {
                    match request.issue(&identity, clock.now()).await {
                        Ok(credential) => Ok(credential),
                        Err(error) => Err(issue::explain(error, &request, &identity).await),
                    }
                }
            })
            .await
    }

    async fn prepare(&self, target: &Target) -> Result<(CacheKey, Request, Identity)> {
        let scope = Scope::from(target);
        let identity = self.identity(&scope).await?;
        let warehouse = self.warehouse(target, &scope, &identity).await?;
        let caller = if Request::needs_caller(target) { Some(self.known_caller(&identity).await?) } else { None };
        let request = Request::new(target, &warehouse, caller.as_ref())?;
        let key = CacheKey {
            region: identity.region.clone(),
            endpoint_url: target.endpoint_url.clone(),
            who: identity.fingerprint(),
            request: request.clone(),
        };
        Ok((key, request, identity))
    }

    async fn locate(&self, target: &Target) -> Result<Endpoint> {
        if let Some(host) = &target.host {
            return Ok(Endpoint { host: host.clone(), port: target.port.unwrap_or(5439) });
        }
        let scope = Scope::from(target);
        let slot = slot(&self.0.endpoints, (scope.clone(), target.warehouse.clone())).await;
        let mut known = slot.lock().await;
        let now = self.0.surroundings.clock.now();
        let mut endpoint = match &*known {
            Some((endpoint, at)) if now.duration_since(*at).is_ok_and(|age| age < ENDPOINT_LIFETIME) => endpoint.clone(),
            _ => {
                let identity = self.identity(&scope).await?;
                let endpoint = issue::locate(&identity, &target.warehouse).await.map_err(without_describe)?;
                *known = Some((endpoint.clone(), now));
                endpoint
            }
        };
        if let Some(port) = target.port {
            endpoint.port = port;
        }
        Ok(endpoint)
    }

    async fn warehouse(&self, target: &Target, scope: &Scope, identity: &Identity) -> Result<Warehouse> {
        let Warehouse::CustomDomain(host) = &target.warehouse else {
            return Ok(target.warehouse.clone());
        };
        let slot = slot(&self.0.domains, (scope.clone(), host.clone())).await;
        let mut known = slot.lock().await;
        if known.is_none() {
            *known = Some(issue::resolve_domain(identity, host).await?);
        }
        Ok(known.clone().expect("filled above"))
    }

    async fn identity(&self, scope: &Scope) -> Result<Identity> {
        let slot = slot(&self.0.identities, scope.clone()).await;
        let mut known = slot.lock().await;
        match &*known {
            Some(identity) if identity.is_lasting(self.0.surroundings.clock.now()) => Ok(identity.clone()),
            _ => {
                let identity = Identity::find(&self.0.surroundings, scope).await?;
                *known = Some(identity.clone());
                Ok(identity)
            }
        }
    }

    async fn known_caller(&self, identity: &Identity) -> Result<Caller> {
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

fn without_describe(error: Error) -> Error {
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    error.with_hint(
        "looking up the endpoint needs redshift:DescribeClusters (or redshift-serverless:GetWorkgroup) on it; with --host \
         and --port, or both in the configuration, no permission is needed",
    )
}
