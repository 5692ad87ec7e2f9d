"""A local HTTP server of files that serves ranges, and misbehaves on request."""

import threading
from collections import Counter, defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Files by path, with a fault per path; counts requests and bytes sent."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: dict[str, str] = {}
        self.seen: Counter = Counter()
        self.ranges: defaultdict = defaultdict(list)
        self.tags: dict[str, str] = {}
        self.lock = threading.Lock()
        self.hanging, self.let_go = threading.Event(), threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """Clients that we cut off are no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body):
        path, server = self.path, self.server
        with server.lock:
            server.seen[self.command, path] += 1
            count = server.seen[self.command, path]
        fault = server.faults.get(path, "")
        if path not in server.files or fault == "404":
            return self._send(404, b"", {}, body)
        if fault == "503" or (fault == "503 twice" and count <= 2):
            return self._send(503, b"", {}, body)
        if fault == "403":
            return self._send(403, b"", {}, body)
        data = server.files[path]
        headers = {"ETag": server.tags.get(path, '"1"'), "Accept-Ranges": "bytes"}
        if not body:
            claim = {"claims less": len(data) - 10, "claims more": len(data) + 10}
            return self._send(200, b"", headers, body, length=claim.get(fault, len(data)))
        asked = self.headers.get("Range")
        with server.lock:
            server.ranges[path].append(asked)
        if asked is None or fault == "no ranges":
            return self._send(200, data, headers, body)
        start, stop = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        if start >= len(data):
            return self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"}, body)
        piece = data[start : stop + 1]
        headers["Content-Range"] = f"bytes {start}-{start + len(piece) - 1}/{len(data)}"
        if fault == "cuts" and len(piece) > 100_000:
            # Promise the whole piece, send a part of it and hang up.
            return self._send(206, piece[:50_000], headers, body, length=len(piece), cut=True)
        if fault == "hangs from the third" and len(server.ranges[path]) > 2:
            server.hanging.set()
            server.let_go.wait(60)
            return self._send(206, piece[:1], headers, body, length=len(piece), cut=True)
        if fault == "dies after first" and start:
            return self._send(206, piece[:1], headers, body, length=len(piece), cut=True)
        return self._send(206, piece, headers, body)

    def _send(self, status, data, headers, body, length=None, cut=False):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        if body:
            self.wfile.write(data)
        if cut:
            self.close_connection = True
            self.wfile.flush()
            self.connection.shutdown(2)
