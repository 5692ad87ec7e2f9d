#!/usr/bin/env bash
# Try this checkout's last commit on a Debian release: a clean clone in a minimal system.
#
#   tools/try_debian.sh [RELEASE [COMMAND]]      by default: trixie 'make demo && make test'
#
# Needs root, debootstrap and a Debian mirror; where one is missing it exits with 77. Otherwise it exits with
# the command's status. pip's settings of this machine also apply inside, and so do its proxies.
#
#   TRY_DEBIAN_ROOT    folder of the system, kept between runs with pip's cache (/var/tmp/basalt-RELEASE)
#   TRY_DEBIAN_MIRROR  Debian mirror (the one in this machine's apt sources)
set -euo pipefail

release=${1:-trixie}
command=${2:-make demo && make test}
root=${TRY_DEBIAN_ROOT:-/var/tmp/basalt-$release}
checkout=$(cd "$(dirname "$0")/.." && pwd)
home=/home/try

cannot() { echo "$0: $1" >&2; exit 77; }

# The Debian mirror in this machine's apt sources; nothing where it has none, as on Ubuntu.
own_mirror() {
    apt-get indextargets --format '$(REPO_URI)' 'Identifier: Packages' 'Origin: Debian' 2>/dev/null | sed -n 1p || true
}

make_root() {
    local mirror=${TRY_DEBIAN_MIRROR:-$(own_mirror)}
    mirror=${mirror:-http://deb.debian.org/debian}
    if [ ! -e "$root/.complete" ]; then
        rm -rf --one-file-system "$root.part"
        debootstrap --variant=minbase --include=ca-certificates,git,make,python3 "$release" "$root.part" \
            "$mirror" >"$root.log" 2>&1 || cannot "debootstrap failed: $(tail -1 "$root.log") ($root.log)"
        touch "$root.part/.complete"
        mv "$root.part" "$root"
    fi
}

# What pip reads here, and the files and folders that its settings install from (of an index X/simple all of X).
# A value is one name, which may have blanks, or several between blanks; what does not exist is left out later.
pip_places() {
    printf '%s\n' /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip"
    { python3 -m pip config list 2>/dev/null || true; env; } |
        sed -nE 's/^(PIP_|[^=]*\.)(CONFIG_FILE|(EXTRA[-_])?INDEX[-_]URL|FIND[-_]LINKS|CERT|CONSTRAINT)=//Ip' |
        sed "s/['\"]//g; s/\\\\n/ /g; p; s/ /\n/g" |
        sed -n 's|^file://\(.*\)/simple/*$|\1|; s|^file://||; s|%20| |g; \|^/.|p'
}

enter() {
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
    pip_places | sort -u | while IFS= read -r place; do
        if [ ! -e "$place" ] || [ "$place" -ef "$root$place" ]; then continue; fi # the latter: in a folder mounted before
        if [ -d "$place" ]; then
            mkdir -p "$root$place"
        else
            mkdir -p "$root$(dirname "$place")"
            touch "$root$place"
        fi
        mount --bind -o ro "$place" "$root$place"
    done
    rm -rf --one-file-system "${root:?}$home/checkout"
    # The checkout may be another user's. git ignores this setting in the checkout and does not pass `-c` on.
    printf '[safe]\n\tdirectory = *\n' >"$root.gitconfig"
    GIT_CONFIG_GLOBAL=$root.gitconfig git clone --quiet --no-hardlinks "$checkout" "$root$home/checkout"
    if [ -d "$checkout/../shared" ]; then
        mkdir -p "$root$home/shared"
        mount --bind -o ro "$checkout/../shared" "$root$home/shared"
    fi
    local kept=() name
    for name in $(compgen -e | grep -E '^(PIP_.*|TORCH_INDEX|TEST_JOBS|CI|.*_(proxy|PROXY))$'); do
        kept+=("$name=${!name}")
    done
    exec chroot "$root" env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "${kept[@]}" \
        sh -c "cd $home/checkout && { $command; }"
}

case ${TRY_DEBIAN_INSIDE:-} in
"")
    [ "$(id -u)" = 0 ] || cannot "expected root, got user $(id -un)"
    command -v debootstrap >/dev/null || cannot "debootstrap is missing; apt-get install debootstrap"
    # In a mount namespace of its own, so that nothing is left mounted whatever happens.
    TRY_DEBIAN_INSIDE=1 exec unshare --mount --pid --fork --kill-child "$0" "$release" "$command"
    ;;
*)
    mount --make-rprivate /
    make_root
    enter
    ;;
esac
