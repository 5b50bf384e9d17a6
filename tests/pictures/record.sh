#!/usr/bin/env bash
# Records docs/top.svg: a real daemon, real containers, `gantry top` in a real terminal (tmux), typed into by this script and
# copied from the screen at moments of its choice. `make record` runs this with the binaries on PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ "$(id -u)" = 0 ] || { echo "record: containers need root; run it as root" >&2; exit 1; }

dir=$(mktemp -d /tmp/gantry-record.XXXXXX)
daemon=
export GANTRY_SOCKET=$dir/run/gantry.sock
unset NO_COLOR
columns=118
rows=14

screen() { tmux -u -f /dev/null -S "$dir/tmux" "$@"; }

leave() {
    status=$?
    trap - EXIT
    screen kill-server 2>/dev/null || true
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    [ "$status" = 0 ] || cat "$dir/log" >&2
    rm -rf "$dir"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM

shows() { # waits until the screen has a line that fits the expression
    for _ in $(seq 300); do
        screen capture-pane -p | grep -Eq "$1" && return
        sleep 0.1
    done
    echo "record: never seen: $1" >&2
    screen capture-pane -p >&2
    exit 1
}
frame=0
copy() { # the screen as it is, with its colours, to be seen for so many tenths of a second
    frame=$((frame + 1))
    screen capture-pane -e -p >"$dir/$(printf %03d $frame).$1"
}
keys() { screen send-keys "$@"; }

gantryd --root "$dir/root" --run "$dir/run" --bridge "gr$$" 2>"$dir/log" &
daemon=$!
for _ in $(seq 100); do
    gantry ping >/dev/null 2>&1 && break
    sleep 0.1
done
examples/busybox-rootfs.sh "$dir/rootfs" >/dev/null
gantry import "$dir/rootfs" httpd --cmd "httpd -f -v -p 80 -h /www" >/dev/null

web='while :; do wget -q -O /dev/null http://web/ && echo "$(date +%T) the page is there"; sleep 0.3; done'
gantry run -d --name web -m 64m --health-cmd 'wget -q -O /dev/null http://127.0.0.1/' --health-interval 1s httpd >/dev/null
gantry run -d --name web:next -m 64m --stop-signal KILL httpd >/dev/null
gantry run -d --name visitor -m 32m --stop-signal KILL httpd sh -c "$web" >/dev/null
gantry run -d --name busy --cpus 0.5 -m 16m --stop-signal KILL httpd sh -c 'while :; do :; done' >/dev/null
gantry run --name job httpd sh -c 'exit 3' || true

screen new-session -d -x $columns -y $rows "PS1='$ ' sh"
screen set-option -g status off
shows '^\$'
copy 8
keys -l 'gantry top'
copy 8
keys Enter
shows 'busy:latest .* [1-9][0-9.]*%'
shows 'web:latest .*healthy'
copy 15
sleep 1.2
copy 12
keys o
shows 'by cpu'
copy 15
keys o
keys o
keys Down Down
copy 6
keys l
shows 'the page is there'
copy 10
sleep 1
copy 15
keys q
shows 'PIDS'
keys g
copy 6
keys s
shows 'stop busy:latest\?'
copy 12
keys y
shows 'busy:latest .*Exited'
shows 'stop busy:latest: done'
copy 20
keys q
shows '^\$ *$'
copy 15
tests/pictures/draw.py "$dir"/[0-9][0-9][0-9].* >"$dir/top.svg"
mv "$dir/top.svg" docs/top.svg
echo "docs/top.svg: $frame pictures, $(wc -c <docs/top.svg) bytes"
