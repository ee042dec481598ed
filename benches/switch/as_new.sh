#!/usr/bin/env bash
# After by_hand.sh: the guest as it was before, but for its users.
set -euo pipefail
systemctl disable --now web.service still.service nightly.timer
ufw --force reset
/lib/ufw/ufw-init flush-all # `ufw disable` leaves its chains, empty and hooked in
rm -f /etc/ufw/*.rules.20* /etc/systemd/system/{web,still,nightly}.service /etc/systemd/system/nightly.timer
rm -rf /srv/bench /var/log/app /etc/motd.bench /etc/sysusers.d/stackc-appuser.conf /etc/tmpfiles.d/stackc-appuser.conf
rm -f /etc/apt/apt.conf.d/52stackc-unattended-upgrades /etc/logrotate.d/stackc-app /etc/sudoers.d/stackc-appuser
rm -rf /etc/ssh/authorized_keys.d /etc/ssh/sshd_config.d/10-stackc.conf /etc/systemd/journald.conf.d/50-stackc.conf
systemctl reload ssh
systemctl daemon-reload
