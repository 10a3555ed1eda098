//! The page: one file, no script, nothing from elsewhere. It follows the reader's light or dark, and narrows to a phone.

use std::{fmt::Write as _, time::SystemTime};

use super::Report;
use crate::{
    findings::{Finding, Severity},
    inventory::{PasswordState, User},
};

pub(super) fn page(report: &Report) -> String {
    let title = format!("Who can still use a password: {}", escape(&report.target));
    let mut filters = String::new();
    for name in severities() {
        let _ = write!(
            filters,
            "#show-{name}:checked~.table tbody tr:not(.{name}){{display:none}}#show-{name}:checked~.filter label[for=show-{name}],"
        );
    }
    filters.push_str("#show-all:checked~.filter label[for=show-all]{border-color:var(--ink);font-weight:600}");
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>{title}</title><style>{}{filters}</style></head><body><main><h1>{title}</h1>",
        include_str!("page.css")
    );
    lead(&mut page, report);
    tiles(&mut page, report);
    notes(&mut page, report);
    users(&mut page, report);
    page.push_str(
        "<footer>Times are in UTC. Made by shiftkey; this page holds no password and loads nothing.</footer></main></body></html>\n",
    );
    page
}

fn severities() -> impl Iterator<Item = &'static str> {
    Severity::ALL.iter().rev().map(|severity| severity.name()).chain(["none"])
}

fn lead(page: &mut String, report: &Report) {
    let seen = &report.seen;
    let log = match (seen.log, seen.log_since) {
        ("", _) => "no connection log was readable".to_owned(),
        (log, Some(since)) => format!("sign-ins since {} ({log})", minute(since)),
        (log, None) => format!("no sign-in is in {log}"),
    };
    let reader = if seen.reader_is_superuser { "a superuser" } else { "an ordinary user" };
    let _ = write!(page, "<p class=\"lead\">{} · read as {} ({reader}) · {log}</p>", minute(report.at), escape(&seen.reader));
}

fn tiles(page: &mut String, report: &Report) {
    let count = |name: &str| report.summary.get(name).copied().unwrap_or_default();
    let with = report.seen.users.iter().filter(|user| user.password.state == PasswordState::Yes).count();
    let _ = write!(
        page,
        "<div class=\"tiles\"><div class=\"tile\"><b>{}</b><span>users</span></div><div class=\"tile\"><b>{with}</b><span>have a password</span></div>",
        count("users")
    );
    for name in severities() {
        let label = if name == "none" { "in order" } else { name };
        let _ = write!(page, "<div class=\"tile {name}\"><b>{}</b><span>{label}</span></div>", count(name));
    }
    page.push_str("</div><div class=\"bar\" role=\"img\" aria-label=\"users by their worst finding\">");
    for name in severities().filter(|name| count(name) > 0) {
        let _ = write!(page, "<i class=\"{name}\" style=\"flex:{}\"></i>", count(name));
    }
    page.push_str("</div>");
}

fn notes(page: &mut String, report: &Report) {
    if !report.findings.is_empty() {
        page.push_str("<h2>The warehouse</h2>");
    }
    for Finding { severity, message, fix, .. } in &report.findings {
        let name = severity.name();
        let _ = write!(page, "<div class=\"note {name}\"><span class=\"pill\">{name}</span>{}<p>{}</p></div>", escape(message), prose(fix));
    }
    if !report.seen.unseen.is_empty() {
        page.push_str("<h2>What could not be seen</h2>");
    }
    for it in &report.seen.unseen {
        let _ = write!(page, "<div class=\"note\"><b>{}</b><p>{}. {}.</p></div>", escape(&it.what), escape(&it.why), prose(&it.hint));
    }
}

fn users(page: &mut String, report: &Report) {
    page.push_str("<h2>Users</h2><div><input type=\"radio\" name=\"show\" id=\"show-all\" checked>");
    for name in severities() {
        let _ = write!(page, "<input type=\"radio\" name=\"show\" id=\"show-{name}\">");
    }
    page.push_str("<div class=\"filter\"><label for=\"show-all\">All</label>");
    for name in severities() {
        let label = if name == "none" { "In order" } else { name };
        let _ = write!(page, "<label for=\"show-{name}\">{label} {}</label>", report.summary.get(name).copied().unwrap_or_default());
    }
    page.push_str(
        "</div><div class=\"table\"><table><thead><tr><th>User</th><th>Password</th><th>Last by password</th><th>Last by IAM</th>\
         <th>Findings</th></tr></thead><tbody>",
    );
    for (user, found) in report.ranked() {
        row(page, user, found);
    }
    page.push_str("</tbody></table></div></div>");
}

fn row(page: &mut String, user: &User, found: &[Finding]) {
    let tone = found.first().map_or("none", |it| it.severity.name());
    let _ = write!(page, "<tr class=\"{tone}\"><td><span class=\"name\">{}</span><br>", escape(&user.name));
    let rights = [(user.superuser, "superuser"), (user.createdb && !user.superuser, "creates databases")];
    let rights = rights.into_iter().filter(|(has, _)| *has).map(|(_, right)| right.to_owned());
    let groups = user.groups.iter().map(|group| format!("in {}", escape(group)));
    for tag in rights.chain(groups).chain(user.roles.iter().map(|role| format!("role {}", escape(role)))) {
        let _ = write!(page, "<span class=\"tag\">{tag}</span>");
    }
    let _ = write!(page, "</td><td data-of=\"Password\">{}", user.password.state.name());
    if !user.password.told_by.is_empty() {
        let _ = write!(page, " <span class=\"quiet\">({})</span>", user.password.told_by);
    }
    if let Some(until) = user.valid_until {
        let _ = write!(page, "<br><span class=\"quiet\">until {}</span>", minute(until));
    }
    for (of, at) in [("Last by password", user.last_password_login), ("Last by IAM", user.last_iam_login)] {
        let _ = write!(page, "</td><td class=\"when\" data-of=\"{of}\">{}", at.map_or_else(|| "–".to_owned(), minute));
    }
    for principal in &user.principals {
        let _ = write!(page, "<br><span class=\"quiet\" style=\"white-space:normal;overflow-wrap:anywhere\">{}</span>", escape(principal));
    }
    page.push_str("</td><td>");
    for Finding { severity, message, fix, .. } in found {
        let name = severity.name();
        let _ = write!(
            page,
            "<div class=\"find {name}\"><span class=\"pill\">{name}</span>{}<div class=\"quiet\">{}</div></div>",
            escape(message),
            prose(fix)
        );
    }
    page.push_str("</td></tr>");
}

/// Text in which commands stand between backquotes.
fn prose(text: &str) -> String {
    let part = |(place, part): (usize, &str)| if place % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) };
    text.split('`').enumerate().map(part).collect()
}

/// `2026-11-26 14:05`.
fn minute(at: SystemTime) -> String {
    humantime::format_rfc3339_seconds(at).to_string().replace('T', " ")[..16].to_owned()
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(char),
        }
    }
    safe
}
