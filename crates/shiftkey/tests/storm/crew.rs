//! The worker processes: started, told, heard, killed, and always reaped.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, Sender, channel},
    time::Duration,
};

use shiftkey_sandbox::{Sandbox, engine::Engine};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::{
    time::Time,
    worker::{ENTRY, Spec},
};

/// Ends a test in which nothing happens any more; far longer than the library's own deadlines.
const SILENCE: Duration = Duration::from_secs(180);

/// A sandbox, a clock, and a place for the workers' files.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) runtime: Runtime,
    pub(crate) time: Time,
    pub(crate) spec: Spec,
    pub(crate) root: TempDir,
}

/// What a worker said.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    Ready,
    /// It has ended.
    Gone,
    Report(Report),
}

/// One answer that a worker got. Times are milliseconds of sandbox time.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) started: u64,
    pub(crate) ended: u64,
    pub(crate) outcome: Result<Handed, String>,
}

/// A credential as a worker tells of it.
#[derive(Clone, Debug)]
pub(crate) struct Handed {
    pub(crate) origin: String,
    pub(crate) user: String,
    pub(crate) expires: u64,
    pub(crate) hash: String,
}

/// What a worker was told and has not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) key: usize,
    /// The sandbox's time.
    pub(crate) sent: u64,
    /// How much had been entered into the books.
    pub(crate) page: usize,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    stdin: ChildStdin,
    flight: Option<Flight>,
}

/// The living workers.
#[derive(Debug)]
pub(crate) struct Crew {
    spec: PathBuf,
    logs: PathBuf,
    workers: BTreeMap<usize, Worker>,
    started: usize,
    said: Receiver<(usize, Said)>,
    tell: Sender<(usize, Said)>,
}

impl Stage {
    /// Starts the sandbox; `pace` is how often the workers may ask AWS, in calls per second and at once.
    pub(crate) fn new(faults: &[String], pace: (f64, f64)) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let root = tempfile::Builder::new().prefix("shiftkey-storm-").tempdir().unwrap();
        let time = Time::new(root.path());
        let mut builder = Sandbox::builder().engine(Engine::Embedded).clock(time.sandbox());
        for rule in faults {
            builder = builder.fault(rule.parse().unwrap());
        }
        let sandbox = runtime.block_on(builder.start()).unwrap();
        let spec = Spec {
            vars: sandbox.environment().into_iter().collect(),
            cache: root.path().join("cache"),
            clock: time.path().to_owned(),
            per_second: pace.0,
            burst: pace.1,
        };
        fs::create_dir(root.path().join("logs")).unwrap();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(root.path().join("spec")).unwrap();
        file.write_all(&serde_json::to_vec(&spec).unwrap()).unwrap();
        Self { sandbox, runtime, time, spec, root }
    }

    pub(crate) fn crew(&self) -> Crew {
        let (tell, said) = channel();
        let (spec, logs) = (self.root.path().join("spec"), self.root.path().join("logs"));
        Crew { spec, logs, workers: BTreeMap::new(), started: 0, said, tell }
    }

    /// Everything that the workers ever logged or wrote to stderr, file by file.
    pub(crate) fn logs(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = fs::read_dir(self.root.path().join("logs")).unwrap().map(|entry| entry.unwrap().path());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

impl Crew {
    /// Starts one more, and gives its number.
    pub(crate) fn start(&mut self) -> usize {
        let id = self.started;
        self.started += 1;
        let log = self.logs.join(id.to_string());
        let stderr = OpenOptions::new().append(true).create(true).open(&log).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(ENTRY).arg(&self.spec).arg(&log).env_clear();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send((id, Said::read(&line)));
            }
            let _ = tell.send((id, Said::Gone));
        });
        self.workers.insert(id, Worker { child, stdin, flight: None });
        id
    }

    /// Starts `count`, and waits until all are there.
    pub(crate) fn muster(&mut self, count: usize) -> Vec<usize> {
        let ids = (0..count).map(|_| self.start()).collect();
        for _ in 0..count {
            let (id, said) = self.hear();
            assert!(matches!(said, Said::Ready), "a worker did not start: {}", self.last_words(id));
        }
        ids
    }

    /// Tells one to ask for a credential.
    pub(crate) fn tell(&mut self, id: usize, manner: &str, flight: Flight) {
        let worker = self.workers.get_mut(&id).unwrap();
        worker.flight = Some(flight);
        // One that has just died is noticed by what it says last.
        let _ = writeln!(worker.stdin, "{} {} {manner}", flight.page, flight.key);
    }

    /// Waits for what one of them says.
    pub(crate) fn hear(&self) -> (usize, Said) {
        self.said.recv_timeout(SILENCE).expect("somebody says something in three minutes")
    }

    /// Notes that a worker has answered, and gives what it was told. `None` when it has been killed meanwhile.
    pub(crate) fn answered(&mut self, id: usize) -> Option<Flight> {
        self.workers.get_mut(&id)?.flight.take()
    }

    /// SIGKILL. Gives what the worker had been told and had not answered.
    pub(crate) fn kill(&mut self, id: usize) -> Option<Flight> {
        let mut worker = self.workers.remove(&id)?;
        worker.end();
        worker.flight
    }

    /// The end of what a worker logged.
    pub(crate) fn last_words(&self, id: usize) -> String {
        let log = fs::read(self.logs.join(id.to_string())).unwrap_or_default();
        String::from_utf8_lossy(&log[log.len().saturating_sub(2_000)..]).into_owned()
    }

    /// Whether a worker is still among us.
    pub(crate) fn has(&self, id: usize) -> bool {
        self.workers.contains_key(&id)
    }

    /// Those that have nothing to do.
    pub(crate) fn idle(&self) -> Vec<usize> {
        self.workers.iter().filter(|(_, worker)| worker.flight.is_none()).map(|(id, _)| *id).collect()
    }

    /// Those that have been told something and have not answered.
    pub(crate) fn busy(&self) -> Vec<usize> {
        self.workers.iter().filter(|(_, worker)| worker.flight.is_some()).map(|(id, _)| *id).collect()
    }

    /// When the one that has been busy for longest was told.
    pub(crate) fn oldest(&self) -> Option<u64> {
        self.workers.values().filter_map(|worker| Some(worker.flight?.sent)).min()
    }

    /// How many were ever started.
    pub(crate) fn started(&self) -> usize {
        self.started
    }

    /// Those that the kernel says hold a lock, or wait for one.
    pub(crate) fn at_locks(&self, waiting: bool) -> Vec<usize> {
        let table = fs::read_to_string("/proc/locks").unwrap_or_default();
        let pids: Vec<u32> = table
            .lines()
            .filter(|line| line.contains("FLOCK") && line.contains("->") == waiting)
            .filter_map(|line| line.split_whitespace().skip_while(|word| *word != "WRITE").nth(1)?.parse().ok())
            .collect();
        self.workers.iter().filter(|(_, worker)| pids.contains(&worker.child.id())).map(|(id, _)| *id).collect()
    }

    /// Lets all end by themselves, and says which did not end well.
    pub(crate) fn dismiss(&mut self) -> Vec<usize> {
        let mut badly = Vec::new();
        for (id, worker) in std::mem::take(&mut self.workers) {
            let Worker { mut child, stdin, .. } = worker;
            drop(stdin);
            if !child.wait().unwrap().success() {
                badly.push(id);
            }
        }
        badly
    }
}

impl Worker {
    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.workers.values_mut().for_each(Worker::end);
    }
}

impl Said {
    fn read(line: &str) -> Self {
        let words: Vec<&str> = line.split(' ').collect();
        let (started, ended, outcome) = match words.as_slice() {
            ["ready"] => return Self::Ready,
            [_, started, ended, "ok", origin, user, expires, hash] => {
                let text = |text: &str| text.to_owned();
                let handed = Handed { origin: text(origin), user: text(user), expires: expires.parse().unwrap(), hash: text(hash) };
                (started, ended, Ok(handed))
            }
            [_, started, ended, "error", error @ ..] => (started, ended, Err(error.join(" "))),
            _ => panic!("a worker said '{line}'"),
        };
        Self::Report(Report { started: started.parse().unwrap(), ended: ended.parse().unwrap(), outcome })
    }
}

/// Waits until `count` workers wait for locks. The kernel tells no one when that is so; the bound ends a test in which it
/// never is.
pub(crate) fn until_waiting(crew: &Crew, count: usize) {
    for _ in 0..500_000 {
        if crew.at_locks(true).len() == count {
            return;
        }
        std::thread::yield_now();
    }
    panic!("{} of {count} wait for a lock", crew.at_locks(true).len());
}

/// Takes a directory away at once, as `rm -r` would if it were quick: nobody finds half of it.
pub(crate) fn take_away(dir: &Path) {
    let away = dir.with_extension("away");
    if fs::rename(dir, &away).is_ok() {
        // Whoever still has it open may write into it meanwhile.
        for _ in 0..100 {
            if fs::remove_dir_all(&away).is_ok() {
                return;
            }
        }
        panic!("{} does not go away", away.display());
    }
}
