"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that publishing and fetching use, in memory."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REVISION = "0" * 39 + "1"
TOKEN = "hf_stand_in"


class Hub(ThreadingHTTPServer):
    """Repositories by `models/USER/NAME` or `datasets/USER/NAME`, and the files of each."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.commits = 0
        self.unknown: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def running() -> Iterator[Hub]:
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._get(body=False)

    def do_GET(self) -> None:
        self._get(body=True)

    def _get(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            kind, name, file = found.groups()
            files = self.server.repositories.get(f"{kind or 'models/'}{name}", {})
            if file not in files:
                return self._error(404, "EntryNotFound", body)
            return self._file(files[file], body)
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(/revision/[^/]+)?", path):
            kind, name, _ = found.groups()
            files = self.server.repositories.get(f"{kind}/{name}")
            if files is None:
                return self._error(404, "RepoNotFound", body)
            siblings = [{"rfilename": file} for file in files]
            return self._json({"id": name, "sha": REVISION, "siblings": siblings}, body)
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/[^/]+(/.*)?", path):
            kind, name, folder = found.groups()
            below = (folder or "").strip("/")
            files = self.server.repositories.get(f"{kind}/{name}", {})
            listed = [_entry(file, data) for file, data in files.items() if file.startswith(below)]
            return self._json(listed, body)
        return self._unknown(body)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/paths-info/[^/]+", path):
            kind, name = found.groups()
            files = self.server.repositories.get(f"{kind}/{name}")
            if files is None:
                return self._error(404, "RepoNotFound")
            asked = json.loads(content)["paths"]
            return self._json([_entry(file, files[file]) for file in asked if file in files])
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._error(401, "")
        if path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            wanted = json.loads(content)
            kind = f"{wanted.get('type') or 'model'}s"
            owner = wanted.get("organization") or "somebody"
            name = f"{owner}/{wanted['name']}"
            if f"{kind}/{name}" in self.server.repositories:
                return self._json({"url": f"{self.server.url}/{name}"}, status=409)
            self.server.repositories[f"{kind}/{name}"] = {}
            prefix = "datasets/" if kind == "datasets" else ""
            return self._json({"url": f"{self.server.url}/{prefix}{name}", "id": name})
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/preupload/[^/]+", path):
            asked = json.loads(content)["files"]
            modes = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in asked
            ]
            return self._json({"files": modes})
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/commit/[^/]+", path):
            kind, name = found.groups()
            files = self.server.repositories[f"{kind}/{name}"]
            for line in content.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    value = entry["value"]
                    files[value["path"]] = base64.b64decode(value["content"])
            self.server.commits += 1
            prefix = "datasets/" if kind == "datasets" else ""
            url = f"{self.server.url}/{prefix}{name}/commit/{REVISION}"
            return self._json({"success": True, "commitOid": REVISION, "commitUrl": url})
        return self._unknown(True)

    def _file(self, data: bytes, body: bool) -> None:
        status, piece = 200, data
        asked = self.headers.get("Range")
        if asked:
            start, _, stop = asked.removeprefix("bytes=").partition("-")
            if int(start) >= len(data):
                self._error(416, "")
                return
            status, piece = 206, data[int(start) : int(stop) + 1 if stop else None]
        headers = {
            "ETag": f'"{hashlib.sha1(data).hexdigest()}"',
            "X-Repo-Commit": REVISION,
            "Accept-Ranges": "bytes",
        }
        self._send(status, piece if body else b"", headers, len(piece))

    def _json(self, value: Any, body: bool = True, status: int = 200) -> None:
        data = json.dumps(value).encode()
        self._send(status, data if body else b"", {"Content-Type": "application/json"}, len(data))

    def _error(self, status: int, code: str, body: bool = True) -> None:
        data = json.dumps({"error": code}).encode()
        headers = {"X-Error-Code": code, "Content-Type": "application/json"}
        self._send(status, data if body else b"", headers, len(data))

    def _unknown(self, body: bool) -> None:
        self.server.unknown.append(f"{self.command} {self.path}")
        self._error(404, "", body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(data)


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
