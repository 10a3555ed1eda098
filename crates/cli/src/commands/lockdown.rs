//! `lockdown`: switching passwords off. What is done and in which order is the library's; here is what is typed and shown.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use shiftkey::{Clock, Error, ErrorKind, Result, Secret, SystemClock, Target};
use shiftkey_audit::{
    Session,
    inventory::{self, Inventory},
    lockdown::{
        self, Lockdown, Progress, Stage,
        journal::{Event, Journal, Story},
        plan::{Action, Choice, Plan, Wanted, plan},
        verify::{Verdict, verify},
    },
};

use super::audit::{is_mapped, names, read, shown};
use crate::{args::LockdownArgs, exit::Failure, output::Printer, settings::Settings};

pub(crate) async fn lockdown(args: &LockdownArgs, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let target = settings.target(&args.target.target, &args.target.options)?;
    let path = match &args.journal {
        Some(path) => path.clone(),
        None => default_journal(settings, &target.label)?,
    };
    if args.report {
        return Ok(report(existing(&path, &target)?.story(), printer)?);
    }
    // Each call waits for its turn here: a person need not be told of each.
    let patient = settings.quiet();
    let options = lockdown::options(&settings.env);
    let shiftkey = patient.shiftkey()?;
    let lockdown =
        Lockdown { shiftkey: &shiftkey, target: &target, options: &options, clock: &SystemClock, batch: usize::from(args.batch) };
    let journal = if args.resume || args.verify { Some(existing(&path, &target)?) } else { None };
    let mut session = Session::open(&shiftkey, &target, &options).await?;
    if let Some(user) = &args.reenable {
        return reenable(&lockdown, &mut session, &path, user, printer).await;
    }
    match journal {
        Some(mut journal) if args.resume => return run(&lockdown, &mut session, &mut journal, settings, printer).await,
        Some(journal) => {
            let known = args.known_passwords.as_deref().map(known_passwords).transpose()?.unwrap_or_default();
            let seen = inventory::read(&mut session, is_mapped(&target), false).await?;
            return check(&lockdown, &session, journal.story(), &seen, known, printer).await;
        }
        None => {}
    }
    let seen = inventory::read(&mut session, is_mapped(&target), false).await?;
    let earlier = if path.exists() { Some(Journal::open(&path)?) } else { None };
    let story = earlier.as_ref().map(|journal| journal.story().clone()).unwrap_or_default();
    if !story.target.is_empty() && story.target != target.label {
        return Err(of_another(&path, &story, &target).into());
    }
    let wanted = wanted(args, &target, &story)?;
    if let Some((begins, since)) = seen.log_since.zip(wanted.inactive_since).filter(|(begins, since)| begins > since) {
        let [begins, since] = [begins, since].map(humantime::format_rfc3339_seconds);
        printer.caution(&Error::config(format!("the log begins at {begins}: sign-ins from {since} until then are not seen")));
    }
    let plan = plan(&seen, &wanted)?;
    // With --json the outcome alone is printed, which names who was done.
    if !(args.apply && printer.json) {
        print_plan(&plan, printer)?;
    }
    if !args.apply {
        printer.say("nothing was changed; --apply does it");
        return Ok(());
    }
    if !seen.reader_is_superuser {
        let error = Error::config(format!("taking passwords away needs a superuser, and {} is none", shown(&seen.reader)));
        return Err(error.with_target(&target.label).with_hint("name one: --db-user NAME").into());
    }
    if story.is_open() && !args.start_over {
        let error = Error::config("an earlier lockdown is not finished").with_target(&target.label);
        return Err(error.with_hint("--resume goes on with it; --start-over plans anew").into());
    }
    let mut journal = match earlier {
        Some(journal) => journal,
        None => Journal::open(&path)?,
    };
    journal.record(SystemClock.now(), Event::Planned { target: target.label.clone(), steps: plan.steps.clone() })?;
    printer.say(&format!("the journal is {}", path.display()));
    run(&lockdown, &mut session, &mut journal, settings, printer).await
}

async fn run(
    lockdown: &Lockdown<'_>,
    session: &mut Session,
    journal: &mut Journal,
    settings: &Settings,
    printer: &Printer,
) -> Result<(), Failure> {
    let told = settings.global.verbose > 0;
    let mut watch = |progress: Progress<'_>| {
        let Progress { user, stage, done, all } = progress;
        let what = match stage {
            Stage::Proven => "signed in by IAM",
            Stage::Announced => "the password goes",
            Stage::Changed => "the password is gone",
            Stage::Done => "signed in by IAM again, done",
        };
        if told {
            printer.say(&format!("{}: {what}", shown(user)));
        } else {
            printer.progress(&format!("{done} of {all} done; {}: {what}", shown(user)));
        }
    };
    let outcome = lockdown.run(session, journal, &mut watch).await;
    printer.progress("");
    let (done, all) = (journal.story().done.len(), journal.story().steps.len());
    if let Err(error) = outcome {
        printer.say(&format!("{done} of {all} users are done; nothing was done after this:"));
        return Err(error.with_target(&lockdown.target.label).into());
    }
    if printer.json {
        printer.json(journal.story())?;
    } else {
        printer.line(&format!("{done} of {all} users are done; `--verify` proves it"))?;
    }
    Ok(())
}

async fn reenable(lockdown: &Lockdown<'_>, session: &mut Session, path: &Path, user: &str, printer: &Printer) -> Result<(), Failure> {
    let mut journal = Journal::open(path)?;
    if !matches!(journal.story().target.as_str(), label if label.is_empty() || label == lockdown.target.label) {
        return Err(of_another(path, journal.story(), lockdown.target).into());
    }
    let password = lockdown.reenable(session, &mut journal, user).await?;
    // Shown here once, and kept nowhere.
    if printer.json {
        printer.json(&serde_json::json!({ "user": user, "password": password.expose() }))?;
    } else {
        printer.line(password.expose())?;
    }
    printer.say(&format!("{} can sign in by this password; it is not kept anywhere", shown(user)));
    Ok(())
}

async fn check(
    lockdown: &Lockdown<'_>,
    session: &Session,
    story: &Story,
    seen: &Inventory,
    known: Vec<(String, Secret)>,
    printer: &Printer,
) -> Result<(), Failure> {
    let mut found = verify(story, seen);
    for (user, password) in known {
        let (verdict, why) = lockdown.try_known(session.login(), &user, &password).await?;
        let Some(entry) = found.iter_mut().find(|entry| entry.user == user) else {
            let error = Error::config(format!("{} was not locked down, and its password {why}", shown(&user)));
            printer.caution(&error);
            continue;
        };
        // A refusal does not make up for what was seen; an open door does.
        if verdict == Verdict::Open || entry.verdict == Verdict::Unproven {
            (entry.verdict, entry.why) = (verdict, why.to_owned());
        }
    }
    if printer.json {
        printer.json(&found)?;
    } else {
        let word = |verdict| match verdict {
            Verdict::Open => "OPEN",
            Verdict::Refused => "refused",
            Verdict::Unproven => "unproven",
        };
        let rows: Vec<_> = found.iter().map(|it| vec![shown(&it.user), word(it.verdict).to_owned(), it.why.clone()]).collect();
        printer.table(&["USER", "BY PASSWORD", "BECAUSE"], &rows)?;
    }
    if found.iter().all(|it| it.verdict == Verdict::Refused) { Ok(()) } else { Err(Failure::Reported(ErrorKind::Unexpected)) }
}

fn report(story: &Story, printer: &Printer) -> std::io::Result<()> {
    if printer.json {
        return printer.json(story);
    }
    let row = |user: &String, state: &str| vec![shown(user), state.to_owned(), story.disabled.get(user).cloned().unwrap_or_default()];
    let left = story.left();
    let left = left.iter().map(|step| &step.user);
    let rows: Vec<_> = story
        .disabled
        .keys()
        .map(|user| row(user, "done"))
        .chain(left.map(|user| row(user, if story.begun.contains(user) { "begun" } else { "to do" })))
        .collect();
    printer.table(&["USER", "STATE", "AT"], &rows)?;
    printer.line(&format!("\n{} of {} users of the last plan are done", story.done.len(), story.steps.len()))?;
    if let Some(why) = &story.stopped {
        printer.line(&format!("stopped: {why}"))?;
    }
    Ok(())
}

fn print_plan(plan: &Plan, printer: &Printer) -> std::io::Result<()> {
    if printer.json {
        return printer.json(plan);
    }
    let warning = |user: &str| plan.warnings.iter().find(|(named, _)| named == user).map(|(_, what)| what.clone()).unwrap_or_default();
    let action = |action| match action {
        Action::Disable => "disable the password",
        Action::DisableUnproven => "disable the password, WITHOUT proof of a way in by IAM",
        Action::Substitute => "replace the password by one that nobody knows",
    };
    let steps = plan.steps.iter().map(|step| vec![shown(&step.user), action(step.action).to_owned(), warning(&step.user)]);
    let skipped = plan.skipped.iter().map(|(user, why)| vec![shown(user), "leave it".to_owned(), why.clone()]);
    printer.table(&["USER", "WHAT", "MIND"], &steps.chain(skipped).collect::<Vec<_>>())?;
    printer.line(&format!("\n{} to do, {} left as they are", plan.steps.len(), plan.skipped.len()))
}

fn wanted(args: &LockdownArgs, target: &Target, story: &Story) -> Result<Wanted> {
    let choice = if args.users.is_empty() && args.all_except.is_empty() {
        return Err(Error::config("nobody is chosen").with_hint("say --users NAME,NAME or --all-except NAME,NAME"));
    } else if args.users.is_empty() {
        Choice::AllExcept(listed(&args.all_except)?)
    } else {
        Choice::Users(listed(&args.users)?)
    };
    Ok(Wanted {
        choice,
        inactive_since: args.inactive_for.and_then(|span| SystemClock.now().checked_sub(span)),
        include_superusers: args.include_superusers,
        lock_out_unproven: args.lock_out_unproven,
        break_glass: target.break_glass.clone(),
        gone: story.disabled.keys().cloned().collect(),
        mapped: is_mapped(target),
    })
}

fn listed(words: &[String]) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for word in words.iter().filter(|word| !word.is_empty()) {
        match word.strip_prefix('@') {
            Some(path) => all.extend(names(Path::new(path))?),
            None => drop(all.insert(word.clone())),
        }
    }
    Ok(all)
}

fn known_passwords(path: &Path) -> Result<Vec<(String, Secret)>> {
    let wrong = |what: &str| Error::config(format!("{} {what}", path.display()));
    let mode = std::fs::metadata(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?.mode();
    if mode & 0o077 != 0 {
        return Err(wrong("holds passwords and can be read by others").with_hint(format!("chmod 600 {}", path.display())));
    }
    let text = Secret::new(String::from_utf8(read(path)?).map_err(|_| wrong("is not UTF-8"))?);
    let pair = |(number, line): (usize, &str)| {
        let (user, password) = line.split_once(':').ok_or_else(|| wrong(&format!("has no USER:PASSWORD in line {}", number + 1)))?;
        Ok((user.to_owned(), Secret::new(password.to_owned())))
    };
    text.expose().lines().enumerate().filter(|(_, line)| !line.is_empty()).map(pair).collect()
}

/// The journal of a lockdown that was begun.
fn existing(path: &Path, target: &Target) -> Result<Journal> {
    let none = || Error::config("no lockdown was made").with_hint(format!("there is none in the journal {}", path.display()));
    if !path.exists() {
        return Err(none().with_target(&target.label));
    }
    let journal = Journal::open(path)?;
    match journal.story().target.as_str() {
        "" => Err(none().with_target(&target.label)),
        label if label != target.label => Err(of_another(path, journal.story(), target)),
        _ => Ok(journal),
    }
}

fn of_another(path: &Path, story: &Story, target: &Target) -> Error {
    let error = Error::config(format!("the journal {} is of {}", path.display(), story.target)).with_target(&target.label);
    error.with_hint("each target has a journal of its own: say another --journal, or none")
}

fn default_journal(settings: &Settings, label: &str) -> Result<PathBuf> {
    let state = settings.env.var("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.or_else(|| settings.env.home.as_ref().map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| Error::config("there is no home for the journal").with_hint("say --journal FILE"))?;
    let name: String = label.chars().map(|char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '+' }).collect();
    Ok(state.join("shiftkey/lockdown").join(format!("{name}.jsonl")))
}
