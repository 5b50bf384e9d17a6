//! The table: for a terminal, and for README.md.

use std::fmt::Write;
use std::fs;

use super::numbers::{median, percentile, short};
use super::results::{Measure, Results};
use super::settings::{Settings, repository};

/// What the table is against: the first is what the ratios are of.
const ENGINES: [&str; 3] = ["gantry", "docker", "podman"];
/// What stands in README.md around what is generated.
const MARKS: (&str, &str) = ("<!-- made by `make versus` -->\n", "<!-- end -->");

/// The table, with the spread: half of the samples are within it.
pub fn plain(results: &Results) -> String {
    let mut text = format!(
        "\n{:<40}{:>26}{:>26}{:>26}{:>9}{:>9}\n",
        "median (its middle half)", ENGINES[0], ENGINES[1], ENGINES[2], "docker/", "podman/"
    );
    for measure in &results.measures {
        let what = format!(
            "{}{}",
            measure.what,
            if measure.unit.is_empty() { String::new() } else { format!(", {}", measure.unit) }
        );
        let cell = |engine: &str| {
            measure.samples.get(engine).map_or("–".to_owned(), |samples| {
                let spread = (percentile(samples, 25.0), percentile(samples, 75.0));
                match samples.len() {
                    1 => short(median(samples)),
                    _ => format!("{} ({}–{})", short(median(samples)), short(spread.0), short(spread.1)),
                }
            })
        };
        let cells = ENGINES.map(cell);
        let _ = write!(text, "{what:<40}{:>26}{:>26}{:>26}", cells[0], cells[1], cells[2]);
        let _ = writeln!(text, "{:>9}{:>9}", ratio(measure, "docker"), ratio(measure, "podman"));
        if measure.samples.contains_key("crun") {
            let _ = writeln!(
                text,
                "{:<40}{:>26}{:>61}",
                "  crun alone, no network",
                cell("crun"),
                format!("gantry is {} of it", ratio_of(measure, "gantry", "crun"))
            );
        }
    }
    let _ = writeln!(text, "\n{}", about(results));
    text
}

/// Writes the table for README.md, and puts it in there where that is asked for.
pub fn write(results: &Results, settings: &Settings) {
    let table = markdown(results);
    fs::write(settings.out.join("versus.md"), &table).unwrap();
    if settings.readme {
        let file = repository().join("README.md");
        let page = fs::read_to_string(&file).unwrap();
        let (head, rest) = page.split_once(MARKS.0).expect("README.md has the marks");
        let (_, tail) = rest.split_once(MARKS.1).expect("README.md has the end mark");
        fs::write(&file, format!("{head}{}{table}{}{tail}", MARKS.0, MARKS.1)).unwrap();
    }
}

fn markdown(results: &Results) -> String {
    let mut text = format!(
        "| median | {} | {} | {} | docker | podman |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
        ENGINES[0], ENGINES[1], ENGINES[2]
    );
    for measure in &results.measures {
        let cell =
            |engine: &str| measure.samples.get(engine).map_or("–".to_owned(), |samples| short(median(samples)));
        let unit = if measure.unit.is_empty() { String::new() } else { format!(", {}", measure.unit) };
        let times = |engine: &str| match (&*measure.unit, ratio(measure, engine)) {
            ("", _) => String::new(),
            (_, ratio) if ratio == "–" => ratio,
            (_, ratio) => format!("{ratio} ×"),
        };
        let cells = ENGINES.map(cell);
        let _ = writeln!(
            text,
            "| {}{unit} | {} | {} | {} | {} | {} |",
            measure.what,
            cells[0],
            cells[1],
            cells[2],
            times("docker"),
            times("podman")
        );
        if measure.samples.contains_key("crun") {
            let _ = writeln!(text, "| crun alone, without a network{unit} | {} | | | | |", cell("crun"));
        }
    }
    let _ = writeln!(text, "\n{}", about(results));
    text
}

/// How many times better gantry is, which for what should be more is the other way round.
fn ratio(measure: &Measure, other: &str) -> String {
    if measure.more { ratio_of(measure, "gantry", other) } else { ratio_of(measure, other, "gantry") }
}

fn ratio_of(measure: &Measure, one: &str, other: &str) -> String {
    match (measure.samples.get(one), measure.samples.get(other)) {
        (Some(one), Some(other)) => short(median(one) / median(other)),
        _ => "–".to_owned(),
    }
}

fn about(results: &Results) -> String {
    let engines = results.versions.values().cloned().collect::<Vec<_>>().join("; ");
    let loads: Vec<_> = results.loads.iter().map(|(part, load)| format!("{part} {load}")).collect();
    format!("On {}. {engines}. Load of the machine when each part began: {}.", results.machine, loads.join(", "))
}
