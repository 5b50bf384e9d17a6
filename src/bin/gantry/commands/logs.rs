//! `logs`: what a container wrote, byte for byte, stdout and stderr apart.

use crate::command::{Call, Outcome};
use crate::commands::once;
use crate::streams::Streams;

/// Writes them as they come.
pub fn logs(call: &mut Call<'_>) -> Outcome {
    let request = once::request(call)?.option("text", b"quoted");
    let mut streams = Streams::default();
    let console = &mut *call.console;
    call.daemon.connect()?.exchange(&request, |line, is_last| match line.head.as_str() {
        "LOG" => streams.write(line, is_last, console),
        "EVENT" => streams.lost(line, console),
        _ => Ok(()),
    })?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn bytes_and_streams_are_kept() {
        let reply = "LOG stdout \"a\\tb\"\nLOG stderr \"e\"\nLOG stdout+ \"half \\xff\"\nLOG stdout+ \"done\"\nOK\n";
        let ran = Script::of(&[("logs web follow=yes tail=2 text=quoted", reply)]).run(&["logs", "-fn", "2", "web"]);
        assert_eq!(ran.out_bytes, b"a\tb\nhalf \xffdone");
        assert_eq!(ran.err, "e\n");
    }

    #[test]
    fn what_is_lost_is_told() {
        let reply = "LOG stdout+ \"ab\"\nEVENT type=lost files=2\nLOG stdout \"yz\"\nOK\n";
        let ran = Script::of(&[("logs web text=quoted", reply)]).run(&["logs", "web"]);
        assert_eq!(ran.out, "ab\nyz\n");
        assert_eq!(ran.err, "gantry: 2 files of the log were removed before they were read\n");
    }

    #[test]
    fn times_stand_once_a_line() {
        let reply = "LOG stdout+ 2026-01-31T12:00:00.1Z \"a\"\nLOG stdout 2026-01-31T12:00:00.1Z \"b\"\nOK\n";
        let ran =
            Script::of(&[("logs web timestamps=yes text=quoted", reply)]).run(&["logs", "-t", "--tail=all", "web"]);
        assert_eq!(ran.out, "2026-01-31T12:00:00.1Z ab\n");
    }
}
