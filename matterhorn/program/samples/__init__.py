"""Sentences that come with the package. They were written for it and are in no benchmark."""

from __future__ import annotations

import csv
from pathlib import Path

from ...reading import read_text


def sample() -> tuple[list[str], list[str]]:
    """Return 24 sentences about films, and their labels."""
    text = read_text(Path(__file__).with_name("sst2.tsv"))
    rows = list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    return [row["sentence"] for row in rows], [("negative", "positive")[int(row["label"])] for row in rows]
