#!/usr/bin/env bash
# Makes the system image of a stock Debian, once for each release and list of packages, and prints its path without the
# suffix: `.img` is its root file system, `.kernel` and `.initrd` are what boots it. It lies in the user's cache and is
# never written to again. The one change to Debian is a unit that runs what the second disk brings.
set -euo pipefail

case ${1:?a release: 12 or 13} in
12) suite=bookworm ;;
13) suite=trixie ;;
*)
    echo "vm: no such release: $1" >&2
    exit 2
    ;;
esac
cache=${XDG_CACHE_HOME:-/var/tmp}/gantry-vm
packages=(systemd-sysv dbus udev kmod procps iproute2 linux-image-cloud-amd64
    skopeo umoci crun conmon nftables catatonit
    docker-registry busybox-static socat netcat-openbsd jq curl tmux python3)
list=$(IFS=, && echo "${packages[*]}")
unit='[Unit]
After=basic.target dbus.service
[Service]
Type=idle
StandardInput=null
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS1
Environment=HOME=/root
ExecStart=/bin/sh -c "mkdir /job && cd /job && tar -xf /dev/vdb && ./run; echo vm: ended with $? "
ExecStopPost=systemctl poweroff --force --force
[Install]
WantedBy=multi-user.target'
image=$cache/$suite-$(printf '%s' "$list $unit" | sha256sum | cut -c1-12)
root=$image.root

make() {
    rm -rf "$root"
    trap 'rm -rf "$root"' EXIT
    echo "vm: making the image of Debian $1, some minutes" >&2
    mmdebstrap --quiet --variant=minbase --include="$list" "$suite" "$root" >&2
    # systemd reads $ as a specifier's start only where it is not doubled.
    printf '%s\n' "${unit//\$/\$\$}" >"$root/etc/systemd/system/job.service"
    ln -s ../job.service "$root/etc/systemd/system/multi-user.target.wants/job.service"
    cp "$root"/boot/vmlinuz-* "$image.kernel"
    cp "$root"/boot/initrd.img-* "$image.initrd"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -d "$root" "$image.new" 4G
    mv "$image.new" "$image.img"
}

mkdir -p "$cache"
exec 9>"$image.lock"
flock 9
[ -e "$image.img" ] || make "$1"
echo "$image"
