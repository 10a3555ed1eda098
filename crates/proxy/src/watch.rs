//! Files that are read anew when they change. They are looked at rather than watched by the kernel: editors, mounts and symbolic
//! links replace files in ways that a watch misses, and a look at a few files every two seconds costs nothing.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// How often.
const EVERY: Duration = Duration::from_secs(2);

/// What tells versions of a file apart: device, inode, size, time of the last change.
type Version = Option<(u64, u64, u64, i64, i64)>;

/// Files, and what they were like when they were last read.
#[derive(Debug)]
pub struct Watch<F> {
    files: F,
    known: Vec<(PathBuf, Version)>,
    last: Vec<(PathBuf, Version)>,
}

impl<F: Fn() -> Vec<PathBuf>> Watch<F> {
    /// Looks at the files that `files` names, anew each time: a file may come to be.
    pub fn new(files: F) -> Self {
        let known = look(&files);
        Self { last: known.clone(), known, files }
    }

    /// Waits until a file has changed, and until it has not for one more look: it may be half written. May be dropped and called
    /// again without missing a change.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(EVERY).await;
            let now = look(&self.files);
            let settled = now == self.last;
            self.last.clone_from(&now);
            if settled && now != self.known {
                self.known = now;
                return;
            }
        }
    }
}

fn look(files: &impl Fn() -> Vec<PathBuf>) -> Vec<(PathBuf, Version)> {
    files()
        .into_iter()
        .map(|path| {
            let version = version(&path);
            (path, version)
        })
        .collect()
}

/// `None` when it is not there.
fn version(path: &Path) -> Version {
    let it = fs::metadata(path).ok()?;
    Some((it.dev(), it.ino(), it.size(), it.mtime(), it.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_is_told_once_it_is_whole_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let mut watch = Watch::new(|| vec![path.clone()]);
        timeout(EVERY * 10, watch.changed()).await.unwrap_err();
        for text in ["it comes to be", "it is another one"] {
            fs::write(&path, text).unwrap();
            let started = Instant::now();
            watch.changed().await;
            assert_eq!(started.elapsed(), EVERY * 2);
            timeout(EVERY * 10, watch.changed()).await.unwrap_err();
        }
        // While it is being written, it is left alone.
        for length in 1..5 {
            fs::write(&path, "x".repeat(length)).unwrap();
            timeout(EVERY + EVERY / 2, watch.changed()).await.unwrap_err();
        }
        watch.changed().await;
        fs::rename(&path, dir.path().join("gone")).unwrap();
        watch.changed().await;
    }
}
