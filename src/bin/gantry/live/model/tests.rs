//! What the model makes of what it is told, and models for the tests of others.

use super::*;

/// A model that was told these lines.
pub fn told(lines: &[&str]) -> Model {
    let mut model = Model::default();
    model.begin();
    tell(&mut model, lines);
    model
}

/// Tells it more.
pub fn tell(model: &mut Model, lines: &[&str]) {
    lines.iter().for_each(|line| model.take(&Parsed::read(line.as_bytes())).unwrap());
}

/// Three containers, two of which run.
pub const THREE: &[&str] = &[
    "@events EVENT type=subscribed",
    "@list ROW name=web:latest image=localhost/httpd:latest state=running health=healthy started=2026-01-31T11:57:00Z",
    "@list ROW name=db:latest image=localhost/db:latest state=running health=\"\" started=2026-01-31T11:59:30Z",
    "@list ROW name=job:latest image=localhost/job:latest state=exited exit=3 health=\"\" finished=2026-01-31T11:59:55Z",
    "@list OK count=3",
    "@samples ROW name=db:latest cpu-percent=1.5 memory=1048576 memory-limit=\"\" pids=1 net-rx=0 net-tx=0",
    "@samples ROW name=job:latest cpu-percent=\"\" memory=\"\" memory-limit=\"\" pids=\"\" net-rx=\"\" net-tx=\"\"",
    "@samples ROW name=web:latest cpu-percent=0.5 memory=33554432 memory-limit=67108864 pids=7 net-rx=1500 net-tx=99",
];

fn names(model: &Model) -> String {
    model.shown.iter().filter_map(|row| row.get("name").split(':').next()).collect::<Vec<_>>().join(" ")
}

/// Its requests as lines.
fn asked(model: &mut Model) -> Vec<String> {
    let line = |(tag, request): (String, Request)| String::from_utf8(request.tagged_line(&tag)).unwrap();
    model.requests().into_iter().map(line).collect()
}

#[test]
fn events_ask_for_the_list_once_at_a_time() {
    let mut model = Model::default();
    model.begin();
    assert_eq!(asked(&mut model), ["@events events type=container\n", "@samples stats follow=yes\n"]);
    tell(&mut model, &["@events EVENT type=subscribed"]);
    assert_eq!(asked(&mut model), ["@list ps\n"]);
    tell(&mut model, &["@events EVENT type=container", "@events EVENT type=lost count=3"]);
    assert!(asked(&mut model).is_empty());
    tell(&mut model, &["@list OK count=0"]);
    assert_eq!(asked(&mut model), ["@list ps\n"]);
    tell(&mut model, &["@list OK count=0"]);
    assert!(asked(&mut model).is_empty());
}

#[test]
fn they_are_ordered_and_left_out() {
    let mut model = told(THREE);
    assert_eq!((names(&model).as_str(), model.counts()), ("db job web", (3, 2)));
    model.reorder();
    assert_eq!(names(&model), "db web job");
    model.reorder();
    assert_eq!(names(&model), "web db job");
    model.show_all(false);
    assert_eq!(names(&model), "web db");
    assert_eq!(model.sum("cpu-percent"), 2.0);
}

#[test]
fn the_one_that_was_chosen_stays_so() {
    let mut model = told(THREE);
    model.go(1);
    assert_eq!(model.chosen.as_deref(), Some("job:latest"));
    model.reorder();
    assert_eq!((model.chosen.as_deref(), model.place.selected()), (Some("job:latest"), Some(2)));
    // It goes: what stands there now is chosen.
    tell(&mut model, &["@list ROW name=web:latest state=running", "@list OK count=1"]);
    assert_eq!((model.chosen.as_deref(), model.place.selected()), (Some("web:latest"), Some(0)));
    tell(&mut model, &["@list OK count=0"]);
    assert_eq!((model.chosen.as_deref(), model.place.selected()), (None, None));
    model.propose("stop");
    assert!(matches!(model.mode, Mode::List));
    assert!(model.sample("web:latest").is_none());
}

#[test]
fn what_is_decided_is_asked_for_and_its_answer_told() {
    let mut model = told(THREE);
    asked(&mut model);
    model.propose("stop");
    model.decide(false);
    assert!(asked(&mut model).is_empty());
    model.propose("stop");
    model.decide(true);
    assert_eq!(asked(&mut model), ["@t1 stop db:latest\n"]);
    tell(&mut model, &["@t1 OK name=db:latest exit=0"]);
    assert_eq!(model.said, "stop db:latest: done");
    model.propose("restart");
    model.decide(true);
    tell(&mut model, &["@t2 ERR wrong-state it is stopping"]);
    assert_eq!(model.said, "restart db:latest: it is stopping (wrong-state)");
}

#[test]
fn a_log_is_followed_and_given_up() {
    let mut model = told(THREE);
    asked(&mut model);
    model.open_logs();
    assert_eq!(asked(&mut model), ["@t1 logs db:latest follow=yes tail=2000 text=quoted\n"]);
    tell(&mut model, &["@t1 LOG stdout \"x\"", "@t9 LOG stdout \"of another\""]);
    let Mode::Logs(logs) = &model.mode else { panic!("no log") };
    assert_eq!(logs.seen(9).collect::<Vec<_>>(), ["x"]);
    model.close_logs();
    assert_eq!(asked(&mut model), ["@t2 cancel t1\n"]);
    tell(&mut model, &["@t2 OK", "@t1 ERR cancelled by cancel"]);
    // One that has ended needs no end.
    model.open_logs();
    tell(&mut model, &["@t3 OK"]);
    model.close_logs();
    assert_eq!(asked(&mut model).len(), 1);
}

#[test]
fn a_daemon_that_tells_no_more_is_the_end() {
    let mut model = told(THREE);
    assert!(model.take(&Parsed::read(b"@samples ERR shutting-down it leaves")).is_err());
}
