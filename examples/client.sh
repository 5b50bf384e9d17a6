#!/bin/sh
# client.sh [-s SOCKET] WORD…: sends one request and prints the reply; a client of gantry in POSIX shell, with socat.
# Rows come out as they are, log lines on stdout and stderr as the container wrote them. Exits 0 for OK, 1 for ERR, and
# with the container's exit status where the reply tells one.
set -u
socket=${GANTRY_SOCKET:-/run/gantry/gantry.sock}
[ "${1:-}" = -s ] && { socket=$2; shift 2; }
[ $# -gt 0 ] || { echo "usage: client.sh [-s SOCKET] WORD…" >&2; exit 2; }

quote() { # a word in '…', where a quote itself is written '\''
    printf " '"
    printf %s "$1" | sed "s/'/'\\\\''/g"
    printf "'"
}
request=$(for word in "$@"; do quote "$word"; done)

answer() { # the reply's lines, one after another, to its final line
    lf='
'
    while IFS= read -r line; do
        case $line in
        'LOG stdout+ '*) printf %s "${line#LOG stdout+ }" ;;
        'LOG stderr+ '*) printf %s "${line#LOG stderr+ }" >&2 ;;
        'LOG stdout '*) printf '%s\n' "${line#LOG stdout }" ;;
        'LOG stderr '*) printf '%s\n' "${line#LOG stderr }" >&2 ;;
        OK*' exit='[0-9]*)
            status=${line##* exit=}
            exit "${status%% *}"
            ;;
        OK | 'OK '*) printf '%s\n' "$line" && exit 0 ;;
        'ERR '*) printf '%s\n' "$line" >&2 && exit 1 ;;
        PROGRESS*) ;;
        *) printf '%s\n' "$line" ;;
        esac
    done
    echo "client.sh: no answer from $socket" >&2
    exit 1
}

# By itself socat waits half a second for an answer, and a busy host may take longer.
printf '%s\n' "${request# }" | socat -t 60 - "UNIX-CONNECT:$socket" | answer
