from collections.abc import Sequence

def frame_from(head: bytes, tcp_bytes: int, macs: bytes) -> bytes:
    """The Ethernet frame of a SYN that is whole in `head`: what replay.frame_of says of it.

    head: fixed IP header and TCP header, 40 to 100 bytes. macs: 12 bytes. ValueError for others.
    """

def send_all(fd: int, frames: Sequence[bytes]) -> list[int]:
    """Send each frame on a packet socket, in one go; the errno of each, 0 for those sent.

    What a full queue refuses is offered again, for up to 20 ms of a batch.
    """
