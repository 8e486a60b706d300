"""Readable names of arrays, codes, connections, categories and numbers of a chip."""

from __future__ import annotations

from ..topology import Site

NAMES = {"digital": "digital arrays", "msu": "synapse units"}
WHERE = NAMES | {"macro": "a compute-in-memory macro"}
ARRAYS = {"digital": "digital", "msu": "synapse", "macro": "macro"}
"""The same in a column that is headed ``arrays``."""

CONNECTION_NAMES = {
    "qk": "queries with keys",
    "pv": "probabilities with values",
    "ffn1": "feed-forward, in",
    "ffn2": "feed-forward, out",
}
"""Of those connections whose own names are no words."""

MEMORIES = {"none": "free", "local": "beside the adders", "large_sram": "1 MB on the chip", "far": "off the chip"}
"""Where weights are read from, in the weight band."""

PLACES = {
    "msu": "synapse unit",
    "noc": "network",
    "kv": "keys and values",
    "state": "neuron memory",
    "weights": "weight memory",
}

NUMBERS = {
    "g_on": "conductance of a high cell",
    "g_off": "conductance of a low cell",
    "readout": "read-out",
    "bit": "a bit of a packet",
    "read": "a read",
}


def in_words(code: str) -> str:
    """A code: ``mttfs-k3-neuron`` → ``masked, k = 3, per neuron``."""
    plain = {"dense": "dense words", "rate": "rate code", "ttfs": "time to first spike"}
    return plain.get(code) or code.replace("mttfs-k", "masked, k = ").replace("-neuron", ", per neuron")


def number_name(key: str) -> str:
    """A number of the chip by its place in the file: ``msu.g_on`` → ``synapse unit: conductance of a high cell``."""
    place, *rest = key.split(".")
    of = ", ".join(NUMBERS.get(name, name.replace("_", " ")) for name in rest)
    return PLACES.get(place, place.replace("_", " ")) + (f": {of}" if of else "")


def category_name(category: str) -> str:
    """A category of the bill: ``msu_readout`` → ``synapse unit: read-out``."""
    place, _, of = category.partition("_")
    return number_name(f"{place}.{of}") if place in PLACES else category.replace("_", " ")


def line_name(name: str) -> str:
    """A connection or digital step: ``block.2.ffn1`` → ``block 2: feed-forward, in``."""
    if not name.startswith("block."):
        return name
    block, part = Site.parse(name)
    return f"block {block}: {CONNECTION_NAMES.get(part, part.replace('_', ' '))}"
