#!/usr/bin/env bash
# After a rollback to generation 0: the guest as if stackc had never been there, but for packages and users: `stackc
# detach` would do it, and take the mark in Proxmox too, without which the guest is not found.
set -euo pipefail
rm -rf /var/lib/stackc /usr/local/lib/stackc
rm -f /etc/systemd/system/stackc-recover.service /etc/systemd/system/sysinit.target.wants/stackc-recover.service
find /etc/systemd/system -path "*.d/*stackc*" -delete
systemctl daemon-reload
systemctl start unattended-upgrades.service
