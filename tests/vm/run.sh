#!/usr/bin/env bash
# run.sh RELEASE…: boots each stock Debian (12, 13) under qemu and has it run tests/vm/guest.sh with the binaries and the
# suite built here. Prints what it prints, and fails where it fails. `make vm-test` is this; `make vm-test RELEASES=13
# TESTS="pausing:: limits::"` runs the tests of these names alone, on one of them.
#
# Software emulation, so that it works wherever qemu does: a minute to boot, and everything some ten times slower.
# VM_LIMIT (seconds) bounds each run. The guest has no network but its own, and each run starts from the same image.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${BIN:?the directory of gantryd and gantry}" "${SUITE:?the binary of the suite}"

missing=
for need in qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap mke2fs:e2fsprogs; do
    PATH=$PATH:/usr/sbin:/sbin command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
[ -z "$missing" ] || { echo "vm: please: apt-get install$missing" >&2; exit 1; }

work=$(mktemp -d /tmp/gantry-vm.XXXXXX)
qemu=
# shellcheck disable=SC2064
trap 'kill $qemu 2>/dev/null || true; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

pack() { # the guest's second disk: a tar file, of which it starts `run`
    local job=$work/job
    mkdir -p "$job/bin" "$job/tests"
    # Without debug information they are a tenth of the size.
    strip -o "$job/bin/gantryd" "$BIN/gantryd"
    strip -o "$job/bin/gantry" "$BIN/gantry"
    strip -o "$job/suite" "$SUITE"
    cp tests/vm/guest.sh "$job/run"
    cp tests/vm/package.sh "$job/"
    cp target/debian/gantryd.deb "$job/"
    echo "${TESTS:-}" >"$job/chosen"
    cp -r examples protocol.md README.md Makefile "$job/"
    cp -r tests/demo.sh tests/suite "$job/tests/"
    tar -C "$job" -cf "$work/job.tar" .
}

boot() { # RELEASE; prints what the guest prints, as it comes
    local image out=$work/out
    image=$(tests/vm/image.sh "$1")
    : >"$out"
    # Emulation steps through `rep movsb` byte by byte, and a kernel that takes it for fast clears every page by it: without
    # these two flags a process starts in two thirds of the time, and files are copied in a fifth of it.
    timeout "${VM_LIMIT:-3600}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max,-erms,-fsrm -smp 2 -m 2048 \
        -no-reboot -display none -monitor none -nic none \
        -kernel "$image.kernel" -initrd "$image.initrd" \
        -append "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=0 mitigations=off" \
        -drive "file=$image.img,if=virtio,format=raw,snapshot=on" \
        -drive "file=$work/job.tar,if=virtio,format=raw,readonly=on" \
        -serial "file:$work/console" -serial "file:$out" &
    qemu=$!
    # In the background, as a trap waits for what is in the foreground.
    tail -n +1 -s 0.2 --pid=$qemu -f "$out" | sed -u 's|\r$||' &
    wait $qemu || echo "vm: qemu ended with $?" >&2
    wait
    qemu=
    # The guest's last word; a serial line has carriage returns.
    if ! grep -q '^vm: ended with 0[[:space:]]*$' "$out"; then
        echo "vm: Debian $1 failed; its console ends:" >&2
        tail -n 5 "$work/console" >&2
        return 1
    fi
}

pack
failed=
for release in "$@"; do
    echo "vm: Debian $release"
    boot "$release" || failed="$failed $release"
done
[ -z "$failed" ] || { echo "vm: failed on Debian$failed" >&2; exit 1; }
