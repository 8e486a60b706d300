"""Sent to a hub and fetched from it by name, with the client that everybody uses, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from matterhorn.models import convert
from matterhorn.runtime import Engine

from ..networks import small_network, small_tokenizer
from .local_hub import TOKEN, local_hub
from .test_folders import FILES

TEXTS = ["a b c", "d e"]

SEND = """
import sys
from matterhorn.hf import ProgramForSequenceClassification
print(ProgramForSequenceClassification.from_pretrained(sys.argv[1]).push_to_hub("mine", private=True))
"""

CLASSIFY = """
import json, sys
from transformers import pipeline
print(json.dumps(pipeline("text-classification", model=sys.argv[1], trust_remote_code=True)(sys.argv[2:])))
"""

LOAD = """
import json, sys
import matterhorn as mh
program = mh.load(sys.argv[1], hash=sys.argv[2])
assert "torch" not in sys.modules
print(json.dumps([program.hash, str(program.path)]))
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def program():
    return convert(small_network(k=2), labels=["down", "up"], task="sst2", tokenizer=small_tokenizer())


@pytest.fixture(scope="module")
def sent(program, tmp_path_factory):
    """A hub on which the program's user has put it."""
    place = tmp_path_factory.mktemp("sent")
    program.save(place / "own")
    with local_hub() as hub:
        address = run(hub, place, "-c", SEND, str(place / "own")).stdout.strip()
        assert address == f"{hub.address}/me/mine/commit/{hub.repositories['me/mine'].names['main']}"
        yield hub


def run(hub, place, *command, token=TOKEN, offline="0", check=True):
    """Run a command in a process that knows no hub but this one, and has what was fetched to a place."""
    home = {"HF_HOME": str(place / "home"), "HF_ENDPOINT": hub.address, "HF_TOKEN": token}
    ways = {"HF_HUB_OFFLINE": offline, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment = os.environ | home | ways
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, cwd=place)
    assert done.returncode == 0 or not check, done.stderr
    return done


def test_all_of_it_is_sent(sent):
    repository = sent.repositories["me/mine"]
    assert repository.private and set(repository.commits[repository.names["main"]]) == FILES


def test_a_pipeline_loads_it_by_its_name(sent, program, tmp_path):
    said = json.loads(run(sent, tmp_path, "-c", CLASSIFY, "me/mine", *TEXTS).stdout)
    own = Engine(program).classify(TEXTS)
    assert [one["label"] for one in said] == [one.label for one in own]


def test_loaded_by_name_and_hash_without_torch(sent, program, tmp_path):
    commit = sent.repositories["me/mine"].names["main"]
    for name in ("me/mine", f"me/mine@{commit}", "me/mine@main"):
        found, path = json.loads(run(sent, tmp_path, "-c", LOAD, name, program.hash[:12]).stdout)
        assert found == program.hash and commit in path
    other = run(sent, tmp_path, "-c", LOAD, "me/mine", "0" * 12, check=False)
    assert f"the program here is {program.hash[:12]}…, not 000000000000" in other.stderr


def test_commands_take_it_and_need_no_hub_the_second_time(sent, program, tmp_path):
    line = ("-m", "matterhorn", "run", "--model", "me/mine", "--json", *TEXTS)
    said = [json.loads(run(sent, tmp_path, *line, offline=way).stdout)["texts"] for way in "01"]
    assert said[0][0]["scores"] == said[1][0]["scores"] == Engine(program).classify(TEXTS)[0].scores


@pytest.mark.parametrize(
    ("name", "token", "offline", "problem"),
    [
        ("me/other", TOKEN, "0", "no model 'me/other': neither a folder nor on the hub"),
        ("me/mine", "hf_of_another", "0", "no model 'me/mine': neither a folder nor on the hub"),
        ("me/mine@v9", TOKEN, "0", "no model 'me/mine@v9': the hub has no such revision of it"),
        ("me/mine", TOKEN, "1", "no model 'me/mine': not a folder, not in the cache, and the hub does not answer"),
    ],
)
def test_what_is_not_there_is_one_line(sent, tmp_path, name, token, offline, problem):
    done = run(sent, tmp_path, "-m", "matterhorn", "info", name, token=token, offline=offline, check=False)
    assert done.returncode and problem in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
