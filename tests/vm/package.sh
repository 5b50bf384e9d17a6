#!/usr/bin/env bash
# package.sh: the Debian package as a user has it: installed, started by systemd, reached through its socket, upgraded,
# purged. What is printed is what is done.
set -euxo pipefail
cd "$(dirname "$0")"

installed() { dpkg-query -W -f '${Status}' gantryd 2>/dev/null | grep -q 'ok installed'; }
# `!` alone would not end the script, whatever came of it.
not() { if "$@"; then return 1; fi; }
ready() { systemctl is-active --quiet "$1"; }

export PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset GANTRY_SOCKET
dpkg -i gantryd.deb
installed
ready gantry.socket
ready gantry.service
[ "$(stat -c %a:%U:%G /run/gantry/gantry.sock)" = 660:root:gantry ]
[ "$(systemctl show -p NotifyAccess --value gantry.service)" = main ]
gantry ping
gantryd --check
examples/busybox-rootfs.sh /srv/busybox
gantry import /srv/busybox box
# What protects the daemon does not protect containers.
[ "$(cat "/proc/$(systemctl show -p MainPID --value gantry.service)/oom_score_adj")" = -500 ]
[ "$(gantry run --rm box cat /proc/self/oom_score_adj)" = 0 ]
gantry volume create kept

# The socket outlives the service: whoever comes next starts it again. Images are kept, containers are not.
gantry run -d --name web box sleep 1000
systemctl stop gantry.service
not ready gantry.service
not pgrep -x conmon
[ "$(gantry images -q | wc -l)" = 1 ]
ready gantry.service
[ "$(gantry ps -aq | wc -l)" = 0 ]

# An upgrade, to the same version.
gantry run -d --name web box sleep 1000
dpkg -i gantryd.deb
ready gantry.service
[ "$(gantry images -q | wc -l)" = 1 ]

# A daemon that was killed is started again, and sweeps.
gantry run -d --name web box sleep 1000
systemctl kill -s KILL --kill-whom=main gantry.service || systemctl kill -s KILL --kill-who=main gantry.service
until gantry ping 2>/dev/null; do sleep 0.2; done
[ "$(gantry ps -aq | wc -l)" = 0 ]
not pgrep -x conmon

dpkg --purge gantryd
not installed
not ls -d /run/gantry
not ls -d /etc/gantry
not ls /usr/bin/gantryd
[ "$(ls /var/lib/gantry)" = volumes ]
[ "$(ls /var/lib/gantry/volumes)" = kept ]
not getent group gantry
not grep gantry <(ip -o link)
not grep gantry <(nft list tables)
rm -rf /var/lib/gantry /srv/busybox
echo "package: well"
