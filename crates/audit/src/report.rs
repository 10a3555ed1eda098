//! An audit, put together and written down: JSON by serde, CSV and HTML here. What is written for people stands in the command.

mod html;

use std::{collections::BTreeMap, fmt::Write as _, time::SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::{
    findings::{self, Finding, Severity, Surroundings},
    inventory::{Inventory, User, stamp},
};

/// Everything that an audit found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The target's label.
    pub target: String,
    /// The time of the audit.
    #[serde(serialize_with = "some")]
    pub at: SystemTime,
    /// What concerns the warehouse as a whole.
    pub findings: Vec<Finding>,
    /// How many users have a worst finding of each severity, and how many have none.
    pub summary: BTreeMap<&'static str, usize>,
    /// What was read.
    #[serde(flatten)]
    pub seen: Inventory,
    /// Findings of each user of `seen`, in its order.
    #[serde(skip)]
    pub rows: Vec<Vec<Finding>>,
}

impl Report {
    /// Judges what was read.
    pub fn new(target: &str, seen: Inventory, around: &Surroundings<'_>) -> Self {
        let rows: Vec<_> = seen.users.iter().map(|user| findings::of_user(user, around)).collect();
        let mut summary = BTreeMap::from([("none", 0), ("users", rows.len())]);
        summary.extend(Severity::ALL.iter().map(|severity| (severity.name(), 0)));
        for row in &rows {
            *summary.entry(row.first().map_or("none", |finding| finding.severity.name())).or_default() += 1;
        }
        let findings = findings::of_warehouse(&seen, around);
        Self { target: target.to_owned(), at: around.now, findings, summary, seen, rows }
    }

    /// Users and their findings, the worst first, then by name.
    pub fn ranked(&self) -> Vec<(&User, &[Finding])> {
        let mut all: Vec<_> = self.seen.users.iter().zip(self.rows.iter().map(Vec::as_slice)).collect();
        all.sort_by_key(|(user, found)| (std::cmp::Reverse(found.first().map(|it| it.severity)), &user.name));
        all
    }

    /// The worst of all.
    pub fn worst(&self) -> Option<Severity> {
        self.rows.iter().flatten().chain(&self.findings).map(|finding| finding.severity).max()
    }

    /// All of it. Each user has its findings.
    pub fn json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        let users = value.get_mut("users").and_then(Value::as_array_mut).into_iter().flatten();
        for (user, found) in users.zip(&self.rows) {
            user["findings"] = serde_json::to_value(found).unwrap_or_default();
        }
        value
    }

    /// A self-contained page.
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// Comma-separated values with a heading (RFC 4180): users, then findings of the warehouse, which have no user. A cell that a
    /// spreadsheet would take for a formula begins with `'`.
    pub fn csv(&self) -> String {
        let mut text = "user,superuser,createdb,groups,password,told_by,valid_until,last_password_login,last_iam_login,last_failure,\
                        principals,severity,findings,about,roles\r\n"
            .to_owned();
        for (user, found) in self.ranked() {
            let codes: Vec<&str> = found.iter().map(|it| it.code).collect();
            let cells = [
                user.name.clone(),
                user.superuser.to_string(),
                user.createdb.to_string(),
                user.groups.join(" "),
                user.password.state.name().to_owned(),
                user.password.told_by.to_owned(),
                time(user.valid_until),
                time(user.last_password_login),
                time(user.last_iam_login),
                time(user.last_failure),
                user.principals.join(" "),
                found.first().map_or("", |it| it.severity.name()).to_owned(),
                codes.join(" "),
                String::new(),
                user.roles.join(" "),
            ];
            let _ = write!(text, "{}\r\n", cells.map(|cell| quoted(&cell)).join(","));
        }
        for Finding { severity, code, message, .. } in &self.findings {
            let _ = write!(text, "{}{},{code},{},\r\n", ",".repeat(11), severity.name(), quoted(message));
        }
        text
    }
}

fn quoted(cell: &str) -> String {
    let formula = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    let plain = !cell.contains(['"', ',', '\n', '\r']);
    if plain { format!("{formula}{cell}") } else { format!("\"{formula}{}\"", cell.replace('"', "\"\"")) }
}

/// RFC 3339, or nothing.
pub fn time(at: Option<SystemTime>) -> String {
    at.map(|at| humantime::format_rfc3339_seconds(at).to_string()).unwrap_or_default()
}

fn some<S: serde::Serializer>(at: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    stamp(&Some(*at), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula_runs() {
        for (cell, expected) in [
            ("alice", "alice"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=cmd()", "'=cmd()"),
            ("@a,b", "\"'@a,b\""),
            ("line\nbreak", "\"line\nbreak\""),
        ] {
            assert_eq!(quoted(cell), expected);
        }
    }

    #[test]
    fn no_name_becomes_markup() {
        let users = vec![User { name: "<script>alert(1)</script>\"&'".into(), ..User::default() }];
        let around = Surroundings {
            break_glass: None,
            known: None,
            log: false,
            mapped: false,
            now: SystemTime::UNIX_EPOCH,
            policies: &[],
            ways: None,
        };
        let page = Report::new("t<b>", Inventory { users, ..Inventory::default() }, &around).html();
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&amp;&#39;") && page.contains("t&lt;b&gt;"));
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://") && !page.contains("t<b>"));
    }
}
