//! The suite: one integration binary. Everything here runs against the real daemon, the real tools and the real kernel,
//! each test with a daemon, directories, a bridge and a subnet of its own, and ends with a look for what leaked.
#![allow(clippy::disallowed_methods, reason = "tests start the daemon, the client and the host's tools themselves")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, and the line tells which")]

// What tests are made of.
mod conn; // a client's connection, and replies as it reads them
#[path = "../load/floods/mod.rs"]
mod deluge; // floods: clients by the thousand
mod dns; // questions of the DNS, and a server that answers them
mod fake_registry; // a registry that does what a test says
mod harness; // the daemon under test, from start to the look for leaks
mod host; // what a daemon can leave behind on the host
mod peer; // another host: a network namespace beside this one
mod place; // directories, a bridge and a subnet that no other test has
#[path = "../load/player/mod.rs"]
mod player; // load files, read and played
mod registry; // a real registry on loopback
mod screen; // a terminal, and what is seen on it
mod shell; // commands of the host, with a deadline
mod transcript; // the transcripts of protocol.md: read, and matched

// The wire.
mod closing; // half-close, full close, quit
mod doors; // the sockets: who may do what, and how many
mod floods; // thousands of clients, and one more
mod greed; // clients that take all they can
mod manager; // sockets that systemd opened, and what it hears
mod manual; // the manual and the code say the same
mod protocol; // every transcript of protocol.md, played as it stands
mod refusals; // bad input: its code, its line, and nothing left behind
mod tags; // tags, cancel, and the bounds of a connection
mod words; // the vectors of words.tsv

// The engine.
mod chaos; // chance: killed processes, failing tools, a daemon that is killed under load
mod commit; // images made of containers
mod copying; // files in and out
mod crowd; // thirty at once
mod defects; // panics in actors and in their work
mod depths; // trees deeper than a stack
mod diff; // what a container changed
mod ending; // TERM and KILL of the daemon; daemons beside each other
mod engine; // the main job, and every way of asking agrees
mod execs; // more processes in a container
mod faults; // dying at each step of what the network makes, and the start after it
mod hanging; // tools that hang
mod health; // checks of health, and what comes of them
mod image_verbs; // images looked after, disk and metrics measured
mod inside; // a container as its own processes find it
mod leaving; // the daemon's end in the middle of things
mod limits; // limits changed while it runs, and what runs
mod load; // many clients at once, by the files of tests/load
mod mishaps; // what befalls it from outside: the table of faults and answers
mod names; // containers found by their names
mod networks; // how containers are connected
mod options; // what a container is given by options
mod pausing; // containers that are paused
mod ports; // published ports, from this host and another
mod pull_kills; // the daemon killed in the middle of pulls
mod pulls; // images from a real registry
mod races; // what is asked while something else is under way
mod raw; // connections that are a process's standard streams
mod restarting; // what starts again by itself
mod rotation; // logs that are put aside when they have grown
mod squeeze;
mod streams; // standard input in lines, attach, terminals
mod trust; // whom a pull trusts, and credentials
mod userns; // user ids of its own
mod volumes; // files of the host, and what outlives containers
mod watching; // Prometheus, and readers of the log

// The actors by themselves.
mod actors; // what the design leans on in actix
mod images; // the image store
mod network; // the network

// The client.
mod client; // against the real daemon
mod client_process; // as a process, against a scripted one
mod compose; // projects of several containers
mod packaging; // scripts, completions, the manual page
mod terminals; // the session of lines, and the live view

// The house.
mod examples; // the clients of examples/
mod pictures; // docs/pictures.md shows what is
mod readme; // README.md tells the truth
mod tidy; // the layer rule, and what every file must have
