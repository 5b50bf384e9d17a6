//! `check` and `image verify`: whether the host is fit and images are whole, told by the exit status too.

use crate::command::{Call, Outcome};
use crate::commands::{once, rows};

/// Shows the findings; 1 where one of them is bad.
pub fn check(call: &mut Call<'_>) -> Outcome {
    let format = call.format()?;
    let findings = rows::collect(&mut call.daemon.connect()?, &once::request(call)?)?;
    match format {
        crate::command::Format::Json => rows::write_json(call, &findings)?,
        crate::command::Format::Table => crate::table::write_rows(&mut *call.console.out, &findings)?,
    }
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
