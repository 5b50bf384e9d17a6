//! What keys mean.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::model::{Mode, Model, Next};

/// How far a page goes.
const PAGE: isize = 10;

/// As far as it goes.
const END: isize = isize::MAX;

/// A key was pressed.
pub fn press(model: &mut Model, key: KeyEvent) -> Next {
    if key.kind == KeyEventKind::Release {
        return Next::Stay;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return if key.code == KeyCode::Char('c') { Next::Leave } else { Next::Stay };
    }
    match &mut model.mode {
        Mode::List => return in_list(model, key.code),
        Mode::Sure(..) => model.decide(matches!(key.code, KeyCode::Char('y' | 'Y'))),
        Mode::Logs(logs) => match (key.code, rows(key.code)) {
            (KeyCode::Char('q' | 'l') | KeyCode::Esc | KeyCode::Enter, _) => model.close_logs(),
            (_, Some(down)) => logs.scroll(down.saturating_neg()),
            _ => {}
        },
    }
    Next::Stay
}

fn in_list(model: &mut Model, key: KeyCode) -> Next {
    match key {
        KeyCode::Char('q') | KeyCode::Esc => return Next::Leave,
        KeyCode::Char('s') => model.propose("stop"),
        KeyCode::Char('r') => model.propose("restart"),
        KeyCode::Char('l') | KeyCode::Enter => model.open_logs(),
        KeyCode::Char('o') => model.reorder(),
        KeyCode::Char('a') => model.show_all(!model.is_all),
        other => model.go(rows(other).unwrap_or(0)),
    }
    Next::Stay
}

/// How many rows further down a key leads.
fn rows(key: KeyCode) -> Option<isize> {
    match key {
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::PageUp => Some(-PAGE),
        KeyCode::PageDown => Some(PAGE),
        KeyCode::Home | KeyCode::Char('g') => Some(-END),
        KeyCode::End | KeyCode::Char('G') => Some(END),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{THREE, told};
    use super::*;

    fn pressed(model: &mut Model, keys: &str) -> Next {
        let mut next = Next::Stay;
        for key in keys.chars() {
            next = press(model, KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
        }
        next
    }

    #[test]
    fn keys_do_what_the_last_line_says() {
        let mut model = told(THREE);
        model.requests();
        assert_eq!(pressed(&mut model, "jjsn"), Next::Stay);
        assert!(model.requests().is_empty());
        pressed(&mut model, "sy");
        pressed(&mut model, "gry");
        let lines = model.requests().into_iter().map(|(_, request)| String::from_utf8(request.line()).unwrap());
        assert_eq!(lines.collect::<Vec<_>>(), ["stop web:latest\n", "restart db:latest\n"]);
        pressed(&mut model, "a");
        assert_eq!(model.shown.len(), 2);
        // In a log q leads back.
        assert_eq!(pressed(&mut model, "lq"), Next::Stay);
        assert_eq!(pressed(&mut model, "q"), Next::Leave);
        assert_eq!(press(&mut model, KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Next::Leave);
        assert_eq!(press(&mut model, KeyEvent::new(KeyCode::Char('s'), KeyModifiers::CONTROL)), Next::Stay);
    }
}
