//! The counters for Prometheus. The names are a contract: `docs/proxy.md` lists them.

use std::fmt::Write as _;

use crate::{proxy::Proxy, stats::Counts};

/// Everything, in the text format.
pub(super) fn render(proxy: &Proxy) -> String {
    let counts = proxy.stats().counts();
    let mut text = String::new();
    for (name, kind, help, value) in values(&counts, proxy.unready().is_none()) {
        // A name with labels is one of a family, whose head is written once.
        let family = name.split('{').next().unwrap_or_default();
        if !text.contains(&format!("# HELP {family} ")) {
            let _ = writeln!(text, "# HELP {family} {help}\n# TYPE {family} {kind}");
        }
        let _ = writeln!(text, "{name} {value}");
    }
    text
}

fn values(counts: &Counts, ready: bool) -> [(&'static str, &'static str, &'static str, u64); 11] {
    [
        ("shiftkey_proxy_connections_accepted_total", "counter", "Connections that were accepted.", counts.accepted),
        ("shiftkey_proxy_connections_refused_total", "counter", "Connections of other users that were refused.", counts.refused),
        ("shiftkey_proxy_sessions_total", "counter", "Sessions that were signed in.", counts.signed_in),
        ("shiftkey_proxy_sessions_open", "gauge", "Sessions that are open.", counts.open),
        ("shiftkey_proxy_sign_in_failures_total", "counter", "Sign-ins that failed.", counts.failed),
        ("shiftkey_proxy_cancels_total", "counter", "Cancel requests that were passed on.", counts.cancels),
        ("shiftkey_proxy_credentials_issued_total", "counter", "Sessions for which AWS issued a credential.", counts.issued),
        ("shiftkey_proxy_credentials_reused_total", "counter", "Sessions that needed no call to AWS.", counts.saved),
        ("shiftkey_proxy_bytes_total{direction=\"from_client\"}", "counter", "Bytes relayed.", counts.from_clients),
        ("shiftkey_proxy_bytes_total{direction=\"to_client\"}", "counter", "Bytes relayed.", counts.to_clients),
        ("shiftkey_proxy_ready", "gauge", "Whether new sessions are taken: 1 or 0.", u64::from(ready)),
    ]
}

#[cfg(test)]
mod tests {
    use shiftkey::Shiftkey;

    use super::*;
    use crate::proxy::Settings;

    #[test]
    fn each_family_has_one_head_and_each_line_a_value() {
        let text = render(&Proxy::new(Shiftkey::builder().build(), Settings::default()));
        let heads: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        assert_eq!(heads.len(), 10, "{text}");
        let values = text.lines().filter(|line| !line.starts_with('#'));
        assert!(
            values.clone().count() == 11 && values.clone().all(|line| line.rsplit(' ').next().unwrap().parse::<u64>().is_ok()),
            "{text}"
        );
        assert!(text.contains("\nshiftkey_proxy_ready 1\n"));
    }

    #[test]
    fn the_document_lists_every_name() {
        let document = include_str!("../../../../docs/proxy.md");
        for (name, ..) in values(&Counts::default(), true) {
            assert!(document.contains(&format!("`{name}`")), "{name}");
        }
    }
}
