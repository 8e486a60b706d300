"""What a network costs on a chip: trace → activities → mapping → bill. Reads traces, never a network.

:func:`load` a chip, :func:`place` a network on it, :func:`make_bill`; :func:`energy_answer` does all of it at once.
"""

from ..quantity import Quantity, engineering
from .activity import CODINGS, Activity, Coding, as_traced, coding, recode, silent_share
from .answer import energy_answer
from .bill import CATEGORIES, Bill, make_bill
from .chip import Chip
from .library import load, shipped
from .mapping import Mapping, place
from .shapes import SHAPES, Shape, as_wide, lay

__all__ = [
    "CATEGORIES",
    "CODINGS",
    "SHAPES",
    "Activity",
    "Bill",
    "Chip",
    "Coding",
    "Mapping",
    "Quantity",
    "Shape",
    "as_traced",
    "as_wide",
    "coding",
    "energy_answer",
    "engineering",
    "lay",
    "load",
    "make_bill",
    "place",
    "recode",
    "shipped",
    "silent_share",
]
