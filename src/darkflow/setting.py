"""What a setting is: a name, how a user writes it, what it means, how it is read."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Setting:
    """One setting: name, flags, default and unit as a user writes them, help, how it is read."""

    # No dataclass: its import alone costs a third of `darkflow --help`.
    __slots__ = ("default", "flags", "help", "name", "parse", "unit")

    def __init__(
        self,
        name: str,
        flags: tuple[str, ...],
        default: str | None,
        unit: str,
        help: str,
        parse: Callable[[str], Any],
    ) -> None:
        self.name = name
        self.flags = flags
        self.default = default
        self.unit = unit
        self.help = help
        self.parse = parse

    @property
    def is_list(self) -> bool:
        """Whether it takes several values with commas between them; in TOML: a list."""
        return self.unit.endswith(",...")
