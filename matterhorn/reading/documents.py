"""Read documents: bytes, text, JSON and YAML, with limits on size and depth and a one-line error for any problem.

Errors name the file and the field. Numbers are finite, keys unique, and texts UTF-8. The required content of a document
is defined by a :class:`Strict` model (:func:`validated`).
"""

from __future__ import annotations

import gzip
import io
import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter, ValidationError

from ..errors import InputError, visible

LARGEST = 2**28
"""Maximum size of a file that is read at once, in bytes."""

LARGEST_PACKED = 2**27
"""Maximum size of JSON that is unpacked from a file, in bytes."""

VALUES, CONTAINERS = 2**23, 2**20
"""Maximum number of values in a JSON document, and of lists and objects among them, which take ten times the memory.

Both are estimated before parsing, from the number of ``[``, ``{`` and commas, including those inside strings.
"""

LARGEST_YAML, NODES, DEPTH = 2**20, 100_000, 50
"""Maximum size of a YAML file in bytes, number of values in it, and depth of nesting, which also holds for JSON.

Values that an alias repeats are counted each time. Before parsing, the number is estimated from the characters that can
precede a value.
"""

LARGEST_NUMBER = 2**63
"""Bound of the magnitude of numbers in YAML."""


class Strict(BaseModel):
    """Base class of everything that is read from a data file: no unknown keys, finite numbers, immutable values."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Exact(Strict):
    """The same, without conversion between types: ``true`` and ``2.0`` are not accepted as integers."""

    model_config = ConfigDict(strict=True)


def _name(text: str) -> str:
    if not text.strip() or visible(text) != text:
        raise ValueError(f"{visible(text)!r} is not a name")
    return text


Name = Annotated[str, AfterValidator(_name)]
Model = TypeVar("Model")

CURES = {
    "extra_forbidden": "remove it or correct its spelling",
    "missing": "add it: every number needs value, unit and source",
    "model_type": "write it as {value: …, unit: …, source: …}",
}
"""Remedies by pydantic's type of error."""


@contextmanager
def whole(path: str | Path, cure: str = "restore the file") -> Iterator[None]:
    """Context in which any error of a library about an unreadable file becomes one line.

    Raises:
        InputError: for any exception inside.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror or error})", file=path, cure=cure) from error
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8", file=path, cure="save it as UTF-8") from error
    except RecursionError as error:
        raise InputError("nested too deeply", file=path, cure=cure) from error
    except yaml.YAMLError as error:
        problem = "nested too deeply" if "nesting depth" in str(error) else f"not YAML: {error}"
        raise InputError(problem, file=path, cure=cure) from error
    except Exception as error:  # every library raises its own exceptions
        raise InputError(f"cannot be read ({error})", file=path, cure=cure) from error


def read_bytes(path: Path, *, most: int = LARGEST, cure: str = "give a whole file") -> bytes:
    """Read a regular file completely.

    Raises:
        InputError: there is no such file, or it is larger than ``most`` bytes.
    """
    with whole(path, cure):
        if not path.is_file():
            problem = "not a regular file" if path.exists() else "no such file"
            raise InputError(problem, file=path, cure=cure)
        if (size := path.stat().st_size) > most:
            raise InputError(f"{size} bytes, at most {most} are read", file=path, cure=cure)
        return path.read_bytes()


def read_text(path: Path, *, most: int = LARGEST, cure: str = "give a whole file") -> str:
    """Read UTF-8 text, without a byte order mark."""
    with whole(path, cure):
        return read_bytes(path, most=most, cure=cure).decode("utf-8-sig")


def read_json(path: Path, cure: str = "restore the file") -> Any:
    """Read a JSON document."""
    return parse_json(read_text(path, cure=cure), path, cure=cure)


def read_mapping(path: Path, cure: str = "restore the file") -> dict[str, Any]:
    """Read a JSON object."""
    return parse_mapping(read_bytes(path, cure=cure), path, cure)


def parse_mapping(data: bytes, path: Path, cure: str = "restore the file") -> dict[str, Any]:
    """As :func:`read_mapping`, for the content of ``path``."""
    with whole(path, cure):
        plain = parse_json(data.decode("utf-8-sig"), path, cure=cure)
    return _mapping(plain, path, cure)


def parse_json(text: str, file: str | Path, *, field: str | None = None, cure: str = "restore the file") -> Any:
    """Parse JSON without duplicate keys, with finite numbers, and with at most :data:`VALUES` values.

    Raises:
        InputError: it is not valid. The message names file and field.
    """
    containers = text.count("[") + text.count("{")
    if containers > CONTAINERS or containers + text.count(",") > VALUES:
        raise InputError("too many values", file=file, field=field, cure=cure)
    try:
        plain = json.loads(text, object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
        if _too_deep(plain):
            raise RecursionError
        return plain
    except RecursionError as error:
        raise InputError("nested too deeply", file=file, field=field, cure=cure) from error
    except ValueError as error:
        raise InputError(f"not JSON ({error})", file=file, field=field, cure=cure) from error


def _too_deep(plain: Any) -> bool:
    """Whether a list or object lies :data:`DEPTH` deep."""
    level: list[Any] = [[plain]]
    for _ in range(DEPTH + 1):
        insides = (one.values() if isinstance(one, dict) else one for one in level)
        if not (level := [own for inside in insides for own in inside if isinstance(own, (list, dict))]):
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"duplicate key {Counter(name for name, _ in pairs).most_common(1)[0][0]!r}")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a finite number")
    return number


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's loader in C, which is ten times as fast, if available."""


class _Loader(_Base):  # type: ignore[misc]
    """YAML loader that refuses duplicate keys and has the numbers of YAML 1.2: decimal, with or without a dot and an
    exponent. ``1:30`` and ``010`` are strings.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 – as PyYAML declares it
        first: [(tag, pattern) for tag, pattern in found if not tag.endswith((":int", ":float"))]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """As in PyYAML, but refuse duplicate keys."""
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := [key for key, times in keys.items() if times > 1]:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key {twice[0]!r}", node.start_mark)
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found


_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"([-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[1-9][0-9]*(?=e))(e[-+]?[0-9]+)?|[-+]?\.inf|\.nan)$", re.IGNORECASE),
    list("-+.0123456789"),
)


def read_yaml(path: Path, cure: str = "copy a file that comes with the package") -> dict[str, Any]:
    """Read the keys and values of a data file.

    Raises:
        InputError: it cannot be read, or is not a mapping of plain values within the limits.
    """
    text = read_text(path, most=LARGEST_YAML, cure="give a YAML file")
    if sum(map(text.count, "[{,:-\n")) > NODES:
        raise InputError("too large: too many values", file=path, cure=cure)
    with whole(path, "correct this line"):
        plain = yaml.load(text, _Loader)
        _bounded(plain)
    return _mapping(plain, path, cure)


def _bounded(plain: Any) -> None:
    """Refuse values that are too large or too deep. Aliases are counted each time they occur."""
    rest, count = [(plain, 0)], 0
    while rest:
        value, depth = rest.pop()
        count += 1
        if count > NODES or depth > DEPTH:
            raise ValueError("too large, or nested too deeply")
        if isinstance(value, (int, float)) and not -LARGEST_NUMBER < value < LARGEST_NUMBER:
            raise ValueError(f"the number {str(value)[:20]} is out of range")
        if isinstance(value, Mapping):
            if odd := [key for key in value if not isinstance(key, str)]:
                raise ValueError(f"the key {odd[0]!r} is not a text; put it in quotes")
            rest += [(own, depth + 1) for own in value.values()]
        elif isinstance(value, list):
            rest += [(own, depth + 1) for own in value]


def _mapping(plain: Any, path: Path, cure: str) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise InputError("not a mapping of keys", file=path, cure=cure)
    return plain


def validated(model: type[Model], plain: Any, path: Path | None, cure: str | None = None) -> Model:
    """Validate the content of a data file with a model, a dataclass, or a list of these.

    Raises:
        InputError: it is not valid. The message names the file, the field and the remedy.
    """
    try:
        return TypeAdapter(model).validate_python(plain)
    except ValidationError as error:
        first = max(error.errors(), key=lambda one: len(one["loc"]))  # of a union, the intended alternative
        field = ".".join(str(part) for part in first["loc"])
        problem = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        if not field and ": " in problem:
            field, _, problem = problem.partition(": ")
        cure = cure or CURES.get(first["type"], "correct the value")
        raise InputError(problem, file=path, field=field or None, cure=cure) from error


def unpacked(packed: bytes, path: Path, *, most: int, cure: str) -> bytes:
    """Unpack gzipped content of ``path``.

    Raises:
        InputError: it is truncated or damaged, or has more than ``most`` bytes when unpacked; no more are unpacked.
    """
    with whole(path, cure), gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
        try:
            content = file.read(most + 1)
        except EOFError as error:
            raise InputError("truncated", file=path, cure=cure) from error
        if len(content) > most:
            raise InputError(f"more than {most} bytes when unpacked", file=path, cure=cure)
        return content


def read_packed_json(path: Path, cure: str) -> dict[str, Any]:
    """Read a gzipped JSON object."""
    return parse_mapping(unpacked(read_bytes(path, cure=cure), path, most=LARGEST_PACKED, cure=cure), path, cure)
