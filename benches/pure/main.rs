//! The pure parts of a request, measured: `make bench`. Times by criterion, and where valgrind is there the instructions of
//! each case, held against `instructions.txt`: those do not depend on what else the machine does.
//!
//! `BLESS=yes` writes that file anew, `cargo bench --bench pure -- CASE` times one case.
#![allow(clippy::disallowed_methods, reason = "a benchmark starts valgrind itself")]
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot measure ends there")]
#![allow(missing_docs, reason = "criterion's macros make items")]

mod cases;
mod instructions;

use std::hint::black_box;

use criterion::Criterion;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [mark, name, times] = &args[..]
        && mark == instructions::MARK
    {
        return instructions::repeat(name, times.parse().unwrap());
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, case) in cases::ALL {
        criterion.bench_function(name, |bencher| {
            let mut case = case();
            bencher.iter(|| black_box(case()));
        });
    }
    criterion.final_summary();
    instructions::check();
}
