//! Small line chart of measurements.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::health::text;

/// Size of the drawing in its own units; the stylesheet sets the size on screen.
const WIDTH: f64 = 100.0;
const HEIGHT: f64 = 20.0;
/// Margin above and below, for the thickness of the line.
const MARGIN: f64 = 1.5;
/// Maximum number of points; with more samples, each point is the maximum of several.
const MAX_POINTS: usize = 60;
/// Multiple of the usual distance between samples from which a gap is drawn.
const GAP: f64 = 3.5;

/// Renders samples, the oldest first, as a line chart from zero and from the first moment to the last, with
/// gaps where samples are missing. `label` names the value and its unit; `last` is the formatted present
/// value.
pub(super) fn sparkline(samples: &[(Timestamp, f64)], label: &str, last: &str) -> Markup {
    let (Some((from, _)), Some((to, _))) = (samples.first(), samples.last()) else {
        return html! { span.spark { span.value { (text(last)) } } };
    };
    let most = samples.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let least = samples.iter().map(|(_, value)| *value).fold(most, f64::min);
    let length = to.duration_since(*from).as_secs_f64();
    let point = |(at, value): &(Timestamp, f64)| {
        let x = if length > 0.0 { at.duration_since(*from).as_secs_f64() / length } else { 1.0 };
        let y = if most > 0.0 { value / most } else { 0.0 };
        format!("{:.1},{:.1}", x * WIDTH, HEIGHT - MARGIN - y * (HEIGHT - 2.0 * MARGIN))
    };
    let words = format!(
        "from {} to {}: least {}, most {}, now {last}",
        from.strftime("%H:%M"),
        to.strftime("%H:%M UTC"),
        format_number(least),
        format_number(most)
    );
    html! {
        span.spark {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                aria-label={ (text(label)) " " (text(&words)) } {
                title { (text(label)) " " (text(&words)) }
                @for piece in pieces(samples) {
                    // A line with one point is drawn by its round ends.
                    @let points: Vec<String> = piece.iter().chain(piece.first().filter(|_| piece.len() == 1)).map(point).collect();
                    polyline points=(points.join(" ")) fill="none" stroke="currentColor" stroke-width="1.5"
                        stroke-linecap="round" stroke-linejoin="round" vector-effect="non-scaling-stroke" {}
                }
            }
            span.value { (text(last)) }
        }
    }
}

/// Splits the samples at gaps into separate lines.
fn pieces(samples: &[(Timestamp, f64)]) -> Vec<Vec<(Timestamp, f64)>> {
    let mut distances: Vec<SignedDuration> =
        samples.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0)).collect();
    distances.sort_unstable();
    let usual = distances.get(distances.len() / 2).copied().unwrap_or_default();
    let is_near = |a: &(Timestamp, f64), b: &(Timestamp, f64)| {
        b.0.duration_since(a.0).as_secs_f64() <= GAP * usual.as_secs_f64()
    };
    let each = samples.len().div_ceil(MAX_POINTS).max(1);
    let thinned = |piece: &[(Timestamp, f64)]| {
        let greatest = |some: &[(Timestamp, f64)]| some.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        piece.chunks(each).filter_map(greatest).collect()
    };
    samples.chunk_by(is_near).map(thinned).collect()
}

/// Formats a number without its unit: `0.4`, `93.2`, `512 M`.
fn format_number(value: f64) -> String {
    const UNITS: [&str; 4] = [" k", " M", " G", " T"];
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let (mut value, mut unit) = (value / 1000.0, 0);
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[(i64, f64)]) -> Vec<(Timestamp, f64)> {
        of.iter()
            .map(|(seconds, value)| (Timestamp::UNIX_EPOCH + SignedDuration::from_secs(*seconds), *value))
            .collect()
    }

    fn drawn(of: &[(i64, f64)]) -> String {
        sparkline(&samples(of), "cpu of <kafka>, in percent,", "12.5 %").into_string()
    }

    #[test]
    fn a_line_says_its_least_and_most_and_leaves_gaps() {
        let html = drawn(&[(0, 0.0), (15, 50.0), (30, 100.0), (600, 25.0), (615, 25.0)]);
        for expected in [
            "aria-label=\"cpu of &lt;kafka&gt;, in percent, from 00:00 to 00:10 UTC: least 0.0, most 100.0, now 12.5 %\"",
            "points=\"0.0,18.5 2.4,10.0 4.9,1.5\"",
            "points=\"97.6,14.2 100.0,14.2\"",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("style="));
    }

    #[test]
    fn one_measurement_or_none_is_no_trouble() {
        assert!(drawn(&[(0, 5.0)]).contains("points=\"100.0,1.5 100.0,1.5\""));
        assert!(drawn(&[(0, 0.0), (15, 0.0)]).contains("points=\"0.0,18.5 100.0,18.5\""));
        assert_eq!(drawn(&[]), "<span class=\"spark\"><span class=\"value\">12.5 %</span></span>");
    }

    #[test]
    fn a_peak_is_kept_where_there_are_more_points_than_are_drawn() {
        let many: Vec<_> =
            (0..240).map(|number| (number * 15, if number == 101 { 90.0 } else { 1.0 })).collect();
        let pieces = pieces(&samples(&many));
        assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [60]);
        assert!(pieces[0].iter().any(|(_, value)| *value > 89.0));
    }

    #[test]
    fn figures_are_short() {
        let figures = [0.04, 999.94, 1_500.0, 512_900_000.0, 1.6e10].map(format_number);
        assert_eq!(figures, ["0.0", "999.9", "1.5 k", "513 M", "16 G"]);
    }
}
