#!/bin/sh
# Installs by apt what is missing of the tools that gantry and its tests stand on, and nothing else. Says nothing where
# nothing is missing. No service is started or enabled by it: docker-registry is wanted as a program only.
# `setup.sh peers` installs besides what gantry is compared with, and what measures them.
set -eu
cd "$(dirname "$0")/.."

missing=
want() { # PACKAGE COMMAND…: the package is wanted where the command fails
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
have() { PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin command -v "$1"; }
static_busybox() { have busybox && ! ldd "$(have busybox)"; }
openbsd_netcat() { nc -h 2>&1 | grep -q OpenBSD; }

# What the daemon runs.
want skopeo have skopeo
want umoci have umoci
want crun have crun
want conmon have conmon
want nftables have nft
want iproute2 have ip
want catatonit have catatonit
# What the demo and the tests run.
want docker-registry have docker-registry
want busybox-static static_busybox
want socat have socat
want netcat-openbsd openbsd_netcat
want jq have jq
want zstd have zstd
want openssl have openssl
want e2fsprogs have filefrag
want xfsprogs have mkfs.xfs
want curl have curl
want tmux have tmux
want python3 have python3
# What `make versus` and `make suite` run.
if [ "${1:-}" = peers ]; then
    want docker.io have dockerd
    want podman have podman
    want netavark test -x /usr/lib/podman/netavark
    want aardvark-dns test -x /usr/lib/podman/aardvark-dns
    want wrk have wrk
fi

toolchain() {
    if ! have cargo >/dev/null || ! have cc >/dev/null; then
        echo "setup: gantry is built with Rust: install rustup (https://rustup.rs) and a C linker (apt install gcc)" >&2
        exit 1
    fi
    # rustup fetches what rust-toolchain names on first use; say so only where that fails.
    if ! said=$(cargo --version 2>&1); then
        printf 'setup: the toolchain that rust-toolchain names is not usable: %s\n' "$said" >&2
        exit 1
    fi
}

no_services() { # a policy that keeps packages from starting services, for the time of the installation
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
}

install() {
    if [ "$(id -u)" != 0 ]; then
        echo "setup: as root, please: apt-get install$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing"
    no_services
    export DEBIAN_FRONTEND=noninteractive
    # Lists that are there may do; fresh ones are fetched where they do not.
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
    }
    case $missing in
    *docker-registry*) update-rc.d docker-registry disable >/dev/null 2>&1 || true ;;
    esac
    case $missing in
    *docker.io*) update-rc.d docker disable >/dev/null 2>&1 || true ;;
    esac
}

[ -z "$missing" ] || install
toolchain
