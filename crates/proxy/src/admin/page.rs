//! The page for a person: one document, no script, nothing loaded from anywhere, tables with headings that a screen reader
//! tells and a keyboard reaches.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime},
};

use crate::proxy::Proxy;

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:70rem;margin:1rem auto;padding:0 1rem;color:#111;background:#fff}\
table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:bold;padding:.5rem 0}\
th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #767676;vertical-align:top}\
dl{display:grid;grid-template-columns:max-content auto;gap:.25rem 1rem}dd{margin:0}a:focus,[tabindex]:focus{outline:3px solid #1a5fb4}\
.wide{overflow-x:auto}@media(prefers-color-scheme:dark){body{color:#eee;background:#111}a{color:#99c1f1}}";

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

/// The page as it is now.
pub(super) fn render(proxy: &Proxy) -> String {
    let now = proxy.now();
    let counts = proxy.stats().counts();
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>shiftkey proxy</title><style>{STYLE}</style></head>\n<body><main><h1>shiftkey proxy</h1>\n\
         <p>{} As of {}. <a href=\"/\">Refresh</a> · <a href=\"/metrics\">Metrics</a></p>\n",
        proxy.unready().map_or("It takes new sessions.".to_owned(), |why| format!("It takes no new sessions: {why}.")),
        moment(now),
    );
    page.push_str("<h2>Since the start</h2><dl>\n");
    for (name, value) in [
        ("Sessions signed in", counts.signed_in),
        ("AWS calls made for them", counts.issued),
        ("AWS calls saved", counts.saved),
        ("Sign-ins that failed", counts.failed),
        ("Connections of other users refused", counts.refused),
        ("Queries cancelled", counts.cancels),
        ("Bytes to clients", counts.to_clients),
        ("Bytes from clients", counts.from_clients),
    ] {
        let _ = writeln!(page, "<dt>{name}</dt><dd>{value}</dd>");
    }
    page.push_str("</dl>\n");
    let sessions = proxy.stats().open_sessions().into_iter().map(|session| {
        let uid = session.uid.map_or_else(|| "anyone".to_owned(), |uid| uid.to_string());
        let (to_client, from_client) = (session.to_client.to_string(), session.from_client.to_string());
        vec![session.target, session.database, session.db_user, session.application, uid, moment(session.since), to_client, from_client]
    });
    let headings = ["Target", "Database", "Database user", "Client", "User id", "Since", "Bytes to client", "Bytes from client"];
    table(&mut page, "Open sessions", &headings, sessions.collect());
    let credentials = proxy.cached().into_iter().map(|it| {
        let (left, refresh) = (span(it.usable_for), span(it.refreshes_in));
        vec![it.target, it.database, it.db_user, it.who, left, refresh, it.hits.to_string()]
    });
    let headings = ["Target", "Database", "Database user", "Asked for by", "Good for", "Renewed in, when asked for", "AWS calls saved"];
    table(&mut page, "Credentials that your processes share", &headings, credentials.collect());
    let failures = proxy.stats().failures().into_iter().map(|failure| vec![moment(failure.at), failure.code, failure.message]);
    table(&mut page, "Recent failures", &["When", "SQLSTATE", "What the client was told"], failures.collect());
    page.push_str("</main></body></html>\n");
    page
}

fn table(page: &mut String, caption: &str, headings: &[&str], rows: Vec<Vec<String>>) {
    let _ = writeln!(page, "<section><h2>{caption}</h2>");
    if rows.is_empty() {
        page.push_str("<p>None.</p></section>\n");
        return;
    }
    // A region that scrolls must be reachable by keyboard.
    let _ = write!(
        page,
        "<div class=\"wide\" tabindex=\"0\" role=\"group\" aria-label=\"{caption}, table\"><table><caption>{caption}: {}</caption><tr>",
        rows.len()
    );
    for heading in headings {
        let _ = write!(page, "<th scope=\"col\">{heading}</th>");
    }
    page.push_str("</tr>\n");
    for row in rows {
        page.push_str("<tr>");
        for (place, cell) in row.iter().enumerate() {
            let cell = Text(cell);
            let _ = if place == 0 { write!(page, "<th scope=\"row\">{cell}</th>") } else { write!(page, "<td>{cell}</td>") };
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table></div></section>\n");
}

fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn span(duration: Duration) -> String {
    humantime::format_duration(Duration::from_secs(duration.as_secs())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_is_text() {
        assert_eq!(Text("<b a='\"'>&").to_string(), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
        let mut page = String::new();
        table(&mut page, "T", &["A", "B"], vec![vec!["x".into(), "<script>".into()]]);
        assert!(page.contains("<td>&lt;script&gt;</td>") && page.contains("<th scope=\"row\">x</th>"), "{page}");
    }
}
