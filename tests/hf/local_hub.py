"""A hub of one's own: as much of the Hugging Face hub's protocol as ``huggingface_hub`` speaks to send a model and to
fetch it. Commits are kept in memory, large files by their SHA-256, as Git LFS does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

TOKEN, OWNER = "hf_of_a_test", "me"


@dataclass
class Repository:
    """Its commits, oldest first, each with all files; names of branches and tags."""

    name: str
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, changed: dict[str, bytes]) -> str:
        files = self.commits.get(self.names.get(branch, ""), {}) | changed
        sums = sorted((name, hashlib.sha256(content).hexdigest()) for name, content in files.items())
        number = hashlib.sha1(json.dumps([len(self.commits), sums]).encode()).hexdigest()
        self.commits[number] = files
        self.names[branch] = number
        return number

    def at(self, revision: str) -> str | None:
        number = self.names.get(revision, revision)
        return number if number in self.commits else None


@dataclass
class Hub:
    """Repositories by name, and large files that were sent."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    address: str = ""


class Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def tell(self, told: object) -> None:
        self.answer(200, json.dumps(told).encode(), Content_Type="application/json")

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, b"{}", X_Error_Code=code, Content_Type="application/json")

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def served(self) -> None:
        """Find what an address asks for, and whether the client may."""
        path = unquote(urlsplit(self.path).path)
        for verbs, pattern, reply in ROUTES:
            if self.command in verbs and (found := re.fullmatch(pattern, path)):
                return self._replied(reply, found.groupdict())
        self.body()
        self.refuse(404, "RepoNotFound")

    def _replied(self, reply: Callable[..., None], asked: dict[str, str]) -> None:
        knows = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if "name" not in asked:  # who was told where to put a large file need not say who they are
            return reply(self, **asked) if knows or self.command == "PUT" else self.refuse(401, "")
        repository = self.hub.repositories.get(asked.pop("name"))
        if repository is None or (repository.private and not knows):
            self.body()
            return self.refuse(401, "RepoNotFound")
        if "revision" in asked and self.command in ("GET", "HEAD"):
            asked["revision"] = repository.at(asked["revision"]) or ""
            if not asked["revision"]:
                return self.refuse(404, "RevisionNotFound")
        return reply(self, repository, **{name: value for name, value in asked.items() if value})

    do_GET = do_POST = do_PUT = do_HEAD = served

    def create(self) -> None:
        asked = json.loads(self.body())
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        self.hub.repositories.setdefault(
            name, Repository(name, asked.get("private") or asked.get("visibility") == "private")
        )
        self.tell({"url": f"{self.hub.address}/{name}", "name": name})

    def check_card(self) -> None:
        self.body()
        self.tell({"errors": [], "warnings": []})

    def choose_mode(self, _: Repository, revision: str) -> None:
        """Large are weights; text is sent within the commit."""
        files = json.loads(self.body())["files"]
        modes = [(file["path"], "lfs" if file["path"].endswith(".safetensors") else "regular") for file in files]
        self.tell({"files": [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes]})

    def say_where(self, _: Repository) -> None:
        found = []
        for one in json.loads(self.body())["objects"]:
            actions = {"upload": {"href": f"{self.hub.address}/large/{one['oid']}"}}
            found.append(one if one["oid"] in self.hub.large else one | {"actions": actions})
        self.tell({"transfer": "basic", "objects": found})

    def receive(self, number: str) -> None:
        content = self.body()
        assert hashlib.sha256(content).hexdigest() == number
        self.hub.large[number] = content
        self.answer(200)

    def commit(self, repository: Repository, revision: str) -> None:
        changed = {}
        for line in map(json.loads, self.body().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                changed[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                changed[value["path"]] = self.hub.large[value["oid"]]
        number = repository.commit(revision, changed)
        self.tell({"commitUrl": f"{self.hub.address}/{repository.name}/commit/{number}", "commitOid": number})

    def describe(self, repository: Repository, revision: str = "main") -> None:
        number = repository.at(revision)
        names = repository.commits[number] if number else ()
        self.tell({"id": "", "sha": number, "siblings": [{"rfilename": name} for name in names]})

    def list_tree(self, repository: Repository, revision: str, folder: str = "") -> None:
        if folder:  # nothing lies deeper
            return self.refuse(404, "EntryNotFound")
        files = repository.commits[revision].items()
        sums = [(name, len(content), hashlib.sha1(content).hexdigest()) for name, content in files]
        return self.tell([{"type": "file", "path": name, "size": size, "oid": own} for name, size, own in sums])

    def send(self, repository: Repository, revision: str, file: str) -> None:
        content = repository.commits[revision].get(file)
        if content is None:
            return self.refuse(404, "EntryNotFound")
        self.answer(200, content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=revision)


NAME, REVISION = r"(?P<name>[^/]+/[^/]+)", "(?P<revision>[^/]+)"
ROUTES: list[tuple[tuple[str, ...], str, Callable[..., None]]] = [
    (("POST",), "/api/repos/create", Handler.create),
    (("POST",), "/api/validate-yaml", Handler.check_card),
    (("PUT",), "/large/(?P<number>[0-9a-f]+)", Handler.receive),
    (("POST",), f"/api/models/{NAME}/preupload/{REVISION}", Handler.choose_mode),
    (("POST",), rf"/{NAME}\.git/info/lfs/objects/batch", Handler.say_where),
    (("POST",), f"/api/models/{NAME}/commit/{REVISION}", Handler.commit),
    (("GET",), f"/api/models/{NAME}(/revision/{REVISION})?", Handler.describe),
    (("GET",), f"/api/models/{NAME}/tree/{REVISION}(/(?P<folder>.+))?", Handler.list_tree),
    (("GET", "HEAD"), f"/{NAME}/resolve/{REVISION}/(?P<file>.+)", Handler.send),
]
"""Verbs, address, answer."""


@contextmanager
def local_hub():
    """A hub on this machine, as long as the context lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
