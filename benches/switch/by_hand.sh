#!/usr/bin/env bash
# The same as the first activation of a guest of the bench, as one would do it by hand. The files of the bundle come on
# stdin as a tar archive; $1 is the network that operators come from.
set -euo pipefail
tar xf - -C / --no-same-owner --no-overwrite-dir
systemd-sysusers
systemd-tmpfiles --create /etc/tmpfiles.d/stackc-appuser.conf
chown root:appuser /srv/bench/.env
chmod 0640 /srv/bench/.env
chmod 0440 /etc/sudoers.d/stackc-appuser
install -d -o appuser -g appuser -m 0750 /var/log/app
visudo -cq
sshd -t
systemctl reload ssh
systemctl restart systemd-journald
ufw default deny incoming
ufw allow proto tcp from "$1" to any port 22
ufw allow 8000/tcp
ufw allow 8001/tcp
ufw --force enable
systemctl daemon-reload
systemctl enable --now web.service still.service nightly.timer
