"""Exchange rates over HTTP."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

VERSION = files(__name__).joinpath("VERSION").read_text().strip()
# What one euro is worth.
RATES = json.loads(files(__name__).joinpath("rates.json").read_text())


def faults():
    """What is wrong with the rates, if anything."""
    return [f"{name} is worth {rate}" for name, rate in RATES.items() if not 0 < rate < 1000]


def answer(path):
    """Status and body for a path."""
    if path == "/healthz":
        return 200, {"version": VERSION, "app_env": os.environ.get("APP_ENV", "")}
    if path == "/rates":
        return 200, RATES
    name = path.removeprefix("/rates/")
    if name in RATES:
        return 200, {name: RATES[name]}
    return 404, {"error": "no such rate"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = answer(self.path)
        text = (json.dumps(body, sort_keys=True) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def main(arguments):
    if arguments == ["--check"]:
        for fault in faults():
            print(fault)
        return 1 if faults() else 0
    address = ("", int(os.environ.get("PORT", "8080")))
    ThreadingHTTPServer(address, Handler).serve_forever()
