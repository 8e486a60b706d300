"""Energy of a network on a chip. A trace is turned into activities, mapped to hardware and billed.

:func:`bill` does all of this in one call. :func:`energy_answer` also reports what the same run would cost with other
codes, on other hardware, and in other published networks. This package reads traces, never networks.
"""

from .activity import Activity, as_traced, quiet_share, recode, silent_share
from .answer import energy_answer
from .billing import CATEGORIES, Bill, make_bill
from .chip import Chip
from .codings import CODINGS, Coding, coding
from .foreign import bill_encoder
from .layers import bill_layers
from .library import load, shipped
from .mapping import Mapping, place
from .shapes import SHAPES, in_proportion, lay
from .study import bill

__all__ = [
    "CATEGORIES",
    "CODINGS",
    "SHAPES",
    "Activity",
    "Bill",
    "Chip",
    "Coding",
    "Mapping",
    "as_traced",
    "bill",
    "bill_encoder",
    "bill_layers",
    "coding",
    "energy_answer",
    "in_proportion",
    "lay",
    "load",
    "make_bill",
    "place",
    "quiet_share",
    "recode",
    "shipped",
    "silent_share",
]
