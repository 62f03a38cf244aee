from collections.abc import Sequence

Value = str | int | float | bool | None

class Template:
    """A JSON object of fixed names, given as dotted paths in the order of their values."""

    def __init__(self, names: Sequence[str]) -> None: ...
    def line(self, values: tuple[Value, ...], more: bytes = b"") -> bytes:
        """The line with these values, floats finite; `more` goes before its last brace."""
