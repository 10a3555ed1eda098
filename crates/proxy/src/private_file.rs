//! Files that hold a secret.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use shiftkey::{Error, Result};
use zeroize::Zeroizing;

/// Keys and passwords are smaller.
const CEILING: u64 = 64 * 1024;

/// Reads `path`, which is `what` and nobody's but ours. (Root's may be readable by a group, as PostgreSQL has it for keys.)
///
/// # Errors
/// `Config` when it cannot be read, is no file, or others may read or change it.
pub(crate) fn read(what: &str, path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let told = |why: &str| Error::config(format!("{what} {} {why}", path.display()));
    let unreadable = |error: io::Error| told(&format!("cannot be read: {error}")).with_source(error);
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(told("is not a file"));
    }
    let me = rustix::process::geteuid().as_raw();
    let own = metadata.uid() == me;
    if !own && metadata.uid() != 0 {
        return Err(told("belongs to another user"));
    }
    if metadata.mode() & (if own { 0o077 } else { 0o037 }) != 0 {
        return Err(told("can be read or changed by others").with_hint(format!("chmod 600 {}", path.display())));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    let length = file.take(CEILING + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if length as u64 > CEILING { Err(told("is larger than 64 KiB")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn what_others_could_read_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "x").unwrap();
        for (mode, taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o620, false), (0o610, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read("the secret", &path).is_ok(), taken, "{mode:o}");
        }
        let hint = read("the secret", &path).unwrap_err();
        assert!(hint.hint().unwrap().starts_with("chmod 600 "), "{hint:?}");
        assert!(read("the secret", dir.path()).unwrap_err().message().contains("is not a file"));
        assert!(read("the secret", &dir.path().join("none")).unwrap_err().message().contains("cannot be read"));
        fs::write(&path, vec![b'x'; 70_000]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read("the secret", &path).unwrap_err().message().contains("64 KiB"));
    }
}
