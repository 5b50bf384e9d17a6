//! What a container's health check is to be: the request's words over the image's, as Docker joins them. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::refusal::Refusal;

/// Docker's times and count where neither request nor image says.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;
/// No check is made, or given up, sooner than this: each look is a process or two.
pub const SHORTEST: Duration = Duration::from_millis(100);
/// Nothing of a check takes longer than this.
pub const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// What runs a command that is one text.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// What a request says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// A text for the shell in place of the image's check; `none` for no check.
    pub command: Option<String>,
    /// Between the end of one look and the begin of the next.
    pub interval: Option<Duration>,
    /// How long a look may take.
    pub timeout: Option<Duration>,
    /// How many failures in a row make it unhealthy.
    pub retries: Option<u32>,
    /// For how long from its start failures do not count, unless it was healthy before.
    pub start_period: Option<Duration>,
    /// Restart it when it is unhealthy.
    pub restart: bool,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The program that tells by its exit status, 0 being well, and its arguments.
    pub argv: Vec<String>,
    /// Between the end of one look and the begin of the next.
    pub interval: Duration,
    /// How long a look may take.
    pub timeout: Duration,
    /// How many failures in a row make it unhealthy.
    pub retries: u32,
    /// For how long from its start failures do not count, unless it was healthy before.
    pub start_period: Duration,
    /// Restart it when it is unhealthy.
    pub restart: bool,
}

/// Docker's `Healthcheck` of an image; times are nanoseconds, and 0 says nothing.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Raw {
    test: Option<Vec<String>>,
    interval: Option<i64>,
    timeout: Option<i64>,
    start_period: Option<i64>,
    retries: Option<i64>,
}

impl Wishes {
    /// What of it needs a check to be of any use.
    fn of_a_check(&self) -> Option<&'static str> {
        let said = [
            (self.interval.is_some(), "health-interval="),
            (self.timeout.is_some(), "health-timeout="),
            (self.retries.is_some(), "health-retries="),
            (self.start_period.is_some(), "health-start-period="),
            (self.restart, "health-restart=yes"),
        ];
        said.into_iter().find_map(|(is_said, key)| is_said.then_some(key))
    }
}

impl Check {
    /// The check of a container, if it has one: `image` is the image's `Healthcheck`, `shell` its `Shell`.
    pub fn plan(wishes: &Wishes, image: Option<&Value>, shell: &[String]) -> Result<Option<Self>, Refusal> {
        let (argv, image) = match wishes.command.as_deref() {
            Some("none") => (None, Raw::default()),
            Some(text) => (Some(in_a_shell(&[], text)), read(image).unwrap_or_default()),
            None => {
                let image = read(image)?;
                (image.argv(shell)?, image)
            }
        };
        let Some(argv) = argv else {
            return match wishes.of_a_check() {
                Some(key) => Err(Refusal::bad_option(format_args!(
                    "{key} goes with health-cmd=, or with an image that has a health check"
                ))),
                None => Ok(None),
            };
        };
        Ok(Some(Self {
            argv,
            interval: wishes.interval.or_else(|| time(image.interval)).unwrap_or(INTERVAL),
            timeout: wishes.timeout.or_else(|| time(image.timeout)).unwrap_or(TIMEOUT),
            retries: wishes.retries.or_else(|| count(image.retries)).unwrap_or(RETRIES),
            start_period: wishes.start_period.or_else(|| time(image.start_period)).unwrap_or(Duration::ZERO),
            restart: wishes.restart,
        }))
    }

    /// The `Healthcheck` of an image whose containers are to have this one. That they are restarted is not an image's to say.
    pub fn in_image(&self) -> Value {
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let test: Vec<&str> = std::iter::once("CMD").chain(self.argv.iter().map(String::as_str)).collect();
        json!({
            "Test": test,
            "Interval": nanoseconds(self.interval),
            "Timeout": nanoseconds(self.timeout),
            "StartPeriod": nanoseconds(self.start_period),
            "Retries": self.retries,
        })
    }

    /// The `Healthcheck` of an image whose containers are to have none.
    pub fn none_in_image() -> Value {
        json!({"Test": ["NONE"]})
    }
}

impl Raw {
    /// The program, unless the image says that there is no check, or nothing.
    fn argv(&self, shell: &[String]) -> Result<Option<Vec<String>>, Refusal> {
        let test: Vec<&str> = self.test.iter().flatten().map(String::as_str).collect();
        match test.as_slice() {
            [] | ["NONE"] => Ok(None),
            ["CMD", argv @ ..] if !argv.is_empty() => Ok(Some(argv.iter().map(|word| (*word).to_owned()).collect())),
            ["CMD-SHELL", text] => Ok(Some(in_a_shell(shell, text))),
            _ => Err(wrong(&"its Test is neither CMD, CMD-SHELL nor NONE")),
        }
    }
}

fn read(image: Option<&Value>) -> Result<Raw, Refusal> {
    image.map_or(Ok(Raw::default()), |value| Raw::deserialize(value).map_err(|e| wrong(&e)))
}

fn wrong(why: &dyn std::fmt::Display) -> Refusal {
    Refusal::bad_value(format_args!("the image's HEALTHCHECK: {why}; health-cmd=none leaves it out"))
}

fn in_a_shell(shell: &[String], text: &str) -> Vec<String> {
    let default = || SHELL.map(str::to_owned).to_vec();
    let mut argv = if shell.is_empty() { default() } else { shell.to_vec() };
    argv.push(text.to_owned());
    argv
}

/// A time of an image's, within our bounds.
fn time(nanoseconds: Option<i64>) -> Option<Duration> {
    let nanoseconds = nanoseconds.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0)?;
    Some(Duration::from_nanos(nanoseconds).clamp(SHORTEST, LONGEST))
}

fn count(retries: Option<i64>) -> Option<u32> {
    retries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::Code;
    use serde_json::json;

    fn plan(wishes: &Wishes, image: &Value) -> Option<Check> {
        Check::plan(wishes, Some(image), &[]).unwrap()
    }

    #[test]
    fn the_image_says_what_the_request_does_not() {
        let image = json!({"Test": ["CMD-SHELL", "curl -f x"], "Interval": 5_000_000_000_i64, "Retries": 2});
        let found = plan(&Wishes::default(), &image).unwrap();
        assert_eq!(found.argv, ["/bin/sh", "-c", "curl -f x"]);
        assert_eq!((found.interval, found.timeout, found.retries), (Duration::from_secs(5), TIMEOUT, 2));
        let own = Wishes { command: Some("true".into()), retries: Some(7), restart: true, ..Wishes::default() };
        let found = plan(&own, &image).unwrap();
        assert_eq!(found.argv, ["/bin/sh", "-c", "true"]);
        assert_eq!((found.interval, found.retries, found.restart), (Duration::from_secs(5), 7, true));
    }

    #[test]
    fn every_form_of_a_test_is_read() {
        let argv = |test: Value| plan(&Wishes::default(), &json!({ "Test": test })).map(|check| check.argv.join(" "));
        assert_eq!(argv(json!(["CMD", "a", "b c"])).as_deref(), Some("a b c"));
        assert_eq!(argv(json!(["NONE"])), None);
        assert_eq!(argv(json!([])), None);
        assert_eq!(argv(Value::Null), None);
        let shell = ["bash".to_owned(), "-ec".to_owned()];
        let found = Check::plan(&Wishes::default(), Some(&json!({"Test": ["CMD-SHELL", "x"]})), &shell).unwrap();
        assert_eq!(found.unwrap().argv, ["bash", "-ec", "x"]);
    }

    #[test]
    fn what_cannot_be_is_refused_and_none_leaves_it_out() {
        let none = Wishes { command: Some("none".into()), ..Wishes::default() };
        for bad in [json!({"Test": ["CMD"]}), json!({"Test": ["x"]}), json!({"Test": 3}), json!(7)] {
            assert!(Check::plan(&Wishes::default(), Some(&bad), &[]).is_err(), "{bad}");
            assert_eq!(plan(&none, &bad), None);
        }
        let idle = Wishes { interval: Some(SHORTEST), ..none };
        assert_eq!(Check::plan(&idle, None, &[]).unwrap_err().code(), Code::BadOption);
        let idle = Wishes { restart: true, ..Wishes::default() };
        assert_eq!(Check::plan(&idle, None, &[]).unwrap_err().code(), Code::BadOption);
    }

    #[test]
    fn what_is_written_to_an_image_is_read_back() {
        let own = Wishes { command: Some("test -e /x".into()), retries: Some(7), ..Wishes::default() };
        let check = Check::plan(&own, None, &[]).unwrap().unwrap();
        assert_eq!(plan(&Wishes::default(), &check.in_image()), Some(check));
        assert_eq!(plan(&Wishes::default(), &Check::none_in_image()), None);
    }

    #[test]
    fn times_of_an_image_stay_within_bounds() {
        assert_eq!((time(Some(0)), time(Some(-5)), time(None)), (None, None, None));
        assert_eq!((time(Some(1)), time(Some(i64::MAX))), (Some(SHORTEST), Some(LONGEST)));
    }
}
