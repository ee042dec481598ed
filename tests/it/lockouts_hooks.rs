//! Lock-outs that no compiler sees, as hooks make them.

/// What a hook does, by name. Every one keeps new connections, or whoever makes them, out.
pub const LOCK_OUTS: [(&str, &str); 33] = [
    ("a rule that drops", "iptables -I INPUT -p tcp --dport 22 -j DROP"),
    ("rules flushed and a policy that drops", "iptables -F; iptables -P INPUT DROP"),
    ("a table that was not there", "iptables -t raw -I PREROUTING -p tcp --dport 22 -j DROP"),
    ("answers dropped", "iptables -I OUTPUT -p tcp --sport 22 -j DROP"),
    (
        "the port led elsewhere",
        "iptables -t nat -I PREROUTING -p tcp --dport 22 -j REDIRECT --to-ports 9",
    ),
    ("address removed", "ip addr flush dev eth0"),
    ("link down", "ip link set eth0 down"),
    ("route into nothing", "ip route add blackhole GATEWAY/32"),
    ("route to the operators removed", "ip route flush table main"),
    ("rule of routing into nothing", "ip rule add pref 10 blackhole"),
    ("the operators' address taken", "ip addr add GATEWAY/32 dev lo"),
    ("sshd stopped", "systemctl stop ssh"),
    ("sshd masked", "systemctl mask --now ssh"),
    ("sshd masked until the next boot", "systemctl mask --runtime --now ssh"),
    (
        "sshd's unit broken",
        "mkdir -p /etc/systemd/system/ssh.service.d; printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >/etc/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload; systemctl restart ssh || true",
    ),
    (
        "sshd that hangs as it starts",
        "mkdir -p /etc/systemd/system/ssh.service.d; printf '[Service]\\nExecStartPre=/bin/sleep infinity\\n' >/etc/systemd/system/ssh.service.d/x.conf; systemctl daemon-reload; systemctl restart --no-block ssh",
    ),
    (
        "sshd on another port",
        "echo Port 2222 >/etc/ssh/sshd_config.d/00-x.conf; systemctl restart ssh",
    ),
    ("sshd's options", "echo SSHD_OPTS=-p2222 >/etc/default/ssh; systemctl restart ssh"),
    (
        "sshd for nobody",
        "echo AllowUsers nobody >/etc/ssh/sshd_config.d/00-x.conf; systemctl reload ssh",
    ),
    (
        "sshd with a bad file",
        "echo Garbage yes >>/etc/ssh/sshd_config; systemctl restart ssh || true",
    ),
    ("host keys removed", "rm /etc/ssh/ssh_host_*; systemctl restart ssh || true"),
    ("keys removed", "rm /root/.ssh/authorized_keys"),
    ("a home that anybody may write to", "chmod 777 /root"),
    ("PAM that denies", "echo 'account required pam_deny.so' >/etc/pam.d/sshd"),
    ("a shell that ends", "usermod --shell /usr/sbin/nologin root"),
    ("an account that is over", "usermod --expiredate 1 root"),
    ("a limit that nothing fits in", "echo 'root hard as 1' >>/etc/security/limits.conf"),
    ("neighbours not asked for", "ip link set eth0 arp off; ip neigh flush dev eth0"),
    (
        "a neighbour who is somebody else",
        "ip neigh replace GATEWAY lladdr 00:00:5e:00:53:01 nud permanent dev eth0",
    ),
    ("a queue that loses all", "tc qdisc replace dev eth0 root pfifo limit 0"),
    ("keys in a folder", "rm /root/.ssh/authorized_keys; mkdir -p /root/.ssh/authorized_keys/in"),
    (
        "sshd's folder moved away",
        "mv /etc/ssh /etc/ssh.old; ln -s nowhere /etc/ssh; systemctl restart ssh || true",
    ),
    (
        "names that nobody has",
        "echo 'passwd: nosuch' >/etc/nsswitch.conf; systemctl restart ssh || true",
    ),
];
