"""Answers one request with the report of its dependency."""

import http.server
import sys

import report


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = report.make(self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


with http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler) as server:
    server.handle_request()
