from collections.abc import Iterable

TUNNELS: dict[str, int]

def tunnel_mask(names: Iterable[str]) -> int:
    """The bits of the named tunnels; "all" means every one."""
