//! The AWS shared configuration files as the caller sees them.

use std::{borrow::Cow, path::PathBuf};

use aws_config::profile::{Profile, ProfileSet};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal;

use crate::{
    env::Env,
    error::{Error, ErrorKind, Result},
};

/// The parsed files and the profile that is asked for.
#[derive(Debug)]
pub(super) struct Profiles {
    set: ProfileSet,
    selected: String,
    config: PathBuf,
    credentials: PathBuf,
}

impl Profiles {
    /// Reads the files. An explicit profile, or one named by `AWS_PROFILE`, must exist.
    pub(super) async fn load(env: &Env, explicit: Option<&str>) -> Result<Self> {
        let named = explicit.or_else(|| env.var("AWS_PROFILE"));
        let selected = named.unwrap_or("default").to_owned();
        let [config, credentials] = Self::paths(env);
        let mut profiles = Self { set: ProfileSet::default(), selected, config, credentials };
        profiles.set = aws_config::profile::load(
            &os_shim_internal::Fs::real(),
            &os_shim_internal::Env::from_slice(&[]),
            &profiles.files(),
            Some(Cow::Owned(profiles.selected.clone())),
        )
        .await
        .map_err(|error| Error::config("the AWS configuration files could not be read").with_source(error))?;
        match named {
            Some(name) if profiles.set.get_profile(name).is_none() => Err(profiles.unknown(name)),
            _ => Ok(profiles),
        }
    }

    /// The files, for the SDK.
    pub(super) fn files(&self) -> EnvConfigFiles {
        // Without any file the SDK's builder panics, so an empty one is always there.
        let mut files = EnvConfigFiles::builder().with_contents(EnvConfigFileKind::Config, "");
        for (kind, path) in [(EnvConfigFileKind::Config, &self.config), (EnvConfigFileKind::Credentials, &self.credentials)] {
            if path.is_file() {
                files = files.with_file(kind, path);
            }
        }
        files.build()
    }

    /// The name of the profile that is asked for.
    pub(super) fn selected(&self) -> &str {
        &self.selected
    }

    /// The two files' paths.
    pub(super) fn paths(env: &Env) -> [PathBuf; 2] {
        ["config", "credentials"].map(|file| default_path(env, file))
    }

    /// A key of the `[sso-session]` that the profile names.
    pub(super) fn sso_session(&self, key: &str) -> Option<&str> {
        self.set.sso_session(self.get(&self.selected)?.get("sso_session")?)?.get(key)
    }

    /// Whether the profile that is asked for is written down anywhere.
    pub(super) fn exists(&self) -> bool {
        self.set.get_profile(&self.selected).is_some()
    }

    /// The profile of this name.
    pub(super) fn get(&self, name: &str) -> Option<&Profile> {
        self.set.get_profile(name)
    }

    /// The region that the profile names.
    pub(super) fn region(&self) -> Option<String> {
        self.get(&self.selected)?.get("region").map(str::to_owned)
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        let mut known: Vec<&str> = self.set.profiles().collect();
        known.sort_unstable();
        let hint = if known.is_empty() {
            format!("no profile is defined in {}", self.config.display())
        } else {
            format!("known profiles: {}", known.join(", "))
        };
        Error::new(ErrorKind::NoIdentity, format!("there is no AWS profile '{name}'")).with_hint(hint)
    }
}

fn default_path(env: &Env, file: &str) -> PathBuf {
    let variable = if file == "config" { "AWS_CONFIG_FILE" } else { "AWS_SHARED_CREDENTIALS_FILE" };
    let home = env.home.clone().unwrap_or_default();
    match env.var(variable) {
        Some(path) => path.strip_prefix("~/").map_or_else(|| PathBuf::from(path), |rest| home.join(rest)),
        None => home.join(".aws").join(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_without_aws_files_has_no_profiles() {
        let env = Env { home: Some("/nonexistent".into()), ..Env::default() };
        assert!(!Profiles::load(&env, None).await.unwrap().exists());
        let error = Profiles::load(&env, Some("prod")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoIdentity);
        assert!(error.hint().unwrap().contains("no profile is defined"));
    }
}
