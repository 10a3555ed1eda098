//! Every SQL text that changes anything. Each concerns one user and can be sent twice.
//!
//! A password is never in a text: what is sent is its hash, as Redshift keeps it (`md5`, salted with the user's name). A hash is still
//! worth as much as the password where the server asks for an md5 proof, so it is wiped and not shown either. Whether Redshift keeps
//! these texts in its query logs is unverified against AWS.

use std::fmt;

use md5::{Digest as _, Md5};
use shiftkey::{Error, Result, Secret};

/// A text of ours. Only this module makes one, so no caller can send its own. It may hold a hash.
pub struct Change(Secret);

impl Change {
    pub(crate) fn text(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Change(..)")
    }
}

/// Takes the password of `user` away. There is no undo but a new one. Redshift refuses it for superusers.
///
/// # Errors
/// When the name cannot be that of a user.
pub fn disable(user: &str) -> Result<Change> {
    change("ALTER USER", user, "PASSWORD DISABLE")
}

/// Gives `user` a password of which `hash` is kept.
///
/// # Errors
/// As for [`disable`].
pub fn set_password(user: &str, hash: &Hash) -> Result<Change> {
    let hash = hash.0.expose();
    change("ALTER USER", user, &format!("PASSWORD '{hash}'"))
}

/// Makes an ordinary user without any rights.
///
/// # Errors
/// As for [`disable`].
pub fn create(user: &str, hash: &Hash) -> Result<Change> {
    let hash = hash.0.expose();
    change("CREATE USER", user, &format!("PASSWORD '{hash}' NOCREATEUSER NOCREATEDB"))
}

/// Removes a user that may have gone already.
///
/// # Errors
/// As for [`disable`].
pub fn drop_user(user: &str) -> Result<Change> {
    change("DROP USER IF EXISTS", user, "")
}

/// What the warehouse keeps of a password: `md5` and 32 hexadecimal digits, nothing that needs quoting.
#[derive(Debug)]
pub struct Hash(Secret);

impl Hash {
    /// Of this password of this user.
    pub fn of(password: &Secret, user: &str) -> Self {
        Self::from_digest(&Md5::new().chain_update(password.expose()).chain_update(user).finalize().into())
    }

    /// Of a password that nobody knows: AWS's substitute for superusers, whose password cannot be disabled. `random` must be.
    pub fn of_nothing(random: &[u8; 16]) -> Self {
        Self::from_digest(random)
    }

    fn from_digest(digest: &[u8; 16]) -> Self {
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(Secret::new(format!("md5{hex}")))
    }
}

fn change(verb: &str, user: &str, clause: &str) -> Result<Change> {
    let text = format!("{verb} {} {clause}", identifier(user)?);
    Ok(Change(Secret::new(text.trim_end().to_owned())))
}

/// A user's name as SQL writes it. In double quotes it keeps its case, and only the double quote itself needs care.
fn identifier(name: &str) -> Result<String> {
    // What was not UTF-8 in the catalog is not the name any more.
    if name.is_empty() || name.len() > 127 || name.contains(['\0', '\u{fffd}']) {
        return Err(Error::config(format!("'{}' cannot be a user's name: it has 1 to 127 bytes of UTF-8", name.escape_debug())));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests;
