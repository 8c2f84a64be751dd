#!/bin/bash
# The last step of `lab build`, called by mmdebstrap: turns the root file system "$1" into the lab's machine.
set -euo pipefail
root=$1
inside() { chroot "$root" "$@"; }

echo lab >"$root/etc/hostname"
printf '127.0.0.1 localhost lab\n::1 localhost\n' >"$root/etc/hosts"
printf 'LANG=C.UTF-8\n' >"$root/etc/locale.conf"

# An ordinary user who lingers, so that his manager runs without anybody logging in: the bare headless box.
inside useradd --create-home --shell /bin/bash --uid 1000 lumen
install -d "$root/var/lib/systemd/linger"
: >"$root/var/lib/systemd/linger/lumen"

# The container is made anew at every start: what is kept for later boots, or waits for a network, is in the way.
inside systemctl --quiet set-default multi-user.target
inside systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer \
    e2scrub_all.timer e2scrub_reap.service systemd-networkd-wait-online.service getty.target console-getty.service \
    systemd-firstboot.service dev-hugepages.mount 2>/dev/null || true
install -d "$root/etc/systemd/system.conf.d" "$root/etc/systemd/journald.conf.d"
printf '[Manager]\nDefaultTimeoutStopSec=10s\n' >"$root/etc/systemd/system.conf.d/lab.conf"
# A journal on "disk" (which is in memory here): only such a one is split by user, so that `journalctl --user` shows a
# failing test its units' words; and one that keeps a whole test, because the limit of lines a second would drop them.
printf '[Journal]\nStorage=persistent\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf.d/lab.conf"

# No mirror is named in the image: the place it came from is this machine's business alone.
rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/*
