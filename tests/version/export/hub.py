"""A stand-in for the Hugging Face Hub, that speaks its protocol as far as a push needs it: a repository is made, it is asked
what goes how, large files go by Git LFS, and a commit names all of it."""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.servers import serving

TOKEN = "hf_of_the_test"
REPOSITORY = r"/(?:api/)?datasets/(?P<name>[\w-]+/[\w-]+?)"
LARGE = 512  # bytes, from which on a file goes by LFS; and every Parquet file


@dataclass
class Hub:
    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)  # repositories
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)  # of each, at its head
    commits: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)  # of LFS, by SHA-256
    refused_objects: set[str] = field(default_factory=set)  # whose upload is answered by an error

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Status and JSON."""
        if (method, path) == ("POST", "/api/repos/create"):
            return self.create(json.loads(body))
        if (method, path) == ("POST", "/api/validate-yaml"):
            return 200, {"errors": [], "warnings": []}
        if method == "PUT" and (match := re.fullmatch(r"/objects/(\w+)", path)):
            return self.upload(match[1], body)
        for what, pattern in (
            ("tree", rf"{REPOSITORY}/tree/main"),
            ("preupload", rf"{REPOSITORY}/preupload/main"),
            ("batch", rf"{REPOSITORY}\.git/info/lfs/objects/batch"),
            ("commit", rf"{REPOSITORY}/commit/main"),
        ):
            if match := re.fullmatch(pattern, path):
                if match["name"] not in self.files:
                    return 404, {"error": "Repository not found"}
                answered: tuple[int, Any] = getattr(self, what)(match["name"], body)
                return answered
        return 404, {"error": f"{method} {path}"}

    def create(self, request: dict[str, Any]) -> tuple[int, Any]:
        name = f"{request['organization']}/{request['name']}"
        address = {"url": f"{self.url}/datasets/{name}"}
        if name in self.files:
            return 409, {"error": "You already created this dataset repo", **address}
        self.private[name] = request.get("visibility") == "private" or request.get("private") is True
        self.files[name] = {".gitattributes": b""}
        return 200, address

    def tree(self, name: str, _: bytes) -> tuple[int, Any]:
        return 200, [{"type": "file", "path": p, "size": len(d), "oid": "0" * 40} for p, d in self.files[name].items()]

    def preupload(self, name: str, body: bytes) -> tuple[int, Any]:
        files = json.loads(body)["files"]
        modes = ["lfs" if f["size"] >= LARGE or f["path"].endswith(".parquet") else "regular" for f in files]
        return 200, {
            "files": [
                {"path": f["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}
                for f, mode in zip(files, modes, strict=True)
            ]
        }

    def batch(self, name: str, body: bytes) -> tuple[int, Any]:
        wanted = json.loads(body)["objects"]
        return 200, {
            "transfer": "basic",
            "objects": [
                {
                    **entry,
                    **({} if entry["oid"] in self.objects else {"actions": {"upload": {"href": self.place(entry["oid"])}}}),
                }
                for entry in wanted
            ],
        }

    def place(self, oid: str) -> str:
        return f"{self.url}/objects/{oid}"

    def upload(self, oid: str, body: bytes) -> tuple[int, Any]:
        if hashlib.sha256(body).hexdigest() != oid or "any" in self.refused_objects:
            return 400, {"error": "the object is another"}
        self.objects[oid] = body
        return 200, {}

    def commit(self, name: str, body: bytes) -> tuple[int, Any]:
        files = dict(self.files[name])
        for change in map(json.loads, body.splitlines()):
            value = change["value"]
            match change["key"]:
                case "header":
                    self.commits.append(value["summary"])
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        self.files[name] = files
        oid = f"{len(self.commits):040x}"
        return 200, {"commitUrl": f"{self.url}/datasets/{name}/commit/{oid}", "commitOid": oid}


@contextmanager
def hub() -> Iterator[Hub]:
    served = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do(self) -> None:
            body, path = self.body(), self.path.partition("?")[0]
            known = self.headers.get("Authorization") == f"Bearer {TOKEN}" or path.startswith("/objects/")
            status, answer = served.answer(self.command, path, body) if known else (401, {"error": "Invalid token"})
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        do_GET = do_POST = do_PUT = do

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield served
