//! The one way by which a secret reaches the disk: a directory of mode 0700, a file of mode 0600 from the moment of
//! its creation, written beside its place, flushed and renamed over it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::Path,
};

use zeroize::Zeroizing;

/// What is larger was not written by us.
const CEILING: u64 = 64 * 1024;

/// Replaces `path` with `bytes`, atomically; readers see the old file or the new one, whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().ok_or_else(|| io::Error::other("a private file needs a directory"))?;
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    owned(&std::fs::symlink_metadata(dir)?, 0o077)?;
    let staged = path.with_extension(format!("{}.tmp", std::process::id()));
    let result = stage(&staged, bytes).and_then(|()| std::fs::rename(&staged, path));
    if result.is_err() {
        // What is left of a failed attempt holds a secret; if even this fails there is nothing better to do.
        let _ = std::fs::remove_file(&staged);
    }
    result?;
    File::open(dir)?.sync_all()
}

/// The file's bytes; `None` when there is none. A link, a foreign owner or a loose mode is an error.
pub(crate) fn read(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    owned(&metadata, 0o077)?;
    if !metadata.is_file() || metadata.nlink() != 1 || metadata.len() > CEILING {
        return Err(io::Error::other("not a file of ours"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default()));
    file.take(CEILING).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

fn stage(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A leftover of a process that was killed may stand here; create_new refuses to follow a link in its place.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn owned(metadata: &std::fs::Metadata, forbidden: u32) -> io::Result<()> {
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "belongs to another user"));
    }
    if metadata.mode() & forbidden != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "is open to other users"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_private_from_birth_and_leaves_no_remains() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("cache/entry.json");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn links_loose_modes_and_giants_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("cache");
        let path = root.join("entry");
        write(&path, b"secret").unwrap();
        let link = root.join("link");
        symlink(&path, &link).unwrap();
        assert!(read(&link).is_err(), "a symbolic link");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(read(&path).is_err(), "readable by the group");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::hard_link(&path, root.join("hard")).unwrap();
        assert!(read(&path).is_err(), "a hard link");
        let giant = root.join("giant");
        write(&giant, &vec![0; 65 * 1024]).unwrap();
        assert!(read(&giant).is_err(), "larger than anything we write");
        assert!(read(&root.join("none")).unwrap().is_none());
    }

    #[test]
    fn a_loose_directory_is_not_written_to() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        assert!(write(&root.path().join("entry"), b"x").is_err());
    }
}
