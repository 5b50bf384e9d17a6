#!/usr/bin/env bash
# guest.sh: what a stock Debian is put through, from the directory that its second disk was unpacked to: the demo, then
# the core of the suite. What is left out of the suite runs no containers, or asks nothing of the host. Where the file
# `chosen` is not empty, only the tests whose names contain one of its words are run, and no demo.
set -euo pipefail
cd "$(dirname "$0")"

CORE=(engine:: execs:: pausing:: limits:: options:: inside:: volumes:: streams:: raw:: restarting:: health:: rotation::
    userns:: commit:: copying:: diff:: ending:: races:: crowd:: network:: ports:: closing:: examples:: host:: pulls::
    refusals:: protocol::)
# The console is one that nobody looks at.
export TERM=dumb
export PATH=$PWD/bin:$PATH
# Where the suite finds what cargo would tell it the place of.
export CARGO_MANIFEST_DIR=$PWD CARGO_TARGET_TMPDIR=$PWD/made
export CARGO_BIN_EXE_gantryd=$PWD/bin/gantryd CARGO_BIN_EXE_gantry=$PWD/bin/gantry
# Emulated, and beside whatever else the machine does.
export GANTRY_SUITE_PATIENCE=5

. /etc/os-release
echo "$PRETTY_NAME, Linux $(uname -r), cgroups: $(stat -fc %T /sys/fs/cgroup)"
for tool in crun conmon skopeo umoci nft; do "$tool" --version 2>/dev/null | head -n 1; done
mkdir made
gantryd --check
read -ra chosen <chosen || true
[ ${#chosen[@]} -gt 0 ] || tests/demo.sh
./suite --color never --test-threads 2 "${chosen[@]:-${CORE[@]}}"
