//! The one way by which anything of ours reaches the disk: a directory of mode 0700 that belongs to the user, files of
//! mode 0600 from the moment of their creation, written beside their place, flushed and renamed over it.
//!
//! Every step is relative to the directory that was opened and checked, so that nobody can put another in its place
//! between the check and the use. Locks are the kernel's (`flock(2)`): they go with the process that holds them.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io::{self, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, FileExt},
    },
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use zeroize::Zeroizing;

/// What is larger was not written by us.
const CEILING: usize = 64 * 1024;

/// Ends the names of files that are not finished.
const STAGED: &str = ".tmp";

/// Ends the names of locks.
pub(crate) const LOCK: &str = ".lock";

/// A write takes less.
const HALF_WRITTEN: Duration = Duration::from_secs(60);

/// Nothing that is kept here is good for so long.
const ABANDONED: Duration = Duration::from_secs(3 * 24 * 3600);

/// A directory that only this user can read, open.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    fd: OwnedFd,
}

/// An exclusive lock, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl PrivateDir {
    /// Opens `path`, and makes it when it is missing.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            opened => opened,
        }
    }

    /// Opens `path`. A link in its place, another owner, or a mode that lets others in is an error.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::LOOP | Errno::NOTDIR) => return Err(io::Error::new(io::ErrorKind::NotADirectory, "is a link or a file")),
            Err(error) => return Err(error.into()),
        };
        ours(&rustix::fs::fstat(&fd)?)?;
        Ok(Self { fd })
    }

    /// A file's bytes; `None` when there is none. What is not a plain file of ours and of nobody else is an error.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let Some((file, stat)) = self.open_file(name, OFlags::RDONLY)? else { return Ok(None) };
        let size = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if size > CEILING {
            return Err(io::Error::other("is larger than anything that is kept here"));
        }
        // A byte more than there is room for, so that one read tells that it was all.
        let mut bytes = Zeroizing::new(vec![0; size + 1]);
        let mut length = 0;
        while length < size {
            match file.read_at(&mut bytes[length..], length as u64)? {
                0 => break,
                more => length += more,
            }
        }
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    /// Replaces a file, atomically and for good: readers see the old one or the new one, whole.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(name, bytes, File::sync_all)?;
        Ok(rustix::fs::fsync(&self.fd)?)
    }

    /// Replaces a file atomically, but may lose it in a power cut: for what can be learned again.
    pub(crate) fn write_lightly(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace(name, bytes, |_| Ok(()))
    }

    /// Adds to the end of a file, which appends of several processes share without a lock.
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let Some((mut file, _)) = self.open_file(name, flags)? else { return Ok(()) };
        file.write_all(bytes)
    }

    /// A file's size in bytes; 0 when there is none.
    pub(crate) fn size(&self, name: &str) -> u64 {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.ok().and_then(|stat| u64::try_from(stat.st_size).ok()).unwrap_or_default()
    }

    /// When a file was written, by the clock of its file system.
    fn written(&self, name: &str) -> Option<Duration> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Duration::from_secs(u64::try_from(stat.st_mtime).ok()?))
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) | Ok(()) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The names of all files, sorted.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes what killed processes left half written, once it is older than any write takes, and what nobody has touched
    /// for so long that it cannot be of use. `fresh` is a file that was written just now: it tells the file system's time.
    pub(crate) fn sweep(&self, fresh: &str) {
        let Some(now) = self.written(fresh) else { return };
        for name in self.names().unwrap_or_default() {
            let age = self.written(&name).map_or(Duration::ZERO, |written| now.saturating_sub(written));
            // What cannot be removed now can be the next time.
            let _ = match name.ends_with(LOCK) {
                false if age > ABANDONED || (name.ends_with(STAGED) && age > HALF_WRITTEN) => self.remove(&name),
                true if age > ABANDONED => self.try_lock(&name).and_then(|lock| lock.map_or(Ok(()), |lock| self.remove_lock(&name, &lock))),
                _ => Ok(()),
            };
        }
    }

    /// The lock of this name, unless another holds it.
    pub(crate) fn try_lock(&self, name: &str) -> io::Result<Option<Lock>> {
        loop {
            let file = self.lock_file(name)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            if let Some(lock) = self.settle(name, file)? {
                return Ok(Some(lock));
            }
        }
    }

    /// Waits for the lock of this name; `None` when the deadline passes first.
    pub(crate) async fn lock(&self, name: &str, deadline: Duration) -> io::Result<Option<Lock>> {
        let work = async {
            loop {
                let file = self.lock_file(name)?;
                // A blocking call of a thread of its own: the kernel wakes it the moment the holder is done or dead. The
                // thread outlives a deadline, and lets go of the lock as soon as it gets it.
                let (sender, receiver) = tokio::sync::oneshot::channel();
                std::thread::Builder::new().name("lock".into()).stack_size(64 * 1024).spawn(move || {
                    let locked = file.lock();
                    // A lost receiver drops the file here, and with it the lock.
                    let _ = sender.send(locked.map(|()| file));
                })?;
                let file = receiver.await.map_err(io::Error::other)??;
                if let Some(lock) = self.settle(name, file)? {
                    return Ok(lock);
                }
            }
        };
        match tokio::time::timeout(deadline, work).await {
            Ok(locked) => locked.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// The process that holds the lock of this name, as it said itself.
    pub(crate) fn holder(&self, name: &str) -> Option<u32> {
        let bytes = self.read(name).ok()??;
        std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
    }

    /// Removes a lock's file. Who waits for it will notice and make a new one.
    pub(crate) fn remove_lock(&self, name: &str, lock: &Lock) -> io::Result<()> {
        if self.is_current(name, &lock.0)? { self.remove(name) } else { Ok(()) }
    }

    /// A lock that was obtained counts unless its file was removed meanwhile: then others use a new one.
    fn settle(&self, name: &str, file: File) -> io::Result<Option<Lock>> {
        if self.is_current(name, &file)? { Lock::new(file).map(Some) } else { Ok(None) }
    }

    /// The file to lock. What is not a file of ours and of nobody else makes room for one: without it nobody would wait for
    /// anybody.
    fn lock_file(&self, name: &str) -> io::Result<File> {
        let open = || self.open_file(name, OFlags::RDWR | OFlags::CREATE);
        let opened = open().or_else(|_| self.remove(name).and_then(|()| open()))?;
        opened.map(|(file, _)| file).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Whether the file is still the one that others find by this name.
    fn is_current(&self, name: &str, file: &File) -> io::Result<bool> {
        let held = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok((stat.st_dev, stat.st_ino) == (held.st_dev, held.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a file without following a link or waiting for a pipe; `None` when there is none.
    fn open_file(&self, name: &str, flags: OFlags) -> io::Result<Option<(File, Stat)>> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        ours(&stat)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || stat.st_nlink != 1 {
            return Err(io::Error::other("is not a plain file with one name"));
        }
        Ok(Some((file, stat)))
    }

    fn replace(&self, name: &str, bytes: &[u8], settle: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        static TURN: AtomicU64 = AtomicU64::new(0);
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let staged = format!("{name}.{}.{turn}{STAGED}", std::process::id());
        let stage = || {
            // A leftover of a killed process of the same number may stand here; EXCL refuses to follow a link in its place.
            self.remove(&staged)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let mut file = File::from(rustix::fs::openat(&self.fd, &*staged, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(bytes)?;
            settle(&file)?;
            Ok(rustix::fs::renameat(&self.fd, &*staged, &self.fd, name)?)
        };
        let result = stage();
        if result.is_err() {
            // What is left of a failed attempt may hold a secret; if even this fails, the sweep comes later.
            let _ = self.remove(&staged);
        }
        result
    }
}

impl Lock {
    /// Leaves the holder's number for those who wait; a full disk leaves it out.
    fn new(file: File) -> io::Result<Self> {
        let text = format!("{:<10}\n", std::process::id());
        let _ = file.write_all_at(text.as_bytes(), 0);
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, but for a child that was forked meanwhile and has the same file open.
        let _ = self.0.unlock();
    }
}

fn ours(stat: &Stat) -> io::Result<()> {
    let denied = |what: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return denied(format!("belongs to another user ({})", stat.st_uid));
    }
    if stat.st_mode & 0o077 != 0 {
        return denied(format!("is open to other users (mode {:03o})", stat.st_mode & 0o777));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
