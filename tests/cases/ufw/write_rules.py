#!/usr/bin/python3
"""Has ufw itself write its rules files, many times in one process: each command as its program would run it.

Reads a JSON list from stdin, one table per firewall: `ipv6` (yes or no) and `commands`, each a list of words after `ufw`.
Prints a list of tables: `v4` and `v6`, the two files, and `said`, what ufw said to each command. Runs as root on a guest
whose firewall is not enabled.
"""

import contextlib
import gettext
import io
import json
import shutil
import sys
from pathlib import Path

gettext.install("ufw")

import ufw.frontend  # noqa: E402  (it needs `_` of gettext)

DEFAULTS = Path("/etc/default/ufw")
FILES = {"v4": "user.rules", "v6": "user6.rules"}


def run(front, words):
    parsed = ufw.frontend.parse_command(["ufw", *words])
    rule, version = parsed.data.get("rule", ""), parsed.data.get("iptype", "")
    return front.do_action(parsed.action, rule, version, parsed.force)


def write(firewall, defaults):
    DEFAULTS.write_text(defaults.replace("IPV6=yes", f"IPV6={firewall['ipv6']}"))
    for name in FILES.values():
        shutil.copy(f"/usr/share/ufw/iptables/{name}", f"/etc/ufw/{name}")
    front = ufw.frontend.UFWFrontend(False)
    said = []
    for words in firewall["commands"]:
        try:
            said.append(run(front, words))
        except (ufw.common.UFWError, ValueError, SystemExit) as error:
            said.append(f"refused: {error}")
    texts = {key: Path("/etc/ufw", name).read_text() for key, name in FILES.items()}
    return {**texts, "said": said}


def main():
    defaults = DEFAULTS.read_text()
    assert "IPV6=yes" in defaults, "the package's own defaults"
    with contextlib.redirect_stdout(io.StringIO()):
        written = [write(firewall, defaults) for firewall in json.load(sys.stdin)]
    json.dump(written, sys.stdout)


main()
