"""The service: GET / tells what is in the database, GET /healthz whether it can be reached."""

import http.server
import json
import os
import pathlib
import sys

import psycopg2
import tally

from database import transaction

VERSION = (pathlib.Path(__file__).resolve().parent.parent / "VERSION").read_text().strip()
PORT = int(os.environ.get("PORT", "8000"))


def overview() -> dict[str, object]:
    with transaction() as cursor:
        cursor.execute("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM reports)")
        orders, reports = cursor.fetchone()
    return {
        "app": "reports",
        "version": VERSION,
        "env": os.environ.get("APP_ENV"),
        "greeting": os.environ.get("GREETING"),
        "orders": tally.count(orders, "order", "orders"),
        "reports": tally.count(reports, "report", "reports"),
    }


def reachable() -> None:
    with transaction() as cursor:
        cursor.execute("SELECT 1")


class Service(http.server.BaseHTTPRequestHandler):
    # A client that says nothing must not keep its thread for ever.
    timeout = 10

    def do_GET(self) -> None:
        try:
            if self.path == "/":
                self.answer(200, "application/json", json.dumps(overview()) + "\n")
            elif self.path == "/healthz":
                reachable()
                self.answer(200, "text/plain", "ok\n")
            else:
                self.answer(404, "text/plain", "not found\n")
        except psycopg2.Error as error:
            print(error, file=sys.stderr)
            self.answer(503, "text/plain", "the database does not answer\n")

    def answer(self, status: int, content_type: str, body: str) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    server = http.server.ThreadingHTTPServer(("", PORT), Service)
    print(f"reports {VERSION} listens on {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
