from __future__ import annotations

import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from matterhorn.cli.hub import notice_offline


class Refusing(BaseHTTPRequestHandler):
    """A server that is there, though it has nothing."""

    def do_HEAD(self):
        self.send_error(404)

    def log_message(self, *_):
        pass


@pytest.fixture
def unsaid(monkeypatch):
    """Nothing says whether to use the hub."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # (so that it is put back)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_nobody_there_is_said_once_and_remembered(unsaid, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    notice_offline()
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert "offline: http://127.0.0.1:9 does not answer" in capsys.readouterr().err
    notice_offline()
    assert capsys.readouterr() == ("", "")


def test_any_answer_counts(unsaid, monkeypatch, capsys):
    server = HTTPServer(("127.0.0.1", 0), Refusing)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    try:
        notice_offline()
    finally:
        server.shutdown()
        server.server_close()
    assert "HF_HUB_OFFLINE" not in os.environ and capsys.readouterr() == ("", "")


def test_what_the_user_says_holds(unsaid, monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    notice_offline()
    assert os.environ["HF_HUB_OFFLINE"] == "0" and capsys.readouterr().err == ""


def test_libraries_that_were_imported_before_are_told(unsaid, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    notice_offline()
    assert constants.HF_HUB_OFFLINE
