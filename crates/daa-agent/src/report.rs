//! The report: one self-contained HTML page about a run, with plots, no scripts and no network.

mod plot;

use crate::events::MemorySample;
use crate::record::{RunRecord, UsefulnessRecord, WorkRecord};
use crate::summary::{KnowledgeSummary, Summary};
use daa_base::{Bytes, TrialId};
use daa_learn::train::Verification;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plot::{Bar, Gantt, Layer, LineChart, Point, Series, StackedArea};
use std::collections::BTreeMap;

const STYLE: &str = include_str!("report/style.css");

/// Trials whose curves get a colour and a legend entry of their own; the others are drawn in grey.
const NAMED_CURVES: usize = 7;

const TIERS: [&str; 5] = [
    "Micro < 1 KiB",
    "Small < 1 MiB",
    "Medium < 10 MiB",
    "Large < 100 MiB",
    "XLarge",
];

/// The page about the run that `summary` and `record` describe.
#[must_use]
pub fn render(summary: &Summary, record: &RunRecord) -> String {
    let title = format!("DAA run, {}, seed {}", summary.data.source, summary.seed);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (figures(summary))
                    (notices(record))
                    (section("Learning curves", curves_note(record), curves(summary, record)))
                    (section("Final training", "Loss of the chosen network, trained on training and validation rows.", final_curve(record)))
                    (section("Trials", "Each row is one step of successive halving: a network trained from one epoch count to the next.", trials(summary, record)))
                    @if let Some(knowledge) = &summary.knowledge { (shared(knowledge)) }
                    (section("Lease timeline", "Who held the device when. Pale: waiting for the grant.", leases(record)))
                    (section("Memory by tier", "Bytes that leases reserved in the pool over time.", memory(record)))
                    (section("Lease by lease", "What was leased and what was really reserved.", lease_table(record)))
                    (section("Where the time went", kernels_note(summary), kernels(summary)))
                    footer { "Made by daa " (summary.version) ". Command to repeat it: " code { (summary.command) } }
                }
            }
        }
    }
    .into_string()
}

fn section(title: &str, note: impl maud::Render, body: Markup) -> Markup {
    html! { section { h2 { (title) } p.note { (note) } (body) } }
}

fn figures(summary: &Summary) -> Markup {
    let best = summary.best.as_ref();
    let test = best.and_then(|best| {
        let accuracy = best
            .test_accuracy
            .map(|a| ("Test accuracy", format!("{:.2} %", a * 100.0)));
        accuracy.or_else(|| best.test_rmse.map(|rmse| ("Test RMSE", format!("{rmse:.4}"))))
    });
    let (label, value) = test.unwrap_or(("Test", "not run".to_owned()));
    html! {
        dl.figures {
            div.big { dt { (label) } dd { (value) } }
            @if let Some(best) = best {
                div { dt { "Network" } dd { (best.architecture) } }
                div { dt { "Parameters" } dd { (grouped(best.params)) } }
                div { dt { "Plan peak" } dd { (Bytes(best.plan_peak_bytes)) } }
            }
            div { dt { "Device" } dd { (summary.device) " (" (summary.backend) ")" } }
            @if summary.verification == Verification::Repeat {
                div { dt { "Verification" } dd { "every interval ran twice" } }
            }
            div { dt { "Data" } dd { (grouped(summary.data.rows as u64)) " rows × " (summary.data.features) } }
            div { dt { "Agents" } dd { (summary.agents.len()) } }
            div { dt { "Leases" } dd { (summary.leases.granted) " granted, " (summary.leases.refused) " refused" } }
            div { dt { "Most leased at once" } dd { (Bytes(summary.leases.peak_bytes)) } }
            div { dt { "Wall time" } dd { (format!("{:.1} s", summary.wall_seconds)) } }
        }
    }
}

/// Kernels in the table at most; `summary.json` has all.
const KERNELS: usize = 24;

fn kernels_note(summary: &Summary) -> String {
    let more = summary.kernels.len().saturating_sub(KERNELS);
    let rest = if more == 0 {
        String::new()
    } else {
        format!(" summary.json has {more} more.")
    };
    let all = summary.kernels.iter().map(|kernel| kernel.total_ns).sum();
    format!(
        "Time in each kernel on each back end, those that took most first, estimated from the dispatches that were timed. \
         All kernels together took {}; those of several agents may run at once.{rest}",
        time(all)
    )
}

fn kernels(summary: &Summary) -> Markup {
    if summary.kernels.is_empty() {
        return html! { p.empty { "Nothing was computed." } };
    }
    html! {
        div.wide { table {
            thead { tr {
                th { "Kernel" } th { "Back end" } th.n { "Dispatches" } th.n { "Total" } th.n { "Share" }
                th.n { "Median" } th.n { "99 %" } th.n { "Longest" } th.n { "Timed" }
            } }
            tbody {
                @for kernel in summary.kernels.iter().take(KERNELS) {
                    tr {
                        td { (kernel.kernel) } td { (kernel.backend) }
                        td.n { (grouped(kernel.dispatches)) }
                        td.n { (time(kernel.total_ns)) } td.n { (share(kernel.share)) }
                        td.n { (time(kernel.p50_ns)) } td.n { (time(kernel.p99_ns)) } td.n { (time(kernel.max_ns)) }
                        td.n { (grouped(kernel.samples)) }
                    }
                }
            }
        } }
    }
}

fn share(part: f64) -> String {
    if part > 0.0 && part < 0.0005 {
        "< 0.1 %".to_owned()
    } else {
        format!("{:.1} %", part * 100.0)
    }
}

/// A time in the unit that gives it one to three digits before the point.
fn time(ns: u64) -> String {
    let ns = ns as f64;
    match ns {
        ..1e3 => format!("{ns} ns"),
        1e3..1e6 => format!("{:.1} µs", ns / 1e3),
        1e6..1e9 => format!("{:.1} ms", ns / 1e6),
        _ => format!("{:.1} s", ns / 1e9),
    }
}

fn notices(record: &RunRecord) -> Markup {
    html! {
        @if !record.notices.is_empty() {
            ul.notices { @for notice in &record.notices { li { (notice) } } }
        }
    }
}

fn curves_note(record: &RunRecord) -> String {
    if record
        .trials
        .values()
        .any(|trial| trial.epochs.iter().any(|epoch| epoch.validation_rmse.is_some()))
    {
        "Error on the validation rows after each epoch; lower is better.".to_owned()
    } else {
        "Accuracy on the validation rows after each epoch; higher is better.".to_owned()
    }
}

/// One curve per network: the trials that continue one another are joined.
fn curves(summary: &Summary, record: &RunRecord) -> Markup {
    let mut joined: BTreeMap<u32, (String, Vec<Point>, f64)> = BTreeMap::new();
    for trial in &summary.trials {
        let Some(work) = record.trials.get(&trial.trial) else {
            continue;
        };
        let entry = joined.entry(trial.candidate).or_insert_with(|| {
            (
                format!("candidate {}: {}", trial.candidate, work.architecture),
                Vec::new(),
                f64::NEG_INFINITY,
            )
        });
        let measured = |e: &crate::events::EpochMetrics| {
            let y = e
                .validation_accuracy
                .or(e.validation_rmse)
                .or(e.validation_loss)?;
            y.is_finite().then_some(Point {
                x: f64::from(e.epoch),
                y,
            })
        };
        entry.1.extend(work.epochs.iter().filter_map(measured));
        entry.2 = entry.2.max(work.score.unwrap_or(f64::NEG_INFINITY));
    }
    let mut curves: Vec<_> = joined
        .into_values()
        .filter(|(_, points, _)| !points.is_empty())
        .collect();
    curves.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut series: Vec<Series> = curves
        .into_iter()
        .enumerate()
        .map(|(rank, (name, points, _))| Series {
            name,
            points,
            highlight: (rank < NAMED_CURVES).then_some(rank),
        })
        .collect();
    // The best are drawn last, on top.
    series.reverse();
    LineChart {
        x_label: "epoch",
        y_label: "validation",
        series,
    }
    .render()
}

fn final_curve(record: &RunRecord) -> Markup {
    let Some(work) = &record.final_work else {
        return html! { p.empty { "The final training did not run." } };
    };
    let points = work.epochs.iter().map(|e| Point {
        x: f64::from(e.epoch),
        y: e.train_loss,
    });
    let series = vec![Series {
        name: format!("training loss, {}", work.architecture),
        points: points.filter(|point| point.y.is_finite()).collect(),
        highlight: Some(0),
    }];
    LineChart {
        x_label: "epoch",
        y_label: "loss",
        series,
    }
    .render()
}

fn trials(summary: &Summary, record: &RunRecord) -> Markup {
    let best = record.chosen.map(|(trial, _)| trial);
    let candidates: BTreeMap<TrialId, u32> = (summary.trials.iter())
        .map(|trial| (trial.trial, trial.candidate))
        .collect();
    // A trial that was claimed when the run stopped may not be in the summary.
    let candidate = |id: &TrialId| candidates.get(id).map_or_else(|| "–".to_owned(), u32::to_string);
    html! {
        div.wide { table {
            thead { tr {
                th { "Trial" } th { "Candidate" } th { "Network" } th { "Agent" } th.n { "Epochs" } th.n { "Score" }
                th.n { "Parameters" } th.n { "Peak" } th.n { "Pauses" } th.n { "Seconds" } th { "Outcome" }
            } }
            tbody {
                @for (id, trial) in &record.trials {
                    tr.chosen[best == Some(*id)] {
                        td { (id.get()) @if best == Some(*id) { " ★" } }
                        td { (candidate(id)) }
                        (trial_cells(trial))
                    }
                }
            }
        } }
    }
}

/// What was learned from others and told to them.
fn shared(knowledge: &KnowledgeSummary) -> Markup {
    let note = format!(
        "Recipes on {} that others found good, tried like all other candidates. Usefulness is measured on the first rung: the \
         share of the search's own candidates that they beat, less the share that beat them.",
        knowledge.topic
    );
    let usefulness = |author: &str, version: u64| {
        let known = |one: &&UsefulnessRecord| one.author == author && one.version == version;
        let found = knowledge.measured.iter().find(known);
        found.map_or_else(|| "–".to_owned(), |one| signed(one.thousandths))
    };
    let body = html! {
        @if knowledge.suggestions.is_empty() { p.empty { "Nothing was suggested." } }
        @else { div.wide { table {
            thead { tr {
                th { "Candidate" } th { "Network" } th { "Author" } th { "Version" } th.n { "Score" }
                th.n { "Usefulness of the author" }
            } }
            tbody { @for one in &knowledge.suggestions { tr {
                td { (one.candidate) }
                td { (one.architecture) }
                td { (format!("{:.8}", one.author)) }
                td { (one.version) }
                td.n { (one.score.map_or_else(|| "–".to_owned(), |score| format!("{score:.4}"))) }
                td.n { (usefulness(&one.author, one.version)) }
            } } }
        } } }
        @if let Some(told) = &knowledge.told {
            p.note { "Node " (format!("{:.8}", told.node)) " tells " (told.recipes) " recipes of this search as version " (told.version) "." }
        }
        @for line in &knowledge.not_shared { p.note { (line) } }
    };
    section("Shared knowledge", note, body)
}

/// Thousandths from −1 to 1.
fn signed(thousandths: i16) -> String {
    format!("{:+.3}", f64::from(thousandths) / 1000.0)
}

fn trial_cells(trial: &WorkRecord) -> Markup {
    let seconds = trial
        .done_ms
        .map(|done| done.saturating_sub(trial.claimed_ms) as f64 / 1e3);
    html! {
        td { (trial.architecture) }
        td { (trial.agent) }
        td.n { (trial.from_epoch) "–" (trial.to_epoch) }
        td.n { (trial.score.map_or_else(|| "–".to_owned(), |score| format!("{score:.4}"))) }
        td.n { (grouped(trial.parameters)) }
        td.n { (trial.plan_peak) }
        td.n { (trial.yields) }
        td.n { (seconds.map_or_else(|| "–".to_owned(), |s| format!("{s:.1}"))) }
        td { (if trial.outcome.is_empty() { "unfinished" } else { &trial.outcome }) }
    }
}

fn leases(record: &RunRecord) -> Markup {
    let end_of_run = record
        .leases
        .iter()
        .flat_map(|lease| [Some(lease.granted_ms), lease.ended_ms])
        .flatten()
        .chain(record.memory.last().map(|(at, _)| *at))
        .max()
        .unwrap_or(1);
    let mut rows: Vec<_> = record.leases.iter().map(|lease| lease.agent).collect();
    rows.sort_unstable();
    rows.dedup();
    let bars = record.leases.iter().map(|lease| Bar {
        row: rows.binary_search(&lease.agent).unwrap_or_default(),
        wait_from: lease.requested_ms as f64 / 1e3,
        from: lease.granted_ms as f64 / 1e3,
        to: lease.ended_ms.unwrap_or(end_of_run) as f64 / 1e3,
        title: format!("{} for {}, {}", lease.lease, lease.work, lease.bytes),
    });
    Gantt {
        rows: rows.iter().map(ToString::to_string).collect(),
        bars: bars.collect(),
        end: end_of_run as f64 / 1e3,
    }
    .render()
}

fn memory(record: &RunRecord) -> Markup {
    let layer = |tier: usize| Layer {
        name: TIERS[tier],
        values: record
            .memory
            .iter()
            .map(|(_, sample): &(u64, MemorySample)| sample.in_use[tier].get() as f64)
            .collect(),
    };
    let at = record.memory.iter().map(|(at, _)| *at as f64 / 1e3).collect();
    StackedArea {
        x_label: "seconds",
        at,
        layers: (0..TIERS.len()).map(layer).collect(),
    }
    .render()
}

fn lease_table(record: &RunRecord) -> Markup {
    html! {
        details { summary { (record.leases.len()) " leases" }
            div.wide { table {
                thead { tr {
                    th { "Lease" } th { "Agent" } th { "For" } th.n { "Leased bytes" } th.n { "High-water mark" }
                    th.n { "Waited" } th.n { "Held" } th { "Ended" }
                } }
                tbody { @for lease in &record.leases { tr {
                    td { (lease.lease.get()) }
                    td { (lease.agent) }
                    td { (lease.work) }
                    td.n { (grouped(lease.bytes.get())) }
                    td.n { (lease.high_water.map_or_else(|| "–".to_owned(), |b| grouped(b.get()))) }
                    td.n { (lease.granted_ms.saturating_sub(lease.requested_ms)) " ms" }
                    td.n { (lease.ended_ms.map_or_else(|| "–".to_owned(), |end| format!("{} ms", end.saturating_sub(lease.granted_ms)))) }
                    td { (lease.end.map_or_else(|| "open".to_owned(), |end| format!("{end:?}").to_lowercase())) }
                } } }
            } }
        }
    }
}

/// `1234567` as `1,234,567`.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use crate::events::{EpochMetrics, Event, EventKind, Work};
    use crate::summary::{DataSummary, KernelSummary, SummaryInput};
    use daa_base::AgentId;

    #[test]
    fn times_have_the_unit_that_fits() {
        let shown = [0, 999, 1_500, 12_345_678, 61_000_000_000].map(time);
        assert_eq!(shown, ["0 ns", "999 ns", "1.5 µs", "12.3 ms", "61.0 s"]);
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(grouped),
            ["0", "999", "1,000", "1,234,567"]
        );
    }

    /// A run in which trial 11 went on with candidate 3.
    fn trial_eleven() -> (Summary, RunRecord) {
        let (agent, trial) = (AgentId(1), TrialId(11));
        let work = Work::Trial(trial);
        let metrics = EpochMetrics {
            epoch: 1,
            train_loss: 0.5,
            validation_loss: Some(0.4),
            validation_accuracy: Some(0.9),
            validation_rmse: None,
        };
        let kinds = [
            EventKind::WorkClaimed {
                agent,
                work,
                architecture: "fc8-3".to_owned(),
                from_epoch: 0,
                to_epoch: 1,
            },
            EventKind::EpochEnded { agent, work, metrics },
        ];
        let events = kinds.map(|kind| Event {
            at_ms: 0,
            time: String::new(),
            message: String::new(),
            kind,
        });
        let record = RunRecord::from_events(&events);
        let config = RunConfig::default();
        let input = SummaryInput {
            config: &config,
            outcome: "interrupted",
            run_dir: "run".into(),
            backend: "host".to_owned(),
            device: "a processor".to_owned(),
            data: DataSummary::default(),
            candidates: &[(trial, 3)],
            best: None,
            agreement: crate::summary::AgreementSummary::default(),
            wall_seconds: 1.0,
            kernels: vec![KernelSummary {
                kernel: "adam".to_owned(),
                backend: "host".to_owned(),
                dispatches: 12_345,
                total_ns: 2_500_000_000,
                share: 0.25,
                samples: 99,
                p50_ns: 200_000,
                p90_ns: 210_000,
                p99_ns: 300_000,
                max_ns: 1_000_000,
            }],
            knowledge: None,
        };
        (Summary::new(input, &record), record)
    }

    #[test]
    fn the_kernels_that_took_most_are_shown_and_the_rest_counted() {
        let (mut summary, record) = trial_eleven();
        let page = render(&summary, &record);
        assert!(page.contains("<td>adam</td><td>host</td>"), "{page}");
        assert!(
            page.contains("2.5 s") && page.contains("25.0 %") && page.contains("300.0 µs"),
            "{page}"
        );
        assert!(page.contains("All kernels together took 2.5 s;"), "{page}");
        summary.kernels[0].share = 0.0004;
        assert!(
            render(&summary, &record).contains("&lt; 0.1 %"),
            "small, but not nothing"
        );
        summary.kernels = vec![summary.kernels[0].clone(); 30];
        let page = render(&summary, &record);
        assert!(page.contains("summary.json has 6 more."), "{page}");
        assert_eq!(page.matches("<td>adam</td>").count(), 24);
    }

    #[test]
    fn curves_are_named_for_candidates_and_the_table_has_both_numbers() {
        let (mut summary, record) = trial_eleven();
        let page = render(&summary, &record);
        assert!(page.contains("candidate 3: fc8-3"), "{page}");
        assert!(!page.contains("candidate 11"), "{page}");
        assert!(page.contains("<th>Trial</th><th>Candidate</th>"), "{page}");
        assert!(page.contains("<td>11</td><td>3</td><td>fc8-3</td>"), "{page}");
        summary.trials.clear();
        let page = render(&summary, &record);
        assert!(page.contains("<td>11</td><td>–</td><td>fc8-3</td>"), "{page}");
    }
}
