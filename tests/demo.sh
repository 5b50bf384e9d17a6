#!/usr/bin/env bash
# The main job, shown: a daemon, an image made on this host, a container with a published port, its page fetched through
# that port, a look at it, its end, and nothing left. No registry and no network is needed. Each command is printed as a
# user would type it, and any that fails ends the demo with its status. `make demo` runs this with the binaries on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" = 0 ] || { echo "demo: containers need root; run it as root" >&2; exit 1; }

dir=$(mktemp -d /tmp/gantry-demo.XXXXXX)
bridge=gd$$
daemon=
export GANTRY_SOCKET=$dir/run/gantry.sock

say() { printf '\n# %s\n' "$*"; }
show() { # the command as it is typed, then what it prints
    printf '$ %s\n' "$*"
    eval "$*"
}

leave() {
    status=$?
    trap - EXIT
    if [ -n "$daemon" ]; then
        kill "$daemon" 2>/dev/null || true
        wait "$daemon" || true
    fi
    if [ "$status" != 0 ]; then
        echo "demo: failed with status $status; the daemon said:" >&2
        cat "$dir/log" >&2 || true
    fi
    rm -rf "$dir"
    exit "$status"
}
trap leave EXIT
trap 'exit 130' INT TERM

free_port() { # the first port from $1 on that nobody listens on
    local port=$1
    while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

none() { # the same for a command that must print nothing
    local printed
    printf '$ %s\n' "$*"
    printed=$(eval "$*" || true)
    [ -z "$printed" ] || { printf 'demo: left behind: %s\n' "$printed" >&2; exit 1; }
}

say "A daemon of its own: socket, directories and bridge that nobody else uses"
show "gantryd --root $dir/root --run $dir/run --bridge $bridge 2>$dir/log &"
daemon=$!
for _ in $(seq 100); do
    gantry version >/dev/null 2>&1 && break
    kill -0 "$daemon" 2>/dev/null || exit 1
    sleep 0.1
done
show "export GANTRY_SOCKET=$GANTRY_SOCKET"
show "gantry version"

say "An image, with no registry: the host's static busybox and one page; typed to the socket itself"
show "examples/busybox-rootfs.sh $dir/rootfs"
show "echo 'image import $dir/rootfs httpd cmd=\"httpd -f -v -p 80 -h /www\"' | socat -t 300 - UNIX-CONNECT:\$GANTRY_SOCKET"
show "gantry images"

port=$(free_port 8080)
say "A container whose port 80 the host answers for on $port"
show "gantry run -d --name web -p $port:80 httpd"

say "Its page, through the published port"
show "curl -sS --fail --retry 20 --retry-connrefused --retry-delay 1 http://127.0.0.1:$port/" | tee "$dir/page"
grep -q 'It works' "$dir/page"

say "A look at it"
show "gantry ps"
show "gantry stats --no-stream web"
show "gantry logs web"
show "gantry run --rm httpd echo hello from another one"

say "Its end"
show "gantry stop -t 1 web"
show "gantry wait web"
show "gantry rm web"
show "gantry ps -a"

say "The daemon's end, and what is left on the host of all this: nothing"
show "kill $daemon"
wait "$daemon"
daemon=
none "pgrep -af $dir"
none "grep -F $dir /proc/self/mountinfo"
none "ip -o link | grep -F $bridge"
none "nft list tables | grep -F $bridge"
none "find /sys/fs/cgroup -maxdepth 2 -name gantry-$bridge"
none "ls -A $dir/run 2>/dev/null"
printf '\nThe demo went well.\n'
