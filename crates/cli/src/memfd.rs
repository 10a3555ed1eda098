//! A file without a name, for a password that a child reads: it goes with the last process that holds it, whatever kills
//! whom, and never stands on a disk.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::fs::{MemfdFlags, Mode, SealFlags};

/// An open, sealed memory file of mode 0600.
#[derive(Debug)]
pub(crate) struct Memfd(OwnedFd);

impl Memfd {
    /// A file that holds `bytes`.
    pub(crate) fn new(bytes: &[u8]) -> io::Result<Self> {
        // Not close-on-exec: the child is meant to inherit it. Nothing else is started between here and there.
        let fd = rustix::fs::memfd_create("shiftkey", MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::fchmod(&fd, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&file, seals)?;
        Ok(Self(file.into()))
    }

    /// The name by which a child that inherits the file opens it. libpq wants a plain file of mode 0600, which it is.
    pub(crate) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_is_private_readable_again_and_sealed() {
        let memfd = Memfd::new(b"line").unwrap();
        assert_eq!(std::fs::read(memfd.path()).unwrap(), b"line");
        let metadata = std::fs::metadata(memfd.path()).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(rustix::io::write(&memfd.0, b"x").is_err());
    }
}
