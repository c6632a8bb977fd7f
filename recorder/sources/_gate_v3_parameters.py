"""What Gate's v3 lets people say of a book."""

from typing import Final


LIMITS: Final = (1, 5, 10, 20, 30)
"""Legal numbers of levels a side."""

NOT_AGGREGATED: Final = "0"

AGGREGATIONS: Final = (
    "0.00000001",
    "0.0000001",
    "0.000001",
    "0.00001",
    "0.0001",
    "0.001",
    "0.01",
    "0.1",
)
"""Legal steps that prices are aggregated to."""
