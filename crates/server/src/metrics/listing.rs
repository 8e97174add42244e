//! The list of all metrics in docs/metrics.md, made from their definitions.

use super::table::{DEFINITIONS, Definition, Kind, Values};

/// The list as Markdown: a table of all families, one of the values of labels, and one of the names
/// of 2017.
pub fn listing() -> String {
    let mut text = String::from(
        "| StatsD | type | Prometheus | type | unit | meaning |\n|---|---|---|---|---|---|\n",
    );
    for it in DEFINITIONS {
        text.push_str(&format!(
            "| `{}` | {} | `{}` | {} | {} | {} |\n",
            it.statsd(),
            it.kind.statsd(),
            shown(it),
            it.kind.prometheus(),
            unit(it),
            it.doc.trim(),
        ));
    }
    text.push_str("\n| label | values |\n|---|---|\n");
    let mut seen = Vec::new();
    for label in DEFINITIONS.iter().filter_map(|it| it.label) {
        let values = match label.values {
            Values::Of(values) => values.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>(),
            Values::Statuses => vec!["the status codes of HTTP that have occurred".to_owned()],
        };
        let line = format!("| `{}` | {} |\n", label.name, values.join(", "));
        if !seen.contains(&line) {
            text.push_str(&line);
            seen.push(line);
        }
    }
    text.push_str("\n| the server of 2017 | here |\n|---|---|\n");
    for it in DEFINITIONS {
        if let Some(former) = it.former {
            text.push_str(&format!("| `{former}` | `{}` |\n", it.statsd()));
        }
    }
    text
}

fn shown(it: &Definition) -> String {
    let label = it.label.map(|label| format!("{{{}}}", label.name)).unwrap_or_default();
    format!("{}{label}", it.prometheus())
}

fn unit(it: &Definition) -> String {
    match it.kind {
        Kind::Timer => "milliseconds; seconds".to_owned(),
        Kind::Counter | Kind::Gauge => it.unit.to_owned(),
    }
}
