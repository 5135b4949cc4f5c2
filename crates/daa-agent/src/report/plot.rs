//! Plots as SVG: curves, stacked areas over time, and bars per agent over time.

use daa_base::Bytes;
use maud::{Markup, html};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 26.0;
/// How many colours the style sheet has.
const COLOURS: usize = 7;

/// A point of a curve.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// One curve. Without a highlight it is drawn in grey and has no legend entry.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<Point>,
    pub(super) highlight: Option<usize>,
}

/// Curves over a common axis.
#[derive(Debug)]
pub(super) struct LineChart {
    pub(super) x_label: &'static str,
    pub(super) y_label: &'static str,
    pub(super) series: Vec<Series>,
}

impl LineChart {
    pub(super) fn render(&self) -> Markup {
        let points = || self.series.iter().flat_map(|series| &series.points);
        if points().next().is_none() {
            return html! { p.empty { "Nothing was measured." } };
        }
        let x = Axis::over(points().map(|p| p.x), LEFT, WIDTH - RIGHT, true);
        let y = Axis::over(points().map(|p| p.y), HEIGHT - BOTTOM, TOP, false);
        let number = |value: f64| trimmed(value);
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.y_label) {
                (grid(&x, &y, number, number, self.x_label, self.y_label))
                @for series in &self.series {
                    @let class = series.highlight.map_or_else(|| "curve other".to_owned(), |h| format!("curve s{}", h % COLOURS));
                    @if let [only] = series.points.as_slice() {
                        @let dot = series.highlight.map_or_else(|| "other".to_owned(), |h| format!("f{}", h % COLOURS));
                        circle class=(dot) cx=(round(x.place(only.x))) cy=(round(y.place(only.y))) r="3" { title { (series.name) } }
                    } @else {
                        polyline class=(class) points=(path(&series.points, &x, &y)) { title { (series.name) } }
                    }
                }
            }
            ul.legend {
                @for series in self.series.iter().rev() {
                    @if let Some(colour) = series.highlight { (legend_entry(&series.name, colour)) }
                }
                @if self.series.iter().any(|series| series.highlight.is_none()) { li { "grey: the others" } }
            }
        }
    }
}

/// One layer of a stacked area.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) name: &'static str,
    pub(super) values: Vec<f64>,
}

/// Layers stacked on each other, each a step function that holds its value until the next sample. Values are bytes.
#[derive(Debug)]
pub(super) struct StackedArea {
    pub(super) x_label: &'static str,
    pub(super) at: Vec<f64>,
    pub(super) layers: Vec<Layer>,
}

impl StackedArea {
    pub(super) fn render(&self) -> Markup {
        let count = self.at.len();
        let total = |i: usize| self.layers.iter().map(|layer| layer.values[i]).sum::<f64>();
        if count == 0 || (0..count).all(|i| total(i) <= 0.0) {
            return html! { p.empty { "No memory was leased." } };
        }
        let x = Axis::over(self.at.iter().copied().chain([0.0]), LEFT, WIDTH - RIGHT, false);
        let y = Axis::over((0..count).map(total).chain([0.0]), HEIGHT - BOTTOM, TOP, false).binary();
        let mut below = vec![0.0; count];
        let mut areas = Vec::new();
        for (colour, layer) in self.layers.iter().enumerate() {
            let above: Vec<f64> = below.iter().zip(&layer.values).map(|(b, v)| b + v).collect();
            if layer.values.iter().any(|&v| v > 0.0) {
                let mut outline = steps(&self.at, &above, &x, &y);
                let mut back = steps(&self.at, &below, &x, &y);
                back.reverse();
                outline.append(&mut back);
                areas.push((colour, layer.name, outline.join(" ")));
            }
            below = above;
        }
        let bytes = |value: f64| Bytes(value.max(0.0) as u64).to_string();
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="memory over time" {
                (grid(&x, &y, trimmed, bytes, self.x_label, ""))
                @for (colour, name, outline) in &areas {
                    polygon class=(format!("f{}", colour % COLOURS)) points=(outline) { title { (name) } }
                }
            }
            ul.legend { @for (colour, name, _) in &areas { (legend_entry(name, *colour)) } }
        }
    }
}

/// One bar of a [`Gantt`] chart, in seconds.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) row: usize,
    pub(super) wait_from: f64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) title: String,
}

/// Bars per row over time.
#[derive(Debug)]
pub(super) struct Gantt {
    pub(super) rows: Vec<String>,
    pub(super) bars: Vec<Bar>,
    pub(super) end: f64,
}

impl Gantt {
    pub(super) fn render(&self) -> Markup {
        if self.bars.is_empty() {
            return html! { p.empty { "No lease was granted." } };
        }
        let bottom = TOP + ROW * self.rows.len() as f64;
        let x = Axis::over([0.0, self.end], LEFT, WIDTH - RIGHT, false);
        let top = |row: usize| TOP + ROW * row as f64 + 4.0;
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {}", bottom + BOTTOM)) role="img" aria-label="leases over time" {
                @for tick in x.ticks() {
                    @let at = round(x.place(tick));
                    line.grid x1=(at) y1=(TOP) x2=(at) y2=(bottom) {}
                    text x=(at) y=(bottom + 16.0) text-anchor="middle" { (trimmed(tick)) }
                }
                text x=((LEFT + WIDTH - RIGHT) / 2.0) y=(bottom + 34.0) text-anchor="middle" { "seconds" }
                @for (row, name) in self.rows.iter().enumerate() {
                    text x=(LEFT - 8.0) y=(top(row) + 14.0) text-anchor="end" { (name) }
                }
                @for bar in &self.bars {
                    @let class = format!("f{}", bar.row % COLOURS);
                    (block(&format!("{class} wait"), &x, bar.wait_from, bar.from, top(bar.row), None))
                    (block(&class, &x, bar.from, bar.to, top(bar.row), Some(&bar.title)))
                }
            }
        }
    }
}

fn block(class: &str, x: &Axis, from: f64, to: f64, top: f64, title: Option<&str>) -> Markup {
    let (left, right) = (x.place(from), x.place(to));
    html! {
        rect class=(class) x=(round(left)) y=(top) width=(round((right - left).max(0.6))) height=(ROW - 8.0) {
            @if let Some(title) = title { title { (title) } }
        }
    }
}

fn legend_entry(name: &str, colour: usize) -> Markup {
    html! {
        li { svg viewBox="0 0 14 14" { rect class=(format!("f{}", colour % COLOURS)) width="14" height="14" {} } (name) }
    }
}

fn grid(
    x: &Axis,
    y: &Axis,
    x_text: impl Fn(f64) -> String,
    y_text: impl Fn(f64) -> String,
    x_label: &str,
    y_label: &str,
) -> Markup {
    html! {
        @for tick in y.ticks() {
            @let at = round(y.place(tick));
            line.grid x1=(LEFT) y1=(at) x2=(WIDTH - RIGHT) y2=(at) {}
            text x=(LEFT - 8.0) y=(at + 4.0) text-anchor="end" { (y_text(tick)) }
        }
        @for tick in x.ticks() {
            @let at = round(x.place(tick));
            line.grid x1=(at) y1=(TOP) x2=(at) y2=(HEIGHT - BOTTOM) {}
            text x=(at) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (x_text(tick)) }
        }
        text x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 6.0) text-anchor="middle" { (x_label) }
        text x="14" y=(HEIGHT / 2.0) text-anchor="middle" transform=(format!("rotate(-90 14 {})", HEIGHT / 2.0)) { (y_label) }
    }
}

fn path(points: &[Point], x: &Axis, y: &Axis) -> String {
    let corner = |p: &Point| format!("{},{}", round(x.place(p.x)), round(y.place(p.y)));
    points.iter().map(corner).collect::<Vec<_>>().join(" ")
}

fn steps(at: &[f64], values: &[f64], x: &Axis, y: &Axis) -> Vec<String> {
    let mut corners = Vec::with_capacity(2 * at.len());
    for (i, (&at, &value)) in at.iter().zip(values).enumerate() {
        let left = round(x.place(at));
        if i > 0 {
            corners.push(format!("{left},{}", round(y.place(values[i - 1]))));
        }
        corners.push(format!("{left},{}", round(y.place(value))));
    }
    corners
}

/// A linear axis from data to the drawing, with round tick values.
#[derive(Debug)]
struct Axis {
    low: f64,
    high: f64,
    step: f64,
    from: f64,
    to: f64,
}

impl Axis {
    /// An axis over `values` (finite, at least one), drawn from `from` to `to`. Whole-number axes have whole ticks.
    fn over(values: impl IntoIterator<Item = f64>, from: f64, to: f64, whole: bool) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            low = low.min(value);
            high = high.max(value);
        }
        if high - low < f64::EPSILON * high.abs().max(1.0) {
            (low, high) = (low - 0.5, high + 0.5);
        }
        let rough = (high - low) / 6.0;
        let magnitude = 10_f64.powf(rough.log10().floor());
        let mut step = [1.0, 2.0, 5.0, 10.0]
            .map(|s| s * magnitude)
            .into_iter()
            .find(|s| *s >= rough)
            .unwrap_or(rough);
        if whole {
            step = step.max(1.0);
        }
        Self {
            low,
            high,
            step,
            from,
            to,
        }
    }

    /// The same axis with ticks at multiples of a power of two, which are round numbers of bytes.
    fn binary(mut self) -> Self {
        self.step = ((self.high - self.low) / 6.0).max(1.0).log2().ceil().exp2();
        self
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        let first = (self.low / self.step).ceil();
        (0..20)
            .map(|i| (first + f64::from(i)) * self.step)
            .take_while(|tick| *tick <= self.high + 1e-9)
            .collect()
    }
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A number without needless digits.
fn trimmed(value: f64) -> String {
    if value.abs() >= 1e6 {
        return format!("{value:.1e}");
    }
    let text = format!("{value:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::over([0.83, 0.97], 0.0, 100.0, false);
        let ticks = axis.ticks();
        assert!((2..=10).contains(&ticks.len()), "{ticks:?}");
        assert!(
            ticks.iter().all(|t| (0.83 - 1e-9..=0.97 + 1e-9).contains(t)),
            "{ticks:?}"
        );
        assert_eq!(Axis::over([1.0, 3.0], 0.0, 1.0, true).ticks(), [1.0, 2.0, 3.0]);
        assert!(
            Axis::over([5.0], 0.0, 1.0, false).ticks().len() > 1,
            "one value still has an axis"
        );
    }

    #[test]
    fn a_chart_draws_each_series_and_escapes_names() {
        let series = |name: &str, highlight| Series {
            name: name.to_owned(),
            points: vec![Point { x: 1.0, y: 0.5 }, Point { x: 2.0, y: 0.75 }],
            highlight,
        };
        let chart = LineChart {
            x_label: "x",
            y_label: "y",
            series: vec![series("<b>", Some(0)), series("grey", None)],
        };
        let text = chart.render().into_string();
        assert_eq!(text.matches("<polyline").count(), 2);
        assert!(text.contains("&lt;b&gt;") && !text.contains("<b>"), "{text}");
    }

    #[test]
    fn a_stack_is_as_high_as_its_sum() {
        let layers = vec![
            Layer {
                name: "a",
                values: vec![1.0, 2.0],
            },
            Layer {
                name: "b",
                values: vec![3.0, 0.0],
            },
        ];
        let text = StackedArea {
            x_label: "s",
            at: vec![0.0, 1.0],
            layers,
        }
        .render()
        .into_string();
        assert_eq!(text.matches("<polygon").count(), 2);
        assert!(
            text.contains(&format!("74,{TOP}")),
            "the tallest stack touches the top: {text}"
        );
    }
}
