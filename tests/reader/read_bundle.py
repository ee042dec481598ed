#!/usr/bin/env python3
"""Reads a bundle of format 1 by the rules of docs/bundle.md alone, sharing no code with stackc.

    read_bundle.py out/store/<digest>

Prints the digest, then a line per entry. Whatever breaks a rule ends it with 1 and the rule on stderr.
Python 3.9 or later, its own library only.
"""

import hashlib
import os
import re
import stat
import sys
import unicodedata

FILE_BYTES_MAX = 1 << 20
BUNDLE_BYTES_MAX = 64 << 20
ENTRIES_MAX = 20_000
INTEGER_MAX = 2**53 - 1

DIGEST = re.compile(r"[0-9a-f]{64}\Z")
MODE = re.compile(r"0[0-7]{3}\Z")
PROJECT = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}\Z")
# Names of files beside those of projects.
TAKEN = ("site", "lock", "vault", "secrets")
ENV = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}\Z")
UNIT = re.compile(
    r"(?:[A-Za-z0-9_][A-Za-z0-9:_.@\\-]*\.(?:service|socket|timer|path|target|mount|automount|swap|slice|device|scope)"
    r"|-\.(?:mount|slice))\Z"
)
SECRET = re.compile(r"[A-Za-z0-9_-]{1,64}(/[A-Za-z0-9_-]{1,64})*\Z")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Directions of text, by which a path may look like another.
BIDI = set(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))


class Broken(Exception):
    """A rule of the format that this bundle breaks."""


def need(holds, rule):
    if not holds:
        raise Broken(rule)


# Canonical JSON: read by a grammar that has one spelling for each value. What it takes is canonical, so nothing is
# parsed leniently first and compared afterwards.

ESCAPES = {'"': '"', "\\": "\\", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
SHORT = {value: letter for letter, value in ESCAPES.items()}


class Canonical:
    def __init__(self, octets):
        need(not octets.startswith(b"\xef\xbb\xbf"), "a byte order mark")
        try:
            self.text = octets.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Broken(f"not UTF-8 at byte {error.start}") from None
        self.at = 0

    def document(self):
        value = self.value()
        self.expect("\n")
        need(self.at == len(self.text), "bytes after the final line feed")
        return value

    def peek(self):
        return self.text[self.at : self.at + 1]

    def expect(self, wanted):
        need(self.text.startswith(wanted, self.at), f"no {wanted!r} at character {self.at}")
        self.at += len(wanted)

    def value(self):
        first = self.peek()
        if first == "{":
            return self.table()
        if first == "[":
            return self.array()
        if first == '"':
            return self.string()
        for word, value in [("true", True), ("false", False), ("null", None)]:
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        return self.integer()

    def integer(self):
        found = re.compile(r"0|[1-9][0-9]*").match(self.text, self.at)
        need(found, f"no value at character {self.at}")
        self.at = found.end()
        need(self.peek() not in tuple(".eE0123456789"), "a number that is no plain integer")
        need(int(found[0]) <= INTEGER_MAX, "an integer above 2^53-1")
        return int(found[0])

    def array(self):
        return list(self.items("[", "]", self.value))

    def table(self):
        pairs, before = {}, None
        for key, value in self.items("{", "}", self.pair):
            octets = key.encode()
            need(before is None or before < octets, f"key {key!r} is twice there, or not in byte order")
            before = octets
            pairs[key] = value
        return pairs

    def pair(self):
        key = self.string()
        self.expect(":")
        return key, self.value()

    def items(self, opening, closing, read):
        self.expect(opening)
        if self.peek() == closing:
            self.at += 1
            return
        while True:
            yield read()
            if self.peek() == closing:
                self.at += 1
                return
            self.expect(",")

    def string(self):
        self.expect('"')
        letters = []
        while True:
            letter = self.peek()
            need(letter, "a string without end")
            self.at += 1
            if letter == '"':
                return "".join(letters)
            if letter == "\\":
                letter = self.escape()
            else:
                need(letter >= " ", "a control character that is not escaped")
            letters.append(letter)

    def escape(self):
        letter = self.peek()
        self.at += 1
        if letter in ESCAPES and letter:
            return ESCAPES[letter]
        found = re.compile(r"u00[01][0-9a-f]").match(self.text, self.at - 1)
        need(found, f"an escape that is not needed, at character {self.at}")
        self.at = found.end()
        value = chr(int(found[0][1:], 16))
        need(value not in SHORT, f"a long escape where there is a short one, at character {self.at}")
        return value


def write(value):
    """The value's one spelling: what the grammar above reads."""
    if isinstance(value, dict):
        keys = sorted(value, key=str.encode)
        return "{" + ",".join(f"{write(key)}:{write(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(map(escaped, value)) + '"'
    words = {None: "null", False: "false", True: "true"}
    return words[value] if value is None or type(value) is bool else str(value)


def escaped(letter):
    if letter in SHORT:
        return "\\" + SHORT[letter]
    return letter if letter >= " " else f"\\u{ord(letter):04x}"


def fields(table, wanted, where):
    """The values of exactly these keys."""
    need(isinstance(table, dict), f"{where} is no table")
    need(set(table) == set(wanted), f"{where} has the keys {sorted(table)} instead of {sorted(wanted)}")
    return [table[key] for key in wanted]


def texts(values, where):
    need(isinstance(values, list) and all(isinstance(v, str) for v in values), f"{where}: not all are texts")
    return values


def matching(pattern, value, where):
    need(isinstance(value, str) and pattern.match(value), f"{where}: {value!r}")
    return value


def check_path(path):
    need(isinstance(path, str), f"a path is {path!r}")
    need(len(path.encode()) <= 4096, f"path {path!r} has more than 4,096 bytes")
    need(unicodedata.normalize("NFC", path) == path, f"path {path!r} is not in normal form C")
    bad = [c for c in path if unicodedata.category(c) == "Cc" or c in BIDI]
    need(not bad, f"path {path!r} has a control character")
    for part in path.split("/"):
        need(part not in ("", ".", ".."), f"path {path!r} is not plain and relative")
        need(len(part.encode()) <= 255, f"path {path!r} has a component of more than 255 bytes")


# Entries: by class, the keys that one must have, and no other.

ACCESS = ("mode", "owner", "group")
BYTES = ("size", "sha256")


def access_of(entry, path):
    matching(MODE, entry["mode"], f"mode of {path!r}")
    for key in ("owner", "group"):
        matching(ACCOUNT, entry[key], f"{key} of {path!r}")
    return "{mode} {owner}:{group}".format(**entry)


def bytes_of(entry, path):
    size = entry["size"]
    need(type(size) is int and size <= FILE_BYTES_MAX, f"size of {path!r}: {size!r}")
    return f"{size} {matching(DIGEST, entry['sha256'], f'hash of {path!r}')}"


def secret_name(name, path):
    matching(SECRET, name, f"secret of {path!r}")
    need(len(name) <= 128, f"secret of {path!r} has more than 128 bytes")
    return name


def part_of(part, encoder, path):
    need(isinstance(part, dict) and len(part) == 1, f"a part of {path!r} is {part!r}")
    ((kind, value),) = part.items()
    if kind == "literal":
        need(isinstance(value, str), f"a literal of {path!r} is no text")
        return f"literal={hashlib.sha256(value.encode()).hexdigest()}"
    if kind == "secret" and encoder in ("raw", "redis"):
        return f"secret={secret_name(value, path)}"
    need(kind == "variable" and encoder == "env", f"a part of {path!r} is {kind!r} for {encoder!r}")
    key, name = fields(value, ("key", "secret"), f"a variable of {path!r}")
    return f"{matching(VARIABLE, key, f'variable of {path!r}')}={secret_name(name, path)}"


def inputs_of(unit, path):
    restart, reload, secrets, release = fields(
        unit, ("restart", "reload", "secrets", "release"), f"unit of {path!r}"
    )
    words = []
    for what, files in [("restart", restart), ("reload", reload)]:
        need(isinstance(files, dict), f"{what} of {path!r} is no table")
        for name, digest in files.items():
            need(name.startswith("/"), f"{what} of {path!r} names {name!r}")
            check_path(name[1:])
            words.append(f"{what}:{name}={matching(DIGEST, digest, f'{what} of {path!r}')}")
    texts(secrets, f"secrets of {path!r}")
    need(secrets == sorted(set(secrets), key=str.encode), f"secrets of {path!r} are not sorted")
    words += [f"secret:{secret_name(name, path)}" for name in secrets]
    need(type(release) is bool, f"release of {path!r} is {release!r}")
    return words + (["release"] if release else [])


def line_of(entry):
    """What one entry is, and that it is so by the rules."""
    path, kind, klass = entry["path"], entry.get("type"), entry.get("class", "-")
    below = path.startswith("rootfs/")
    need((klass == "-") != below, f"{path!r} has the class {klass}")
    keys = {"path", "type"} | ({"class"} if below else set())
    if (kind, klass) == ("file", "-"):
        keys |= set(BYTES)
    elif kind == "file" and klass in ("A", "B"):
        keys |= {*ACCESS, *BYTES} | ({"unit"} & set(entry))
    elif (kind, klass) == ("file", "S"):
        keys |= {*ACCESS, "encoder", "parts"}
    elif (kind, klass) == ("link", "B"):
        keys |= {"target"}
    elif (kind, klass) == ("directory", "D"):
        keys |= set(ACCESS)
    else:
        raise Broken(f"{path!r} is of type {kind!r} and class {klass!r}")
    fields(entry, sorted(keys), repr(path))
    words = [path, kind, klass]
    if "mode" in keys:
        words.append(access_of(entry, path))
    if "size" in keys:
        words.append(bytes_of(entry, path))
    if "unit" in keys:
        words += inputs_of(entry["unit"], path)
    if "encoder" in keys:
        need(entry["encoder"] in ("env", "raw", "redis"), f"encoder of {path!r}: {entry['encoder']!r}")
        need(isinstance(entry["parts"], list), f"parts of {path!r} are no list")
        words += [entry["encoder"], *(part_of(p, entry["encoder"], path) for p in entry["parts"])]
    if "target" in keys:
        need(isinstance(entry["target"], str), f"target of {path!r}")
        words.append(f"-> {entry['target']}")
    return " ".join(words)


def entries_of(manifest):
    names = ["format", "project", "env", "payload", "entries", *({"units"} & set(manifest))]
    form, project, env, payload, entries, *units = fields(manifest, names, "the manifest")
    need(type(form) is int and form == 1, f"format {form!r} instead of 1")
    matching(PROJECT, project, "project")
    need(project not in TAKEN, f"project: {project!r}")
    matching(ENV, env, "env")
    matching(DIGEST, payload, "payload")
    need(isinstance(entries, list) and len(entries) <= ENTRIES_MAX, "entries are no list, or too many")
    before, folded, total = b"", set(), 0
    for entry in entries:
        need(isinstance(entry, dict) and "path" in entry, "an entry without a path")
        path = entry["path"]
        check_path(path)
        need(before < path.encode(), f"{path!r} is twice there, or not in byte order")
        before = path.encode()
        need(path.casefold() not in folded, f"{path!r} differs from another only in case")
        folded.add(path.casefold())
        yield entry, line_of(entry)
        total += entry.get("size", 0)
    need(total <= BUNDLE_BYTES_MAX, "more than 64 MiB")
    for packaged in units:
        need(isinstance(packaged, dict) and packaged, "units of packages are no table, or none")
        for name in packaged:
            need(UNIT.match(name) and len(name) <= 255, f"unit: {name!r}")
        yield from (({}, f"unit {name}: {' '.join(inputs_of(packaged[name], name))}") for name in packaged)


def check_on_disk(folder, entry):
    path = os.path.join(folder, entry["path"])
    if entry.get("class") == "S":
        need(not os.path.lexists(path), f"{entry['path']!r} has secrets, and lies there")
        return
    need(os.path.lexists(path), f"{entry['path']!r} is missing")
    mode = os.lstat(path).st_mode
    if entry["type"] == "link":
        need(stat.S_ISLNK(mode), f"{entry['path']!r} is no link")
        need(os.readlink(path) == entry["target"], f"{entry['path']!r} leads elsewhere")
    elif entry["type"] == "directory":
        need(stat.S_ISDIR(mode), f"{entry['path']!r} is no directory")
    else:
        need(stat.S_ISREG(mode), f"{entry['path']!r} is no file")
        executable = int(entry.get("mode", "0644"), 8) & 0o111
        need(stat.S_IMODE(mode) == (0o755 if executable else 0o644), f"mode of {entry['path']!r} on disk")
        with open(path, "rb") as file:
            octets = file.read()
        need(len(octets) == entry["size"], f"{entry['path']!r} has another size")
        need(hashlib.sha256(octets).hexdigest() == entry["sha256"], f"{entry['path']!r} has other bytes")


def check_nothing_else(folder, entries):
    """Every file and folder below is an entry, a parent of one, the manifest or the reviewer's text."""
    known = {"manifest.json", "README.txt"}
    for entry in entries:
        parts = entry["path"].split("/")
        # Of a file with secrets only the folders lie there.
        depth = len(parts) if entry.get("class") == "S" else len(parts) + 1
        known |= {"/".join(parts[:n]) for n in range(1, depth)}
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.relpath(os.path.join(parent, name), folder)
            need(path in known, f"{path!r} is not in the manifest")


def read(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        octets = file.read()
    digest = hashlib.sha256(octets).hexdigest()
    need(os.path.basename(os.path.normpath(folder)) == digest, "the folder's name is not the manifest's SHA-256")
    manifest = Canonical(octets).document()
    need((write(manifest) + "\n").encode() == octets, "not canonical JSON: it is written in another way")
    read = list(entries_of(manifest))
    entries = [entry for entry, _ in read if entry]
    for entry in entries:
        check_on_disk(folder, entry)
    check_nothing_else(folder, entries)
    return [digest] + [line for _, line in read]


def main():
    try:
        lines = read(sys.argv[1])
    except (Broken, OSError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    sys.stdout.buffer.write("".join(f"{line}\n" for line in lines).encode())


if __name__ == "__main__":
    main()
