//! What is drawn, as files beside this one: each view at four sizes, in each palette, without colours, and in
//! plain characters.

use std::fmt::Write as _;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::draw;
use crate::event::{Event, Link};
use crate::sample::{answer, full, log, press, send, state};
use crate::state::State;
use crate::theme::{PALETTES, Palette};
use crate::view::VIEWS;

const SIZES: [(u16, u16); 4] = [(80, 24), (120, 40), (200, 60), (300, 100)];

fn drawn(state: &State) -> Buffer {
    let mut buffer = Buffer::empty(Rect::new(0, 0, state.size.0, state.size.1));
    draw(state, &mut buffer);
    buffer
}

fn text(buffer: &Buffer) -> String {
    let line = |y: u16| {
        let cells = (0..buffer.area.width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..buffer.area.height).map(line).collect()
}

/// The runs of equal style on each line that has any.
fn styles(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut x = 0;
        while x < buffer.area.width {
            let cell = &buffer[(x, y)];
            let style = (cell.fg, cell.bg, cell.modifier);
            let same = |x: &u16| (buffer[(*x, y)].fg, buffer[(*x, y)].bg, buffer[(*x, y)].modifier) == style;
            let end = (x..buffer.area.width).take_while(same).last().unwrap_or(x) + 1;
            if style != (Color::Reset, Color::Reset, Modifier::empty()) {
                writeln!(text, "{y}:{x}-{} {} on {} {:?}", end - 1, style.0, style.1, style.2).unwrap();
            }
            x = end;
        }
    }
    text
}

fn each_view(size: (u16, u16), mut check: impl FnMut(&str, &State)) {
    for view in VIEWS {
        let mut state = full(size);
        press(&mut state, &(view.index() + 1).to_string());
        press(&mut state, "j");
        answer(&mut state);
        check(view.title(), &state);
    }
}

#[test]
fn each_view_at_four_sizes() {
    for size in SIZES {
        each_view(size, |view, state| {
            insta::assert_snapshot!(format!("{view}-{}x{}", size.0, size.1), text(&drawn(state)));
        });
    }
}

#[test]
fn each_view_in_each_palette() {
    for palette in PALETTES {
        each_view((80, 24), |view, shown| {
            let mut state = full((80, 24));
            state.preferences.palette = palette;
            state.view = shown.view;
            insta::assert_snapshot!(format!("{view}-{}", palette.name()), styles(&drawn(&state)));
            assert_eq!(text(&drawn(&state)), {
                state.preferences.palette = Palette::Dark;
                text(&drawn(&state))
            });
        });
    }
}

#[test]
fn each_view_without_colours() {
    each_view((80, 24), |view, shown| {
        let mut state = full((80, 24));
        state.preferences.no_color = true;
        state.view = shown.view;
        let buffer = drawn(&state);
        assert!(buffer.content.iter().all(|cell| (cell.fg, cell.bg) == (Color::Reset, Color::Reset)));
        let reversed = |y: u16| (0..80).all(|x| buffer[(x, y)].modifier.contains(Modifier::REVERSED));
        assert!(reversed(4), "the selected row stands out by itself");
        insta::assert_snapshot!(format!("{view}-no-colour"), styles(&buffer));
    });
}

#[test]
fn each_view_in_plain_characters() {
    each_view((120, 40), |view, shown| {
        let mut state = full((120, 40));
        press(&mut state, "a");
        state.view = shown.view;
        let text = text(&drawn(&state));
        assert!(text.is_ascii());
        insta::assert_snapshot!(format!("{view}-ascii"), text);
    });
}

#[test]
fn a_name_with_other_characters_is_plain_too() {
    let mut state = state((80, 24));
    let mut cluster = crate::sample::cluster();
    "日本-\u{1b}[31m".clone_into(&mut cluster.masters[0].name);
    send(&mut state, 50, Event::Link(Link::Picture(Box::new(cluster))));
    assert!(text(&drawn(&state)).contains("日"));
    press(&mut state, "a");
    let text = text(&drawn(&state));
    assert!(text.is_ascii() && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn what_lies_over_the_views() {
    for (name, keys) in [
        ("help", "?"),
        ("palette", ": s t e p"),
        ("contexts", "c"),
        ("export", "e"),
        ("shell", "!"),
        ("step-down", "D p r"),
        ("drain", "X p r o d"),
        ("detail", "enter"),
        ("filter", "/ m a s 2"),
        ("bad-regex", "/ ctrl-r m ("),
        ("service", "3 / b l o g / w e b enter enter"),
        ("service-end", "3 / b l o g / w e b enter enter"),
        ("stack", "4 enter"),
        ("agent", "2 enter"),
        ("deploy", "3 u"),
        ("scale", "3 n 1 2"),
        ("stop", "3 x c a c"),
        ("stack-deploy", "4 u"),
        ("log-empty", "3 L"),
        ("failover", "6 / e l e c enter enter k k"),
    ] {
        let mut state = full((80, 24));
        press(&mut state, keys);
        answer(&mut state);
        if name.ends_with("-end") {
            press(&mut state, "G");
        }
        insta::assert_snapshot!(format!("over-{name}"), text(&drawn(&state)));
    }
}

#[test]
fn a_log_at_four_sizes() {
    for (keys, name) in [("", "follows"), ("p / e r r o r enter n", "searched")] {
        for size in SIZES {
            let mut state = full(size);
            press(&mut state, "3 L");
            let Some(crate::state::overlay::Overlay::Logs(logs)) = &state.overlay else { panic!("no log") };
            let of = logs.of.clone();
            send(&mut state, 50, Event::Link(Link::Log(of, log(0, 150))));
            press(&mut state, keys);
            let buffer = drawn(&state);
            insta::assert_snapshot!(format!("log-{name}-{}x{}", size.0, size.1), text(&buffer));
            if size == SIZES[0] {
                insta::assert_snapshot!(format!("log-{name}-styles"), styles(&buffer));
                press(&mut state, "p");
                state.preferences.ascii = true;
                assert!(text(&drawn(&state)).is_ascii());
            }
        }
    }
}

#[test]
fn the_header_says_what_is_wrong() {
    use kontena_wire::cluster::MasterState::Lost;

    let with = |change: &dyn Fn(&mut kontena_wire::cluster::Cluster)| {
        let mut state = state((100, 24));
        let mut cluster = crate::sample::cluster();
        change(&mut cluster);
        send(&mut state, 1000, Event::Link(Link::Picture(Box::new(cluster))));
        text(&drawn(&state)).lines().next().unwrap_or_default().to_owned()
    };
    let mut lines = vec![
        with(&|_| {}),
        with(&|cluster| cluster.leader = None),
        with(&|cluster| cluster.leader.as_mut().unwrap().acting = false),
        with(&|cluster| cluster.masters[2].state = Lost),
        with(&|cluster| cluster.masters[2].warnings = vec!["its shared settings differ".to_owned()]),
        with(&|cluster| cluster.duties[0].last_result = Some("failed: not done within 5s".to_owned())),
        with(&|cluster| cluster.masters.truncate(2)),
        with(&|cluster| {
            cluster.masters.remove(2);
            cluster.masters.remove(0);
        }),
        with(&|cluster| cluster.masters[0].version = "0.2.0".to_owned()),
    ];
    let mut state = state((100, 24));
    send(&mut state, 9_000, Event::Tick);
    lines.push(text(&drawn(&state)).lines().next().unwrap_or_default().to_owned());
    let reason = "nothing listens at http://10.0.0.1:9292".to_owned();
    send(&mut state, 72_000, Event::Link(Link::Lost { target: "t".to_owned(), reason, retry_ms: 4000 }));
    lines.extend(text(&drawn(&state)).lines().take(2).map(str::to_owned));
    insta::assert_snapshot!("verdicts", lines.join("\n"));
}

#[test]
fn any_size_can_be_drawn_at_any_moment() {
    for keys in [
        "",
        "2",
        "3",
        "4",
        "5",
        "6",
        "?",
        "c",
        "!",
        "D",
        "X",
        "enter",
        "/",
        "6 G enter",
        ": x y z",
        "3 enter",
        "4 j enter",
        "3 L",
        "3 L /",
        "3 n",
        "3 x",
    ] {
        let mut state = full((80, 24));
        press(&mut state, keys);
        for (columns, rows) in
            [(1, 1), (2, 9), (40, 8), (41, 9), (79, 10), (110, 12), (111, 31), (500, 200), (0, 0)]
        {
            send(&mut state, 100, Event::Resize { columns, rows });
            drawn(&state);
            press(&mut state, "j");
            drawn(&state);
        }
    }
}

#[test]
fn nothing_is_known_yet_and_that_is_said() {
    let mut state = state((80, 24));
    state.forget_cluster();
    for view in VIEWS {
        press(&mut state, &(view.index() + 1).to_string());
        insta::assert_snapshot!(format!("{}-empty", view.title()), text(&drawn(&state)));
    }
}
