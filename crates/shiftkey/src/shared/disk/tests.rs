use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::PathBuf,
};

use super::*;

struct Place {
    root: tempfile::TempDir,
    path: PathBuf,
    dir: PrivateDir,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("cache");
    let dir = PrivateDir::create(&path).unwrap();
    Place { root, path, dir }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn a_file_is_private_from_birth_and_leaves_no_remains() {
    let Place { path: home, dir, root: _root } = place();
    dir.write("entry", b"one").unwrap();
    dir.write_lightly("entry", b"two").unwrap();
    assert_eq!(dir.read("entry").unwrap().unwrap().as_slice(), b"two");
    assert_eq!(home.join("entry").metadata().unwrap().mode() & 0o777, 0o600);
    assert_eq!(home.metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(dir.names().unwrap(), ["entry"]);
    assert!(dir.read("none").unwrap().is_none());
}

#[test]
fn links_loose_modes_pipes_and_giants_are_refused() {
    let Place { root, path: home, dir } = place();
    let path = home.join("entry");
    dir.write("entry", b"secret").unwrap();
    symlink(&path, home.join("link")).unwrap();
    assert!(dir.read("link").is_err(), "a symbolic link");
    assert!(dir.append("link", b"x").is_err(), "a symbolic link is not written through");
    assert!(dir.try_lock("link").unwrap().is_some(), "a lock takes its place");
    assert_eq!(dir.read("entry").unwrap().unwrap().as_slice(), b"secret", "and what it pointed to is as it was");
    drop(dir.try_lock("lock").unwrap());
    chmod(&home.join("lock"), 0o644);
    assert!(dir.try_lock("lock").unwrap().is_some(), "a lock that others could hold makes room for one that they cannot");
    assert_eq!(home.join("lock").metadata().unwrap().mode() & 0o777, 0o600);
    chmod(&path, 0o640);
    assert!(dir.read("entry").is_err(), "readable by the group");
    chmod(&path, 0o600);
    fs::hard_link(&path, root.path().join("elsewhere")).unwrap();
    assert!(dir.read("entry").is_err(), "a second name");
    rustix::fs::mknodat(rustix::fs::CWD, home.join("pipe"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    assert!(dir.read("pipe").is_err(), "a pipe, which must not make us wait");
    dir.write("giant", &vec![0; 65 * 1024]).unwrap();
    assert!(dir.read("giant").is_err(), "larger than anything we write");
}

#[test]
fn a_write_puts_a_file_in_the_place_of_whatever_stands_there() {
    let Place { root, path: home, dir } = place();
    let victim = root.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, home.join("entry")).unwrap();
    dir.write("entry", b"ours").unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "the link was replaced, not followed");
    assert_eq!(dir.read("entry").unwrap().unwrap().as_slice(), b"ours");
}

#[test]
fn a_directory_that_others_share_is_refused() {
    let Place { root, path: home, .. } = place();
    chmod(&home, 0o750);
    let error = PrivateDir::open(&home).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("mode 750"), "{error}");
    chmod(&home, 0o700);
    let link = root.path().join("link");
    symlink(&home, &link).unwrap();
    assert_eq!(PrivateDir::open(&link).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    // Root's own directories are somebody else's to everybody but root, who may try it with nobody's.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&home, Some(65534), None).unwrap();
        assert!(PrivateDir::open(&home).unwrap_err().to_string().contains("another user"));
    }
}

#[test]
fn a_directory_swapped_after_the_check_is_not_used() {
    let Place { root, path: home, dir } = place();
    dir.write("entry", b"ours").unwrap();
    fs::rename(&home, root.path().join("moved")).unwrap();
    fs::create_dir(&home).unwrap();
    fs::write(home.join("entry"), "planted").unwrap();
    assert_eq!(dir.read("entry").unwrap().unwrap().as_slice(), b"ours");
}

/// Makes a file look as if it had been written that long ago.
fn age(home: &Path, name: &str, by: Duration) {
    let file = File::options().append(true).open(home.join(name)).unwrap();
    file.set_modified(file.metadata().unwrap().modified().unwrap() - by).unwrap();
}

#[test]
fn remains_of_killed_writers_are_swept_once_they_are_old() {
    let Place { path: home, dir, root: _root } = place();
    dir.write("entry", b"whole").unwrap();
    dir.append("entry.1.0.tmp", b"half a secret").unwrap();
    age(&home, "entry.1.0.tmp", Duration::from_secs(30));
    dir.sweep("entry");
    assert_eq!(dir.names().unwrap().len(), 2, "a living writer is not disturbed");
    age(&home, "entry.1.0.tmp", Duration::from_secs(60));
    dir.sweep("entry");
    assert_eq!(dir.names().unwrap(), ["entry"]);
}

#[test]
fn what_nobody_touched_for_days_is_swept_but_no_lock_that_is_held() {
    let Place { path: home, dir, root: _root } = place();
    dir.write("fresh", b"x").unwrap();
    dir.write("old", b"x").unwrap();
    drop(dir.try_lock("free.lock").unwrap());
    let held = dir.try_lock("held.lock").unwrap();
    let day = Duration::from_secs(24 * 3600);
    for name in ["old", "free.lock", "held.lock"] {
        age(&home, name, 2 * day);
    }
    dir.sweep("fresh");
    assert_eq!(dir.names().unwrap().len(), 4);
    for name in ["old", "free.lock", "held.lock"] {
        age(&home, name, 2 * day);
    }
    dir.sweep("fresh");
    assert_eq!(dir.names().unwrap(), ["fresh", "held.lock"]);
    drop(held);
}

#[test]
fn appends_count() {
    let Place { dir, root: _root, .. } = place();
    assert_eq!(dir.size("hits"), 0);
    dir.append("hits", b".").unwrap();
    dir.append("hits", b".").unwrap();
    assert_eq!(dir.size("hits"), 2);
}

#[test]
fn one_holds_a_lock_and_says_who_it_is() {
    let Place { dir, root: _root, .. } = place();
    let lock = dir.try_lock("lock").unwrap().unwrap();
    assert!(dir.try_lock("lock").unwrap().is_none());
    assert_eq!(dir.holder("lock"), Some(std::process::id()));
    drop(lock);
    assert!(dir.try_lock("lock").unwrap().is_some());
}

#[tokio::test]
async fn a_waiter_gets_the_lock_or_its_deadline() {
    let Place { dir, root: _root, .. } = place();
    let held = dir.try_lock("lock").unwrap().unwrap();
    assert!(dir.lock("lock", Duration::ZERO).await.unwrap().is_none());
    drop(held);
    assert!(dir.lock("lock", Duration::from_secs(30)).await.unwrap().is_some());
}

#[test]
fn a_lock_of_a_file_that_was_removed_meanwhile_does_not_count() {
    let Place { dir, root: _root, .. } = place();
    let opened = dir.lock_file("lock").unwrap();
    dir.remove("lock").unwrap();
    let current = dir.try_lock("lock").unwrap().unwrap();
    opened.try_lock().expect("nobody else has this file");
    assert!(dir.settle("lock", opened).unwrap().is_none());
    drop(current);
}

#[test]
fn a_lock_whose_file_was_removed_is_nobodys() {
    let Place { dir, root: _root, .. } = place();
    let held = dir.try_lock("lock").unwrap().unwrap();
    dir.remove_lock("lock", &held).unwrap();
    let second = dir.try_lock("lock").unwrap().expect("a new file has a lock of its own");
    dir.remove_lock("lock", &held).unwrap();
    assert!(dir.try_lock("lock").unwrap().is_none(), "the old holder does not remove the new one's file");
    drop(second);
}
