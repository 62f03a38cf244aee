from collections.abc import Sequence
from typing import Any

FORMATS: dict[str, tuple[bytes, int]]

class Rows:
    """Columns of (name, type); types: the keys of FORMATS. `count` rows are whole.

    more: as so many further rows these count, for their long texts; who adds them says so.
    """

    count: int
    more: int
    width: int
    def __init__(self, columns: Sequence[tuple[str, str]]) -> None: ...
    def __len__(self) -> int: ...
    def append(self, values: tuple[str | int | float | bool | None, ...]) -> None:
        """One row from Python: a value or None for each column; numbers of days and us for times.

        TypeError, ValueError or OverflowError, and no row, if they do not fit.
        """
    def __arrow_c_schema__(self) -> object:
        """The columns' names and types."""
    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[object, object]:
        """(schema, array): the rows as one Arrow struct array; no row may be added after this."""
