//! Findings in SARIF 2.1.0, which code hosts show beside the file.

use serde_json::{Value, json};

use super::{Finding, RULES};

/// The report of one run over one policy, which is a file's path or an ARN.
pub fn sarif(policy: &str, findings: &[Finding]) -> Value {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.name,
                "shortDescription": { "text": rule.about },
                "defaultConfiguration": { "level": rule.severity.name() },
            })
        })
        .collect();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "ruleId": finding.rule,
                "level": finding.severity.name(),
                "message": { "text": format!("{}. To do: {}.", finding.reason, finding.fix) },
                "locations": [{
                    "physicalLocation": { "artifactLocation": { "uri": policy }, "region": { "startLine": finding.line } },
                }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "shiftkey policy lint", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    })
}
