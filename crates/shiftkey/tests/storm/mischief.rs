//! What goes wrong: AWS's bad times, and accidents on the machine.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use shiftkey_sandbox::world::World;

use crate::{keys::grants, random::Random};

const CREDENTIAL: &str = ".cred";

/// How a file goes bad.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Cut,
    Garbage,
    Gone,
    OpenToAll,
}

/// AWS throttles half of all calls; of the others every fifth goes wrong in another way. So many of the first `calls` hang,
/// which takes the library five seconds each. In a `hasty` storm most throttles allow to try again at once.
pub(crate) fn faults(random: &mut Random, hangs: usize, calls: usize, hasty: bool) -> Vec<String> {
    let mut rules: Vec<String> = (0..hangs).map(|_| format!("*:hang@{}", 1 + random.below(calls))).collect();
    // A rule meets what those before it left.
    let throttles = if hasty {
        [("throttle", 0.15), ("throttle,retry-after=0s", 0.41)]
    } else {
        [("throttle", 0.45), ("throttle,retry-after=1s", 0.09)]
    };
    let others = [("503", 0.08), ("500", 0.04), ("drop", 0.04), ("truncate", 0.03)];
    for (fault, chance) in throttles.into_iter().chain(others) {
        rules.push(format!("*:{fault}@{chance:?},seed={}", 1 + random.below(1_000_000)));
    }
    rules
}

/// Damages one file of the cache, and says which: its name and how.
pub(crate) fn damage(random: &mut Random, cache: &Path) -> Option<(String, String)> {
    let all = names(cache);
    let credentials: Vec<String> = all.iter().filter(|name| name.ends_with(CREDENTIAL)).cloned().collect();
    let among = if random.one_in(3) { &all } else { &credentials };
    let name = random.pick(among)?.clone();
    let path = cache.join(&name);
    let how = *random.pick(&[Damage::Cut, Damage::Garbage, Damage::Gone, Damage::OpenToAll])?;
    let done = match how {
        Damage::Cut => cut(&path, random),
        Damage::Garbage => File::options().write(true).open(&path).and_then(|mut file| file.write_all(&random.next().to_be_bytes())),
        Damage::Gone => fs::remove_file(&path),
        Damage::OpenToAll => fs::set_permissions(&path, fs::Permissions::from_mode(0o644)),
    };
    done.ok().map(|()| (name, format!("{how:?}")))
}

fn cut(path: &Path, random: &mut Random) -> std::io::Result<()> {
    let file = File::options().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap();
    file.set_len(u64::try_from(random.below(length)).unwrap())
}

/// The keys whose credentials can be read in the cache, with the names of their files.
pub(crate) fn intact(cache: &Path, world: &World) -> Vec<(usize, String)> {
    let grants = grants(world);
    let key_of = |name: &String| {
        let path = cache.join(name);
        let private = fs::metadata(&path).ok()?.permissions().mode() & 0o077 == 0;
        let bytes = fs::read(&path).ok().filter(|bytes| private && bytes.starts_with(b"shiftkey-cache 1 "))?;
        let body = &bytes[bytes.iter().position(|byte| *byte == b'\n')?..];
        let password = serde_json::from_slice::<serde_json::Value>(body).ok()?["password"].as_str()?.to_owned();
        grants.iter().find(|(_, grant)| grant.password == password)?.0
    };
    let files = names(cache).into_iter().filter(|name| name.ends_with(CREDENTIAL));
    files.filter_map(|name| Some((key_of(&name)?, name.strip_suffix(CREDENTIAL)?.to_owned()))).collect()
}

/// Leaves what a process that was killed two minutes ago might have left.
pub(crate) fn plant_leftover(cache: &Path) -> PathBuf {
    let path = cache.join("0123.cred.1.0.tmp");
    let file = File::create(&path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    file.set_modified(written - Duration::from_secs(120)).unwrap();
    path
}

/// Unfinished files that are older than a minute, by the clock of the file system.
pub(crate) fn old_leftovers(cache: &Path) -> Vec<String> {
    let written = |path: &Path| -> SystemTime { fs::metadata(path).unwrap().modified().unwrap() };
    let probe = cache.join("probe");
    File::create(&probe).unwrap();
    let now = written(&probe);
    fs::remove_file(&probe).unwrap();
    let unfinished = names(cache).into_iter().filter(|name| name.ends_with(".tmp"));
    unfinished.filter(|name| now.duration_since(written(&cache.join(name))).is_ok_and(|age| age > Duration::from_secs(60))).collect()
}

/// Locks that cannot be taken.
pub(crate) fn held_locks(cache: &Path) -> Vec<String> {
    let locks = names(cache).into_iter().filter(|name| name.ends_with(".lock"));
    locks.filter(|name| File::options().read(true).write(true).open(cache.join(name)).unwrap().try_lock().is_err()).collect()
}

/// The names of the cache's files, sorted.
pub(crate) fn names(cache: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}
