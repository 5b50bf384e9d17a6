#!/bin/sh
# busybox-rootfs.sh DIR: a root file system of the host's static busybox and one web page, to be made an image by
# `image import DIR REF`. What an image is with no registry at hand.
set -eu
dir=${1:?usage: busybox-rootfs.sh DIR}
busybox=$(command -v busybox) || { echo "busybox-rootfs: no busybox here; apt install busybox-static" >&2; exit 1; }

mkdir -p "$dir/bin" "$dir/etc" "$dir/dev" "$dir/proc" "$dir/sys" "$dir/root" "$dir/var" "$dir/www"
mkdir -p -m 1777 "$dir/tmp"
cp "$busybox" "$dir/bin/busybox"
(cd "$dir/bin" && ./busybox --list | grep -vx busybox | xargs -n 1 ln -sf busybox)

printf '%s\n' 'root:x:0:0:root:/root:/bin/sh' 'www:x:80:80:www:/www:/bin/sh' 'nobody:x:65534:65534::/:/bin/sh' >"$dir/etc/passwd"
printf '%s\n' 'root:x:0:' 'www:x:80:' 'nogroup:x:65534:' >"$dir/etc/group"
echo '<h1>It works: this page comes out of a container.</h1>' >"$dir/www/index.html"
