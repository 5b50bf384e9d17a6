//! Plots as SVG: bars for each measure, and lines over time.

use std::path::Path;

use plotters::prelude::*;

use super::numbers::median;
use super::results::Results;

/// The colour of an engine, the same in every plot.
fn colour(engine: &str) -> RGBColor {
    match engine {
        "gantry" => RGBColor(0, 120, 90),
        "docker" => RGBColor(40, 90, 200),
        "podman" => RGBColor(140, 60, 150),
        _ => RGBColor(120, 120, 120),
    }
}

/// A line of a plot: whose, and its points.
pub type Line = (String, Vec<(f64, f64)>);

/// The plots of a comparison: one file with the bars of every measure, one of how starts grow longer.
pub fn all(results: &Results, out: &Path) {
    let columns = 3;
    let rows = results.measures.len().div_ceil(columns).max(1);
    let file = out.join("versus.svg");
    let area = SVGBackend::new(&file, (1080, 230 * rows as u32)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    for (cell, measure) in area.split_evenly((rows, columns)).iter().zip(&results.measures) {
        let medians: Vec<_> = measure.samples.iter().map(|(engine, samples)| (engine, median(samples))).collect();
        let most = medians.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
        let title =
            if measure.unit.is_empty() { measure.what.clone() } else { format!("{}, {}", measure.what, measure.unit) };
        let mut chart = ChartBuilder::on(cell);
        chart.caption(title, ("sans-serif", 14)).margin(8).x_label_area_size(22).y_label_area_size(52);
        let names: Vec<String> = medians.iter().map(|(engine, _)| (*engine).clone()).collect();
        let mut chart = chart.build_cartesian_2d((0..names.len()).into_segmented(), 0.0..most * 1.1).unwrap();
        let name = |at: &SegmentValue<usize>| match at {
            SegmentValue::CenterOf(at) => names.get(*at).cloned().unwrap_or_default(),
            _ => String::new(),
        };
        chart.configure_mesh().disable_x_mesh().y_labels(5).x_label_formatter(&name).draw().unwrap();
        let bars = medians.iter().enumerate().map(|(at, (engine, value))| {
            let corners = [(SegmentValue::Exact(at), 0.0), (SegmentValue::Exact(at + 1), *value)];
            let mut bar = Rectangle::new(corners, colour(engine).filled());
            bar.set_margin(0, 0, 12, 12);
            bar
        });
        chart.draw_series(bars).unwrap();
    }
    area.present().unwrap();
    let starts: Vec<Line> = results.versions.keys().filter_map(|engine| starts(out, engine)).collect();
    if !starts.is_empty() {
        lines(&out.join("many.svg"), "start of one more container", ("containers that run", "ms"), &starts);
    }
}

/// How long each start took, in the order of starts.
fn starts(out: &Path, engine: &str) -> Option<Line> {
    let times: Vec<f64> = serde_json::from_slice(&std::fs::read(out.join(format!("many-{engine}.json"))).ok()?).ok()?;
    Some((engine.to_owned(), times.into_iter().enumerate().map(|(at, time)| (at as f64, time)).collect()))
}

/// Lines in one file.
pub fn lines(file: &Path, title: &str, axes: (&str, &str), lines: &[Line]) {
    let area = SVGBackend::new(file, (960, 480)).into_drawing_area();
    area.fill(&WHITE).unwrap();
    let points = || lines.iter().flat_map(|(_, points)| points);
    let far = points().map(|point| point.0).fold(1.0, f64::max);
    let high = points().map(|point| point.1).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(&area);
    chart.caption(title, ("sans-serif", 18)).margin(10).x_label_area_size(36).y_label_area_size(64);
    let mut chart = chart.build_cartesian_2d(0.0..far, 0.0..high * 1.1).unwrap();
    chart.configure_mesh().x_desc(axes.0).y_desc(axes.1).draw().unwrap();
    for (name, points) in lines {
        let colour = colour(name.split(' ').next().unwrap_or_default());
        let drawn = chart.draw_series(LineSeries::new(points.iter().copied(), &colour)).unwrap();
        drawn.label(name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw().unwrap();
    area.present().unwrap();
}
