"""Is this guest whole? Judges by files, processes and the kernel, not by what stackc says of itself.

Reads a JSON object on argv: the paths that the bundles under test place, each with the hashes and the links' targets that
they place there. Writes one JSON object:
{"generation": number or null, "digest": text or null, "problems": [text, ...]}
"""
import glob, hashlib, json, os, pwd, grp, re, shlex, subprocess, sys

STATE = "/var/lib/stackc"
PROGRAMS = "/usr/local/lib/stackc"
problems = []


def check(holds, text):
    if not holds:
        problems.append(text)


def run(*argv, stdin=None):
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=20)
    return done.stdout if done.returncode == 0 else ""


def load(path):
    with open(path) as file:
        return json.load(file)


def kept(path):
    """What stackc-guest keeps for itself says its format."""
    found = load(path)
    check(found["format"] == 1, f"{path} has format {found['format']}")
    return found["kept"]


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def has_access(path, access):
    found = os.lstat(path)
    mode = f"{found.st_mode & 0o7777:04o}"
    owner, group = pwd.getpwuid(found.st_uid).pw_name, grp.getgrgid(found.st_gid).gr_name
    wanted = (access["mode"], access["owner"], access["group"])
    check((mode, owner, group) == wanted, f"{path} is {mode} {owner} {group}, not {wanted}")


def is_placed(path, placed):
    (kind, placed), = placed.items()
    if kind == "link":
        return os.path.islink(path) and os.readlink(path) == placed["target"]
    if kind == "copy":
        return os.path.isfile(path) and not os.path.islink(path) and sha256(path) == placed["sha256"]
    if kind == "keys":
        lines = open(path).read().splitlines() if os.path.isfile(path) else []
        return all(any(line in (f"{k}={v}", f'{k}="{v}"') for line in lines) for k, v in placed["keys"].items())
    return os.path.isdir(path) and not os.path.islink(path)


def check_tree(digest):
    tree = f"{STATE}/store/{digest}"
    check(os.path.realpath(f"{STATE}/current/tree") == tree, "`tree` is another bundle's")
    check(sha256(f"{tree}/manifest.json") == digest, "the manifest is not the digest's")
    for entry in load(f"{tree}/manifest.json")["entries"]:
        if "sha256" in entry:
            check(sha256(f"{tree}/{entry['path']}") == entry["sha256"], f"{entry['path']} has other bytes in the store")


def check_paths(ledger):
    for path, placed in ledger.items():
        check(is_placed(path, placed), f"{path} is not what the ledger says: {placed}")
        access = next(iter(placed.values())).get("access")
        if access and os.path.lexists(path):
            has_access(path, access)
        link = os.path.islink(path)
        check(not link or os.path.exists(path), f"{path} leads nowhere")


def check_strangers(ledger):
    """Nothing of another generation is left, and nothing half placed."""
    for other in glob.glob(f"{STATE}/generations/*/ledger.json"):
        for path, placed in kept(other)["paths"].items():
            kind = next(iter(placed))
            if path not in ledger and kind in ("link", "copy"):
                check(not is_placed(path, placed), f"{path} is left of {other}")
    for folder in {os.path.dirname(path) for path in ledger}:
        check(not glob.glob(f"{folder}/.stackc-*.tmp"), f"{folder} holds half-placed files")


def units_of(ledger):
    wants = [path for path in ledger if re.search(r"\.wants/[^/]+\.(service|timer)$", path)]
    return {os.path.basename(path) for path in wants}


def show(unit, properties):
    text = run("systemctl", "show", unit, "-p", properties)
    return dict(line.split("=", 1) for line in text.splitlines())


def check_text(unit):
    """`NeedDaemonReload` goes by times: what counts is whether reading the text again changes the unit."""
    if show(unit, "NeedDaemonReload") == {"NeedDaemonReload": "no"}:
        return
    properties = "Description,User,ExecStart,EnvironmentFiles,WorkingDirectory,TimeoutStopUSec"
    before = {key: re.sub(r" ; (start|stop)_time.*", "", value) for key, value in show(unit, properties).items()}
    run("systemctl", "daemon-reload")
    after = {key: re.sub(r" ; (start|stop)_time.*", "", value) for key, value in show(unit, properties).items()}
    check(before == after, f"{unit} has a text that systemd had not read: {before}, not {after}")


def check_unit(unit):
    shown = show(unit, "ActiveState,MainPID,FragmentPath")
    check(shown.get("ActiveState") == "active", f"{unit} is {shown.get('ActiveState')}")
    check_text(unit)
    pid, fragment = shown.get("MainPID", "0"), shown.get("FragmentPath", "")
    if pid == "0" or not fragment:
        return
    # A process that ended since then is caught by the next look at its unit.
    try:
        environment = open(f"/proc/{pid}/environ").read().split("\0")
    except OSError as error:
        return problems.append(f"{unit}: {error}")
    for file in re.findall(r"^EnvironmentFile=-?(\S+)", open(fragment).read(), re.M):
        for line in open(file).read().splitlines():
            if line and not line.startswith("#"):
                key, value = line.split("=", 1)
                wanted = f"{key}={''.join(shlex.split(value))}"
                check(wanted in environment, f"{unit} runs without {key} of {file}")


def user_rules(text):
    """Rules of ufw's user chains, as iptables prints them; counters and other chains left out."""
    return [line for line in text.splitlines() if re.match(r"-A ufw6?-user-(input|output|forward|limit)\S* ", line)]


def check_firewall(tree):
    if not load(f"{tree}/firewall/ufw.json")["enabled"]:
        return
    for tool, document in (("iptables", "user.rules"), ("ip6tables", "user6.rules")):
        file = f"{tree}/firewall/{document}"
        # The kernel has its own spelling of rules: a network namespace of its own gives it.
        normal = run("unshare", "-n", "sh", "-c", f"{tool}-restore < {file} && {tool}-save")
        check(user_rules(normal), f"{tool} does not take {document}")
        kernel = run(f"{tool}-save")
        check(user_rules(kernel) == user_rules(normal), f"{tool}: the kernel has {user_rules(kernel)}, {document} says {user_rules(normal)}")
        hook = "ufw6-before-input" if tool == "ip6tables" else "ufw-before-input"
        check(f"-A INPUT -j {hook}" in kernel, f"{tool}: ufw is not hooked into INPUT")
        check(":INPUT DROP" in kernel, f"{tool}: INPUT does not drop")


def content(path):
    return os.readlink(path) if os.path.islink(path) else sha256(path) if os.path.isfile(path) else None


def is_of_stackc(path, contents):
    """Whether a bundle placed it. The same may have stood there before: then it is older than the first call."""
    if os.path.islink(path) and os.readlink(path).startswith(STATE):
        return True
    return content(path) in contents and os.lstat(path).st_ctime > os.stat(PROGRAMS).st_ctime


def check_untouched(paths):
    for path, contents in paths.items():
        check(not (os.path.lexists(path) and is_of_stackc(path, contents)), f"{path} is placed, but nothing is live")
        check(not glob.glob(f"{os.path.dirname(path)}/.stackc-*.tmp"), f"{path}: something half-placed is beside it")
    for tool, hook in (("iptables-save", "ufw-before-input"), ("ip6tables-save", "ufw6-before-input")):
        check(f"-A INPUT -j {hook}" not in run(tool), f"{tool}: the firewall is on, but nothing is live")
    conf = open("/etc/ufw/ufw.conf").read() if os.path.exists("/etc/ufw/ufw.conf") else ""
    check("ENABLED=yes" not in conf.splitlines(), "the firewall would be on at the next boot, but nothing is live")
    check(not glob.glob("/etc/systemd/system/*.wants/tiny.service"), "tiny.service is enabled, but nothing is live")
    check(not run("systemctl", "is-active", "tiny.service"), "tiny.service runs, but nothing is live")


def main():
    check(not [n for n in glob.glob(f"{STATE}/tx/*")], "a transaction is not over")
    if not os.path.lexists(f"{STATE}/current"):
        check_untouched(json.loads(sys.argv[1]))
        return None
    number = os.path.basename(os.readlink(f"{STATE}/current"))
    folder = f"{STATE}/generations/{number}"
    generation, ledger = kept(f"{folder}/generation.json"), kept(f"{folder}/ledger.json")["paths"]
    check(str(generation["number"]) == number, f"`current` leads to {number}, which says it is {generation['number']}")
    check(generation["outcome"] == "confirmed", f"the live generation is {generation['outcome']}")
    if generation["digest"] is None:
        check_untouched(json.loads(sys.argv[1]))
        return generation
    check_tree(generation["digest"])
    check_paths(ledger)
    check_strangers(ledger)
    for unit in units_of(ledger):
        check_unit(unit)
    check_firewall(f"{STATE}/store/{generation['digest']}")
    return generation


try:
    live = main()
except (OSError, ValueError, KeyError) as error:
    live = None
    problems.append(f"{type(error).__name__}: {error}")
live = live or {"number": None, "digest": None}
print(json.dumps({"generation": live["number"], "digest": live["digest"], "problems": problems}))
