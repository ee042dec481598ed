"""Answers every request with what it runs from."""
import http.server, os, sys

RELEASE = "@RELEASE@"


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = f"release={RELEASE} greeting={os.environ['GREETING']} word={os.environ['WORD']}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if sys.argv[1:] != ["--check"]:
    http.server.ThreadingHTTPServer(("", 8000), Page).serve_forever()
