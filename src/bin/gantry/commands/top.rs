//! `top`: the processes of a container, or, without a name, a live view of all containers.

use crate::command::{Call, Outcome};
use crate::commands::rows;
use crate::failure::Failure;
use crate::live;

/// With a name docker's; without, the whole screen.
pub fn top(call: &mut Call<'_>) -> Outcome {
    match call.operands().len() {
        0 => live::live(call),
        1 => rows::rows(call),
        _ => Err(Failure::Usage("one NAME at a time; how ps is called is not to be chosen".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::scripted::Script;

    #[test]
    fn a_view_of_all_needs_a_terminal() {
        let ran = Script::of(&[]).run(&["top"]);
        assert_eq!((ran.status, ran.out.as_str()), (1, ""));
        assert!(ran.err.contains("terminal") && ran.err.contains("gantry stats --no-stream"), "{}", ran.err);
        assert_eq!(Script::of(&[]).run(&["top", "web", "aux"]).status, 1);
    }
}
