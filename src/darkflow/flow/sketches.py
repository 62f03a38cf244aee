"""HyperLogLog sketches for sources with more targets than an exact set holds.

Flajolet and others 2007, in the implementation of Apache DataSketches: 1 KiB each, 2.3% standard
error. The library is asked for only when the first set is full, as its import takes 0.1 s.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# 2^11 registers of 4 bits.
LOG_REGISTERS = 11


class Sketches:
    """Sketches by owner and kind, both small numbers. Without the library what comes is `lost`."""

    def __init__(self) -> None:
        self.lost = 0
        self._of: dict[int, dict[int, Any]] = {}
        self._library: Any = None
        self._tried = False

    def add(self, owner: int, kind: int, hash: int) -> None:
        """A 64-bit hash that is not in the owner's exact set."""
        sketch = self._of.get(owner, {}).get(kind) or self._make(owner, kind)
        if sketch is None:
            self.lost += 1
        else:
            sketch.update(hash)

    def _make(self, owner: int, kind: int) -> Any:
        if not self._tried:
            self._tried = True
            try:
                import datasketches
            except ImportError:
                pass
            else:
                self._library = datasketches
        if self._library is None:
            return None
        sketch = self._library.hll_sketch(LOG_REGISTERS, self._library.HLL_4)
        self._of.setdefault(owner, {})[kind] = sketch
        return sketch

    def estimate(self, owner: int, kind: int) -> int:
        """About how many different hashes were added."""
        sketch = self._of.get(owner, {}).get(kind)
        return 0 if sketch is None else round(sketch.get_estimate())

    def drop(self, owner: int) -> None:
        """The owner has gone."""
        self._of.pop(owner, None)

    def __len__(self) -> int:
        return sum(len(kinds) for kinds in self._of.values())
