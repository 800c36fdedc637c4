//! Drawing of a timeline: time from left to right; each state has its own height and pattern beside its
//! colour.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::timeline::description::{UPTIME_EXPLANATION, describe_timeline, format_length, format_uptime};
use crate::timeline::{Timeline, TimelineSpan, TimelineState};
use crate::web::parts::health::text;

/// Width of the drawing in its own units; the stylesheet sets the width on screen.
const WIDTH: f64 = 1000.0;
/// Minimum width of a state other than up, so that ten seconds of an outage are visible in a week too.
const MIN_WIDTH: f64 = 5.0;
/// Maximum number of pieces of a strip that has the page for itself.
pub(crate) const MAX_PIECES: u16 = 120;

/// Renders the timeline called `label`, with the share of uptime beside it. With more spans than `most`, each
/// piece is the worst state of its time.
pub(crate) fn strip(strip: &Timeline, label: &str, most: u16) -> Markup {
    let is_joined = strip.spans.len() > usize::from(most);
    let mut pieces = if is_joined { merge_spans(strip, most) } else { strip.spans.clone() };
    // The worst state is drawn last, on top of its neighbours.
    pieces.sort_by_key(|piece| piece.state);
    html! {
        div.strip {
            svg viewBox={ "0 0 " (WIDTH) " 20" } preserveAspectRatio="none" role="img"
                aria-label={ (text(label)) ": " (describe_timeline(strip)) } {
                @for piece in &pieces {
                    g class={ "stretch " (class(piece.state)) } {
                        title { (span_title(piece, is_joined)) }
                        (shape(piece.state, span_position(piece, strip)))
                    }
                }
            }
            span.uptime title=(UPTIME_EXPLANATION) { (format_uptime(strip.uptime())) }
        }
    }
}

/// Renders an example of each state with its word.
pub(crate) fn legend() -> Markup {
    html! {
        ul.legend aria-label="What the strips show" {
            @for state in TimelineState::ALL {
                li {
                    svg viewBox={ "0 0 " (WIDTH) " 20" } preserveAspectRatio="none" aria-hidden="true" {
                        g class={ "stretch " (class(state)) } { (shape(state, (0.0, WIDTH))) }
                    }
                    (state.word())
                }
            }
        }
    }
}

/// Returns the worst state of each of `most` parts of the time.
fn merge_spans(strip: &Timeline, most: u16) -> Vec<TimelineSpan> {
    let whole = strip.to.duration_since(strip.from);
    let moment = |number: u16| strip.from + whole / i32::from(most) * i32::from(number);
    let mut pieces: Vec<TimelineSpan> = Vec::with_capacity(usize::from(most));
    // Index of the first span that reaches into the part.
    let mut at = 0;
    for number in 0..most {
        let from = moment(number);
        let to = if number + 1 == most { strip.to } else { moment(number + 1) };
        at += strip.spans.iter().skip(at).take_while(|span| span.to <= from).count();
        let within = strip.spans.iter().skip(at).take_while(|span| span.from < to);
        let state = within.map(|span| span.state).max().unwrap_or(TimelineState::NotRecorded);
        match pieces.last_mut() {
            Some(last) if last.state == state => last.to = to,
            _ => pieces.push(TimelineSpan { from, to, state }),
        }
    }
    pieces
}

/// Returns the tooltip: `down from 2026-11-25 09:30:00 to 09:36:00 UTC: 6 min`.
fn span_title(piece: &TimelineSpan, is_joined: bool) -> String {
    let state = piece.state.word();
    let often = if is_joined && piece.state != TimelineState::Up { " at times" } else { "" };
    let is_one_day = day(piece.from) == day(piece.to);
    let to = piece.to.strftime(if is_one_day { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M:%S UTC" });
    let from = piece.from.strftime("%Y-%m-%d %H:%M:%S");
    format!("{state}{often} from {from} to {to}: {}", format_length(piece.length()))
}

fn day(at: Timestamp) -> String {
    at.strftime("%F").to_string()
}

/// Returns the position and width of a piece, in the drawing's units.
fn span_position(piece: &TimelineSpan, strip: &Timeline) -> (f64, f64) {
    let scale = WIDTH / strip.to.duration_since(strip.from).as_secs_f64().max(f64::MIN_POSITIVE);
    let units = |length: SignedDuration| length.as_secs_f64() * scale;
    let (x, width) = (units(piece.from.duration_since(strip.from)), units(piece.length()));
    match piece.state {
        TimelineState::Up => (x, width),
        _ => (x.min(WIDTH - MIN_WIDTH), width.max(MIN_WIDTH)),
    }
}

/// Renders a state: down is the highest bar, degraded a lower one, up the lowest; unknown is vertical
/// stripes, maintenance a dashed line, and "not recorded" a dotted line.
fn shape(state: TimelineState, (x, width): (f64, f64)) -> Markup {
    let bar = |y: u8, height: u8| {
        html! { rect x=(units(x)) y=(y) width=(units(width)) height=(height) fill="currentColor" {} }
    };
    let line = |dashes: &str, thick: u8| {
        html! {
            // Makes the tooltip work between the dashes too.
            rect x=(units(x)) y="0" width=(units(width)) height="20" fill="none" pointer-events="all" {}
            path d={ "M" (units(x)) " 10h" (units(width)) } fill="none" stroke="currentColor" stroke-width=(thick)
                stroke-dasharray=(dashes) vector-effect="non-scaling-stroke" {}
        }
    };
    match state {
        TimelineState::Up => bar(12, 8),
        TimelineState::Degraded => bar(6, 14),
        TimelineState::Down => bar(0, 20),
        TimelineState::Unknown => line("2 2", 14),
        TimelineState::Maintenance => line("8 4", 4),
        TimelineState::NotRecorded => line("2 5", 2),
    }
}

/// Formats a length with one decimal, which is finer than any screen.
fn units(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

fn class(state: TimelineState) -> &'static str {
    match state {
        TimelineState::NotRecorded => "not-recorded",
        state => state.word(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::TimelineSample;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn of(marks: &[(i64, TimelineState)], seconds: i64) -> Timeline {
        let marks: Vec<TimelineSample> =
            marks.iter().map(|(seconds, state)| TimelineSample { at: at(*seconds), state: *state }).collect();
        Timeline::from_samples(at(0), at(seconds), &marks, &[])
    }

    #[test]
    fn a_strip_says_in_words_what_it_draws_and_every_state_has_its_shape() {
        let marks: Vec<_> =
            TimelineState::ALL.iter().zip(0..).map(|(state, at)| (at * 10_000, *state)).collect();
        let html = strip(&of(&marks, 86_400), "kafka <server>\u{1b}, last 24 h", MAX_PIECES).into_string();
        for expected in [
            "role=\"img\" aria-label=\"kafka &lt;server&gt;\\u{1b}, last 24 h: up 35.4 %, down 10 h 6 min in 1 outage, \
             degraded 2 h 46 min, unknown 2 h 46 min, not recorded 2 h 46 min, maintenance 2 h 46 min\"",
            "<title>up from 1970-01-01 00:00:00 to 02:46:40 UTC: 2 h 46 min</title>\
             <rect x=\"0\" y=\"12\" width=\"115.7\" height=\"8\" fill=\"currentColor\"></rect>",
            "<title>down from 1970-01-01 13:53:20 to 1970-01-02 00:00:00 UTC: 10 h 6 min</title>",
            "stroke-dasharray=\"2 2\"",
            "stroke-dasharray=\"8 4\"",
            "stroke-dasharray=\"2 5\"",
            "35.4 %</span>",
        ] {
            assert!(html.contains(expected), "{expected}\n{html}");
        }
        assert!(!html.contains("style=") && !html.contains("id="));
        assert!(TimelineState::ALL.iter().all(|state| legend().into_string().contains(state.word())));
    }

    #[test]
    fn a_short_outage_is_seen_over_what_is_beside_it_also_at_the_end() {
        let week = 7 * 86_400;
        let shown = of(&[(0, TimelineState::Up), (week - 1, TimelineState::Down)], week);
        let html = strip(&shown, "x", MAX_PIECES).into_string();
        assert!(html.contains("<rect x=\"995\" y=\"0\" width=\"5\" height=\"20\""), "{html}");
        let up = html.find("stretch up").unwrap();
        assert!(html.find("stretch down").unwrap() > up);
    }

    #[test]
    fn a_strip_of_many_pieces_shows_the_worst_of_each_part_and_stays_small() {
        let flapping = (0..10_000).map(|number| match number {
            5_000 => (number * 8, TimelineState::Down),
            _ if number % 2 == 0 => (number * 8, TimelineState::Up),
            _ => (number * 8, TimelineState::Degraded),
        });
        let shown = of(&flapping.collect::<Vec<_>>(), 86_400);
        let pieces = merge_spans(&shown, MAX_PIECES);
        assert_eq!((pieces[0].from, pieces[pieces.len() - 1].to), (shown.from, shown.to));
        assert!(pieces.windows(2).all(|pair| pair[0].to == pair[1].from));
        let states: Vec<_> = pieces.iter().map(|piece| piece.state).collect();
        assert_eq!(states, [TimelineState::Degraded, TimelineState::Down, TimelineState::Degraded]);
        let html = strip(&shown, "x", MAX_PIECES).into_string();
        assert!(html.contains("<title>down at times from ") && html.len() < 5_000);
    }
}
