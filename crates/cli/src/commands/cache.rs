//! `cache`: what the processes of this user share. Never prints a secret.

use std::time::Duration;

use shiftkey::{Error, cache::Listed};

use crate::{args::CacheCommand, exit::Failure, output::Printer, settings::Settings};

pub(crate) fn cache(command: &CacheCommand, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    match command {
        CacheCommand::List => list(settings, printer),
        CacheCommand::Clear { target, all } => clear(target.as_deref(), *all, settings, printer),
        CacheCommand::Path => {
            let dir = settings
                .env
                .cache_dir()
                .ok_or_else(|| Error::config("there is no place for the cache").with_hint("set SHIFTKEY_CACHE_DIR, or HOME"))?;
            if printer.json {
                printer.json(&serde_json::json!({ "path": dir.display().to_string() }))?;
            } else {
                printer.line(&dir.display().to_string())?;
            }
            Ok(())
        }
    }
}

fn list(settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let cached = settings.shiftkey()?.cached();
    if printer.json {
        printer.json(&cached.iter().map(object).collect::<Vec<_>>())?;
    } else if cached.is_empty() {
        printer.say("the cache holds no credential");
    } else {
        let rows: Vec<_> = cached.iter().map(row).collect();
        printer.table(&["TARGET", "USER", "DATABASE", "WHO", "ENDS IN", "RENEWED IN", "HITS"], &rows)?;
    }
    Ok(())
}

fn clear(target: Option<&str>, all: bool, settings: &Settings, printer: &Printer) -> Result<(), Failure> {
    let shiftkey = settings.shiftkey()?;
    let count = if all { shiftkey.forget_all() } else { shiftkey.forget(|listed| target.is_none_or(|target| listed.target == target)) };
    if printer.json {
        printer.json(&serde_json::json!({ "forgotten": count }))?;
    } else {
        printer.say(&format!("{count} credential{} forgotten", if count == 1 { "" } else { "s" }));
    }
    Ok(())
}

fn row(listed: &Listed) -> Vec<String> {
    let ends = if listed.usable_for.is_zero() { "ended".to_owned() } else { span(listed.usable_for) };
    let renewed = if listed.usable_for.is_zero() {
        String::new()
    } else if listed.refreshes_in.is_zero() {
        "now due".to_owned()
    } else {
        span(listed.refreshes_in)
    };
    let (target, user, database, who) = (&listed.target, &listed.db_user, &listed.database, &listed.who);
    vec![target.clone(), user.clone(), database.clone(), who.clone(), ends, renewed, listed.hits.to_string()]
}

fn object(listed: &Listed) -> serde_json::Value {
    serde_json::json!({
        "target": listed.target,
        "db_user": listed.db_user,
        "database": listed.database,
        "warehouse": listed.warehouse,
        "region": listed.region,
        "who": listed.who,
        "expiration": humantime::format_rfc3339_seconds(listed.expires_at).to_string(),
        "usable_for": listed.usable_for.as_secs(),
        "refreshes_in": listed.refreshes_in.as_secs(),
        "hits": listed.hits,
        "key": listed.digest,
    })
}

/// In minutes, and in seconds when there are few.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let shown = if seconds >= 120 { seconds - seconds % 60 } else { seconds };
    humantime::format_duration(Duration::from_secs(shown)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_as_exact_as_a_person_needs() {
        for (seconds, expected) in [(0, "0s"), (59, "59s"), (119, "1m 59s"), (125, "2m"), (3_599, "59m")] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
