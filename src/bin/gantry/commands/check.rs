//! `check` and `image verify`: whether the host is fit and images are whole, told by the exit status too.

use crate::command::{Call, Outcome};
use crate::commands::{once, rows};

/// Shows the findings; 1 where one of them is bad.
pub fn check(call: &mut Call<'_>) -> Outcome {
    let format = call.format()?;
    let findings = rows::collect(&mut call.daemon.connect()?, &once::request(call)?)?;
    rows::write(call.console, &format, &findings, |_, _| None, |out| crate::table::write_rows(out, &findings))?;
    Ok(u8::from(findings.iter().any(|finding| finding.get("ok") == "no")))
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn a_bad_finding_is_a_failure() {
        let reply = "ROW check=cgroup ok=yes detail=\"version 2\"\nROW check=crun ok=no detail=missing\nOK failed=1\n";
        let ran = Script::of(&[("check", reply)]).run(&["check"]);
        assert_eq!(ran.status, 1);
        assert_eq!(ran.out, "CHECK    OK    DETAIL\ncgroup   yes   version 2\ncrun     no    missing\n");
    }
}
