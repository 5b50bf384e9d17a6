#!/bin/sh
# install.sh install|uninstall DESTDIR PREFIX: what `make install` has built goes where this host looks for it, or is taken
# away again. Nothing is started: `systemctl enable --now gantry.socket gantry.service` is for whoever wants that.
set -eu
cd "$(dirname "$0")/.."
what=$1 dest=$2 prefix=$3
units=$dest$prefix/lib/systemd/system

# FILE MODE PLACE
files() {
    cat <<EOF
target/release/gantryd 755 $prefix/bin/gantryd
target/release/gantry 755 $prefix/bin/gantry
target/man/gantry.1 644 $prefix/share/man/man1/gantry.1
target/man/gantryd.8 644 $prefix/share/man/man8/gantryd.8
target/man/gantry.toml.5 644 $prefix/share/man/man5/gantry.toml.5
target/man/gantry-protocol.7 644 $prefix/share/man/man7/gantry-protocol.7
target/completions/gantry.bash 644 $prefix/share/bash-completion/completions/gantry
target/completions/gantry.zsh 644 $prefix/share/zsh/site-functions/_gantry
target/completions/gantry.fish 644 $prefix/share/fish/vendor_completions.d/gantry.fish
packaging/systemd/gantry.service 644 $prefix/lib/systemd/system/gantry.service
packaging/systemd/gantry.socket 644 $prefix/lib/systemd/system/gantry.socket
packaging/systemd/gantry.sysusers 644 $prefix/lib/sysusers.d/gantry.conf
EOF
}

case $what in
install)
    files | while read -r file mode place; do install -D -m "$mode" "$file" "$dest$place"; done
    sed -i "s|/usr/bin/gantryd|$prefix/bin/gantryd|" "$units/gantry.service"
    # A configuration that is there is its owner's.
    [ -e "$dest/etc/gantry/gantry.toml" ] || install -D -m 644 packaging/gantry.toml "$dest/etc/gantry/gantry.toml"
    ;;
uninstall) files | while read -r _ _ place; do rm -f "$dest$place"; done ;;
*)
    echo "install.sh: install or uninstall?" >&2
    exit 2
    ;;
esac
