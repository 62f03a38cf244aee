from collections.abc import Iterable, Sequence

DIRECTIONS: tuple[str, ...]
EVERYTHING: tuple[str, ...]

class Networks:
    """Sorted, disjoint address ranges; looking one up takes log2 of their number."""

    cidrs: tuple[str, ...]
    def __init__(
        self,
        ranges4: Sequence[tuple[bytes, bytes]],
        ranges6: Sequence[tuple[bytes, bytes]],
        cidrs: Iterable[str] = ...,
    ) -> None: ...
    def replace(
        self,
        ranges4: Sequence[tuple[bytes, bytes]],
        ranges6: Sequence[tuple[bytes, bytes]],
        cidrs: Iterable[str] = ...,
    ) -> None:
        """Watch these networks from now on; ValueError for ranges out of order."""
    @classmethod
    def everything(cls) -> Networks:
        """Every address is watched."""
    def direction_of(self, orig: bytes, resp: bytes) -> str:
        """Direction of a flow between two packed addresses."""
