//! The page for a person: one document, no script, nothing loaded from anywhere, tables with headings that a screen reader
//! tells and a keyboard reaches.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime},
};

use crate::proxy::Proxy;

const STYLE: &str = include_str!("page.css");

/// Text that may hold anything, in HTML.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

/// A column: its heading, and how its cells look.
type Column = (&'static str, Look);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Look {
    Plain,
    Number,
    /// Of a machine, character by character.
    Code,
    /// Several, so that they may break.
    Words,
}

/// The page as it is now.
pub(super) fn render(proxy: &Proxy) -> String {
    let now = proxy.now();
    let state = match proxy.unready() {
        None => "<p class=\"good\">It takes new sessions.</p>".to_owned(),
        Some(why) => format!("<p class=\"bad\">It takes no new sessions: {why}.</p>"),
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>shiftkey proxy</title><style>{STYLE}</style></head>\n<body><header><h1>shiftkey proxy</h1>{state}\
         <nav aria-label=\"Views\"><a href=\"/\">Refresh</a><a href=\"/metrics\">Metrics</a></nav></header>\n<main>\n",
    );
    totals(&mut page, proxy);
    targets(&mut page, proxy);
    sessions(&mut page, proxy, now);
    credentials(&mut page, proxy);
    failures(&mut page, proxy);
    let _ = write!(page, "</main>\n<footer>As of {} UTC. Nothing on this page changes anything.</footer></body></html>\n", moment(now));
    page
}

fn totals(page: &mut String, proxy: &Proxy) {
    let counts = proxy.stats().counts();
    page.push_str("<dl aria-label=\"Since the start\">");
    for (name, value) in [
        ("sessions open", grouped(counts.open)),
        ("sessions signed in", grouped(counts.signed_in)),
        ("AWS calls made for them", grouped(counts.issued)),
        ("AWS calls saved", grouped(counts.saved)),
        ("sign-ins that failed", grouped(counts.failed)),
        ("connections of others refused", grouped(counts.refused)),
        ("queries cancelled", grouped(counts.cancels)),
        ("sent to clients", bytes(counts.to_clients)),
        ("sent by clients", bytes(counts.from_clients)),
    ] {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    }
    page.push_str("</dl>\n");
}

fn targets(page: &mut String, proxy: &Proxy) {
    let rows = proxy.listening().into_iter().map(|it| vec![it.target, it.address, it.lets_in]).collect();
    table(page, "Targets", &[("Target", Look::Plain), ("Listens on", Look::Code), ("Lets in", Look::Words)], rows);
}

fn sessions(page: &mut String, proxy: &Proxy, now: SystemTime) {
    let rows = proxy.stats().open_sessions().into_iter().map(|it| {
        let uid = it.uid.map_or_else(|| "elsewhere".to_owned(), |uid| uid.to_string());
        let client = if it.application.is_empty() { "unnamed".to_owned() } else { it.application };
        let lasted = span(now.duration_since(it.since).unwrap_or_default());
        vec![it.target, it.database, it.db_user, client, uid, moment(it.since), lasted, bytes(it.to_client), bytes(it.from_client)]
    });
    let columns = [
        ("Target", Look::Plain),
        ("Database", Look::Plain),
        ("Database user", Look::Plain),
        ("Client", Look::Plain),
        ("User id", Look::Number),
        ("Since (UTC)", Look::Plain),
        ("For", Look::Plain),
        ("To client", Look::Number),
        ("From client", Look::Number),
    ];
    table(page, "Open sessions", &columns, rows.collect());
}

fn credentials(page: &mut String, proxy: &Proxy) {
    let rows = proxy.cached().into_iter().map(|it| {
        let refresh = if it.refreshes_in.is_zero() { "at the next sign-in".to_owned() } else { format!("in {}", span(it.refreshes_in)) };
        vec![it.target, it.database, it.db_user, it.who, span(it.usable_for), refresh, grouped(it.hits)]
    });
    let columns = [
        ("Target", Look::Plain),
        ("Database", Look::Plain),
        ("Database user", Look::Plain),
        ("Asked for by", Look::Code),
        ("Good for", Look::Plain),
        ("Next refresh", Look::Plain),
        ("AWS calls saved", Look::Number),
    ];
    table(page, "Credentials that your processes share", &columns, rows.collect());
}

fn failures(page: &mut String, proxy: &Proxy) {
    let rows = proxy.stats().failures().into_iter().map(|it| vec![moment(it.at), it.code, it.message]).collect();
    table(
        page,
        "Recent failures",
        &[("When (UTC)", Look::Plain), ("SQLSTATE", Look::Code), ("What the client was told", Look::Words)],
        rows,
    );
}

fn table(page: &mut String, caption: &str, columns: &[Column], rows: Vec<Vec<String>>) {
    let _ = writeln!(page, "<section><h2>{caption}</h2>");
    if rows.is_empty() {
        page.push_str("<p class=\"card quiet\">None.</p></section>\n");
        return;
    }
    // A region that scrolls must be reachable by keyboard.
    let _ = write!(
        page,
        "<div class=\"card\" tabindex=\"0\" role=\"group\" aria-label=\"{caption}, table\"><table><caption>{caption}: {}</caption><thead><tr>",
        rows.len()
    );
    for (heading, look) in columns {
        let class = if *look == Look::Number { " class=\"number\"" } else { "" };
        let _ = write!(page, "<th scope=\"col\"{class}>{heading}</th>");
    }
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        for (place, (cell, (_, look))) in row.iter().zip(columns).enumerate() {
            let cell = Text(cell);
            let _ = match look {
                _ if place == 0 => write!(page, "<th scope=\"row\">{cell}</th>"),
                Look::Plain => write!(page, "<td>{cell}</td>"),
                Look::Number => write!(page, "<td class=\"number\">{cell}</td>"),
                Look::Code => write!(page, "<td><code>{cell}</code></td>"),
                Look::Words => write!(page, "<td class=\"words\">{cell}</td>"),
            };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div></section>\n");
}

/// `2026-11-26 15:04:05`.
fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}

fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

/// Thousands apart: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three digits of it: `1.23 MB`.
fn bytes(number: u64) -> String {
    let (mut value, mut unit) = (number as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / 1000.0, larger);
    }
    match value {
        _ if unit == "B" => format!("{number} B"),
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_text() {
        assert_eq!(Text("<b a='\"'>&").to_string(), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        let mut page = String::new();
        table(&mut page, "T", &[("A", Look::Plain), ("B", Look::Words)], vec![vec!["x".into(), "<script>".into()]]);
        assert!(page.contains("<td class=\"words\">&lt;script&gt;</td>") && page.contains("<th scope=\"row\">x</th>"), "{page}");
    }

    #[test]
    fn numbers_are_for_people() {
        for (number, count, size) in [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1_000, "1,000", "1.00 kB"),
            (12_345, "12,345", "12.3 kB"),
            (999_600, "999,600", "1.00 MB"),
            (1_234_567_890, "1,234,567,890", "1.23 GB"),
            (u64::MAX, "18,446,744,073,709,551,615", "18446744 TB"),
        ] {
            assert_eq!((grouped(number).as_str(), bytes(number).as_str()), (count, size));
        }
        assert_eq!(moment(SystemTime::UNIX_EPOCH), "1970-01-01 00:00:00");
    }
}
