//! What was measured, as a table and as JSON: each figure beside its yardstick and its goal.

use std::time::Duration;

use serde_json::{Value, json};

/// What a number counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Milliseconds,
    /// How often something happened in a second.
    PerSecond,
    Megabytes,
    Count,
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "ms",
            Self::PerSecond => "/s",
            Self::Megabytes => "MB",
            Self::Count => "",
        }
    }
}

/// Many measurements of one thing, in order of size.
pub(crate) struct Sample {
    sorted: Vec<f64>,
}

impl Sample {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        Self { sorted: values }
    }

    pub(crate) fn of_times(times: &[Duration]) -> Self {
        Self::of(times.iter().map(|time| time.as_secs_f64() * 1000.0).collect())
    }

    /// The value below which a part of them lie; of none it is no number.
    pub(crate) fn at(&self, part: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1) as f64;
        self.sorted.get((last * part).round() as usize).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    pub(crate) fn p99(&self) -> f64 {
        self.at(0.99)
    }

    pub(crate) fn max(&self) -> f64 {
        self.at(1.0)
    }

    fn json(&self, name: &str, unit: Unit) -> Value {
        json!({"name": name, "unit": unit.name(), "count": self.sorted.len(), "p50": self.median(), "p99": self.p99()})
    }
}

/// When a figure is good enough.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    /// Medians, and where it is said the 99th of a hundred, at most so many times the yardstick's.
    AtMost { median: f64, p99: Option<f64> },
    /// The median at least so many times the yardstick's.
    AtLeast(f64),
    /// The largest value below this.
    Below(f64),
    /// None: it is there to be compared with.
    None,
}

impl Goal {
    fn text(&self, unit: Unit) -> String {
        match self {
            Self::AtMost { median, p99: Some(p99) } => {
                format!("p50 <= {median:.2}x, p99 <= {p99:.2}x")
            }
            Self::AtMost { median, p99: None } => format!("p50 <= {median:.2}x"),
            Self::AtLeast(ratio) => format!(">= {ratio:.2}x"),
            Self::Below(most) => format!("< {} {}", figure(*most), unit.name()).trim_end().into(),
            Self::None => String::new(),
        }
    }
}

/// One line of the table.
pub(crate) struct Row {
    /// The number of the figure.
    pub(crate) figure: u8,
    pub(crate) name: String,
    pub(crate) unit: Unit,
    pub(crate) sample: Sample,
    pub(crate) yardstick: Option<(String, Sample)>,
    pub(crate) goal: Goal,
    /// Whether something else went wrong, which misses any goal.
    pub(crate) failed: bool,
    /// What else was seen, for the lines below the table.
    pub(crate) notes: Vec<String>,
}

impl Row {
    /// Times beside the times of a yardstick.
    pub(crate) fn times(
        figure: u8,
        name: impl Into<String>,
        times: &[Duration],
        yardstick: (&str, &[Duration]),
        goal: Goal,
    ) -> Self {
        let beside = (yardstick.0.to_owned(), Sample::of_times(yardstick.1));
        Self {
            figure,
            name: name.into(),
            unit: Unit::Milliseconds,
            sample: Sample::of_times(times),
            yardstick: Some(beside),
            goal,
            failed: false,
            notes: Vec::new(),
        }
    }

    /// Values without a yardstick.
    pub(crate) fn values(
        figure: u8,
        name: impl Into<String>,
        unit: Unit,
        values: Vec<f64>,
        goal: Goal,
    ) -> Self {
        Self {
            figure,
            name: name.into(),
            unit,
            sample: Sample::of(values),
            yardstick: None,
            goal,
            failed: false,
            notes: Vec::new(),
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    fn ratio(&self, part: f64) -> Option<f64> {
        let (_, yardstick) = self.yardstick.as_ref()?;
        Some(self.sample.at(part) / yardstick.at(part))
    }

    /// Whether the goal is met; `None` where there is none.
    fn met(&self) -> Option<bool> {
        let ratio = |part| self.ratio(part).unwrap_or(f64::NAN);
        let met = match self.goal {
            Goal::AtMost { median, p99 } => {
                ratio(0.5) <= median && p99.is_none_or(|most| ratio(0.99) <= most)
            }
            Goal::AtLeast(least) => ratio(0.5) >= least,
            Goal::Below(most) => self.sample.max() < most,
            Goal::None => return None,
        };
        Some(met && !self.failed)
    }

    fn cells(&self) -> [String; COLUMNS] {
        let ratio = |part| self.ratio(part).map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let beside = |part| {
            self.yardstick.as_ref().map(|(_, sample)| figure(sample.at(part))).unwrap_or_default()
        };
        let unit = self.unit.name();
        let name =
            if unit.is_empty() { self.name.clone() } else { format!("{}, {unit}", self.name) };
        let met = self.met().map_or("", |met| if met { "yes" } else { "NO" });
        [
            self.figure.to_string(),
            name,
            figure(self.sample.median()),
            figure(self.sample.p99()),
            self.yardstick.as_ref().map(|(name, _)| name.clone()).unwrap_or_default(),
            beside(0.5),
            beside(0.99),
            ratio(0.5),
            ratio(0.99),
            self.goal.text(self.unit),
            met.to_owned(),
        ]
    }

    fn json(&self) -> Value {
        json!({
            "figure": self.figure,
            "measured": self.sample.json(&self.name, self.unit),
            "yardstick": self.yardstick.as_ref().map(|(name, sample)| sample.json(name, self.unit)),
            "ratio_p50": self.ratio(0.5),
            "ratio_p99": self.ratio(0.99),
            "goal": self.goal.text(self.unit),
            "met": self.met(),
            "notes": self.notes,
        })
    }
}

const COLUMNS: usize = 11;
const HEAD: [&str; COLUMNS] =
    ["#", "figure", "p50", "p99", "yardstick", "p50", "p99", "p50", "p99", "goal", "met"];

/// Prints all of it.
pub(crate) fn print(machine: &Value, rows: &[Row], missing: &[(u8, String)]) -> String {
    let mut text = String::new();
    for (name, value) in machine.as_object().into_iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text += &format!("{name}: {value}\n");
    }
    let mut lines = vec![HEAD.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| width(column).unwrap_or(0));
    text.push('\n');
    for (number, line) in lines.iter().enumerate() {
        text += &row(line, &widths);
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
            text += &format!("|{}|\n", rule.join("|"));
        }
    }
    text.push('\n');
    for row in rows {
        let (figure, name) = (row.figure, &row.name);
        text.extend(row.notes.iter().map(|note| format!("{figure} {name}: {note}\n")));
    }
    text.extend(missing.iter().map(|(figure, why)| format!("{figure} is not measured: {why}\n")));
    let missing: Vec<Value> =
        missing.iter().map(|(figure, why)| json!({"figure": figure, "reason": why})).collect();
    let rows: Vec<Value> = rows.iter().map(Row::json).collect();
    let all = json!({"machine": machine, "figures": rows, "not_measured": missing});
    text + &format!("\n{all}\n")
}

fn row(cells: &[String; COLUMNS], widths: &[usize; COLUMNS]) -> String {
    const LEFT: [usize; 3] = [1, 4, 9];
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        line += &match LEFT.contains(&column) {
            true => format!("| {cell:<width$} "),
            false => format!("| {cell:>width$} "),
        };
    }
    line + "|\n"
}

/// Three digits that mean something.
fn figure(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}
