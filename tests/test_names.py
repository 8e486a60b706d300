"""One word for one thing: a constant that other modules import is the only one of its name."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import matterhorn

HOME = Path(matterhorn.__file__).parent
MAY_REPEAT = {
    *("FRACTION", "LIMIT", "SILENT"),  # the same number, as kernels take it
    *("KIND", "NAMES", "OPTIONS", "PARTS", "SIZES", "SOURCE"),  # each of what its module is about
    *("BITS", "COLORS", "METRICS", "NORMS", "UNSEEN", "WEIGHTS"),
}


def constants(tree: ast.Module) -> Iterator[str]:
    """Names in capitals that a module sets."""
    for node in tree.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        for target in targets if isinstance(node, (ast.Assign, ast.AnnAssign)) else []:
            for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(one, ast.Name) and one.id.isupper():
                    yield one.id


def test_a_constant_that_is_imported_is_the_only_one_of_its_name():
    homes, imported = defaultdict[str, list[str]](list), set[str]()
    for path in sorted(HOME.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name in constants(tree):
            homes[name].append(str(path.relative_to(HOME)))
        imported |= {one.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for one in node.names}
    several = {name: found for name, found in homes.items() if len(found) > 1 and name in imported}
    assert {name: found for name, found in several.items() if name not in MAY_REPEAT} == {}
    assert several.keys() >= MAY_REPEAT
