//! The environment of a process: whose word on a variable counts. Pure.

/// The `PATH` of a process whose image sets none; Docker's.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The kind of terminal that a process with one is told of where nobody says; Docker's.
const TERM: &str = "TERM=xterm";

/// The whole of it: defaults, what goes with a terminal where it has one, what was there before, then the request's own.
pub fn of_process((tty, before): (bool, &[String]), own: &[String], hostname: &str, home: Option<&str>) -> Vec<String> {
    let mut defaults = vec![PATH.to_owned(), format!("HOSTNAME={hostname}"), format!("HOME={}", home.unwrap_or("/"))];
    defaults.extend(tty.then(|| TERM.to_owned()));
    over(&over(&defaults, before), own)
}

/// `own` over `base`: the last word on a variable counts, in the place of the first.
pub fn over(base: &[String], own: &[String]) -> Vec<String> {
    let mut env: Vec<String> = Vec::with_capacity(base.len() + own.len());
    for variable in base.iter().chain(own) {
        let key = variable.split('=').next();
        match env.iter_mut().find(|there| there.split('=').next() == key) {
            Some(there) => there.clone_from(variable),
            None => env.push(variable.clone()),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_last_word_on_a_variable_counts() {
        let env = of_process((false, &words("PATH=/image A=1")), &words("A=2 B="), "web", Some("/srv"));
        assert_eq!(env, ["PATH=/image", "HOSTNAME=web", "HOME=/srv", "A=2", "B="]);
        let env = of_process((true, &words("TERM=vt100")), &[], "web", None);
        assert_eq!(env[1..], ["HOSTNAME=web", "HOME=/", "TERM=vt100"]);
    }
}
