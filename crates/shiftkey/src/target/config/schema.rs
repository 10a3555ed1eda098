//! The configuration file's grammar. Unknown keys are errors: a typing mistake must not pass in silence.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::target::Mapping;

/// All files, laid over one another.
#[derive(Debug, Default)]
pub(super) struct File {
    pub(super) defaults: Settings,
    pub(super) environments: BTreeMap<String, Environment>,
    pub(super) targets: BTreeMap<String, Entry>,
}

/// An identity and a region.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Environment {
    pub(super) profile: Option<String>,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
    pub(super) ca_file: Option<String>,
}

/// What `[defaults]` and each target may say.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) database: Option<String>,
    pub(super) db_user: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) auto_create: Option<bool>,
    pub(super) duration: Option<Duration>,
    pub(super) mapping: Option<Mapping>,
    pub(super) break_glass: Option<String>,
}

/// A target. (`flatten` would switch the check for unknown keys off, so the keys of [`Settings`] stand here again.)
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) cluster: Option<String>,
    pub(super) workgroup: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) database: Option<String>,
    pub(super) db_user: Option<String>,
    pub(super) groups: Option<Vec<String>>,
    pub(super) auto_create: Option<bool>,
    pub(super) duration: Option<Duration>,
    pub(super) mapping: Option<Mapping>,
    pub(super) break_glass: Option<String>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) server_name: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) region: Option<String>,
}

/// `"1h"`, `"900s"` or `900`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "not a duration; write \"1h\", \"30m\" or 900")]
pub(super) enum Duration {
    Seconds(u64),
    Text(String),
}

impl Duration {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Seconds(seconds) => seconds.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Lays another of the same kind over, key by key.
macro_rules! lay {
    ($section:ident: $($key:ident),+) => {
        impl $section {
            pub(super) fn lay(&mut self, over: Self) {
                $( if over.$key.is_some() { self.$key = over.$key; } )+
            }
        }
    };
}

lay!(Settings: database, db_user, groups, auto_create, duration, mapping, break_glass);
lay!(Environment: profile, region, endpoint_url, ca_file);
lay!(
    Entry: cluster, workgroup, endpoint, database, db_user, groups, auto_create, duration, mapping, break_glass, host, port,
    server_name, ca_file, profile, region
);
