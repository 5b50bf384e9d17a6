//! Prometheus' text format, version 0.0.4: a `# HELP` and a `# TYPE` line for each metric, then its samples.
//!
//! Source: prometheus.io, "Exposition formats".

use std::fmt::{Display, Write as _};

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// It only grows, until what it counts begins anew.
    Counter,
    /// It goes up and down.
    Gauge,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Metrics as lines of text, in the order in which they are added.
#[derive(Debug, Default)]
pub struct Exposition {
    lines: Vec<String>,
}

impl Exposition {
    /// A metric with one sample, without labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help, [([], value)]);
    }

    /// A metric with a sample for each set of labels. One without samples is left out whole.
    pub fn metric<const N: usize, V: Display>(
        &mut self,
        name: &str,
        kind: Kind,
        help: &str,
        samples: impl IntoIterator<Item = ([(&'static str, String); N], V)>,
    ) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.lines.push(format!("# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n")));
        self.lines.push(format!("# TYPE {name} {}", kind.as_str()));
        self.lines.extend(samples.map(|(labels, value)| format!("{name}{} {value}", braced(&labels))));
    }

    /// The lines.
    pub fn lines(self) -> Vec<String> {
        self.lines
    }
}

/// `{name="value",…}`, or nothing.
fn braced(labels: &[(&'static str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let before = if text.is_empty() { '{' } else { ',' };
        let _ = write!(text, "{before}{name}=\"{}\"", escaped(value));
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_prometheus_reads_them() {
        let mut text = Exposition::default();
        text.single("up_seconds", Kind::Gauge, "How long.\nOr \\.", 1.5);
        text.metric(
            "bytes_total",
            Kind::Counter,
            "Bytes.",
            [("a", 1_u64), ("b\\ \"\n", 2)]
                .map(|(name, value)| ([("name", name.to_owned()), ("way", "in".to_owned())], value)),
        );
        text.metric("none", Kind::Gauge, "Nothing.", Vec::<([(&'static str, String); 0], u64)>::new());
        assert_eq!(
            text.lines(),
            [
                "# HELP up_seconds How long.\\nOr \\\\.",
                "# TYPE up_seconds gauge",
                "up_seconds 1.5",
                "# HELP bytes_total Bytes.",
                "# TYPE bytes_total counter",
                "bytes_total{name=\"a\",way=\"in\"} 1",
                "bytes_total{name=\"b\\\\ \\\"\\n\",way=\"in\"} 2",
            ]
        );
    }
}
