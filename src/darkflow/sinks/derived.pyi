def flow_ends(
    flow: tuple[bytes, int, bytes, int], t0_ns: int
) -> tuple[int, str, str, int, str, int]:
    """(flow id, Community ID, address and port of orig, of resp) as lines and columns have them."""
