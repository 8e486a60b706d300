"""Pages of documentation taken apart: code blocks, commands, links, anchors."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, its text."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """Fenced blocks of a page in some languages."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(page.name, text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in FENCE.finditer(text)
    ]
    return [block for block in found if block.language in languages]


def shell_lines(page: Path) -> list[list[str]]:
    """Commands of the shell blocks of a page, as words; comments are left out."""
    lines = [line for block in blocks(page, "sh", "") for line in block.text.splitlines()]
    return [words for words in map(words_of, lines) if words]


def commands(page: Path) -> list[list[str]]:
    """Every ``matterhorn …`` of a page, in blocks and in running text: the words behind ``matterhorn``."""
    inline = [words_of(text) for text in INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))]
    found = []
    for words in [*shell_lines(page), *inline]:
        if words[:1] == ["matterhorn"]:
            found.append(words[1:])
        elif words[:2] == ["accelerate", "launch"] and "matterhorn" in words:
            found.append(words[words.index("matterhorn") + 1 :])
    return [words for words in found if words]


def words_of(line: str) -> list[str]:
    """A line of a shell as words; none if it is not one."""
    try:
        return shlex.split(line, comments=True)
    except ValueError:
        return []


def links(page: Path) -> list[str]:
    """Targets of the links of a page that are not addresses."""
    text = INLINE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    return [target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """Anchors that GitHub makes of a page's headings."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in HEADING.findall(text)}
