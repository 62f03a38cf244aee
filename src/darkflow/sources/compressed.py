"""Decompresses a stream piece by piece, so that damage costs nothing that lies before it.

The libraries' file objects fill a whole buffer or raise, and then what they had is lost; some end
silently where their input is cut off. Their incremental decompressors do neither.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Reads(Protocol):
        """What compressed bytes are read from."""

        def readinto(self, buffer: memoryview, /) -> int | None:
            """Fill the buffer with up to its length of bytes; 0 at the end."""

    class Member(Protocol):
        """One gzip member, zstd frame, xz stream."""

        @property
        def eof(self) -> bool:
            """Whether its end has been reached."""

        @property
        def unused_data(self) -> bytes | None:
            """What was given to it beyond its end."""

        def decompress(self, data: bytes, /) -> bytes:
            """What these bytes, and those before them, give."""


# Small, because a member may expand a thousandfold and all of it is held at once.
PIECE_BYTES = 8 << 10


class _Gzip:
    """One gzip member with the interface of the other libraries."""

    def __init__(self) -> None:
        import zlib

        self._inflate = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes) -> bytes:
        return self._inflate.decompress(data)


def _zstd() -> Member:
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _xz() -> Member:
    import lzma

    return lzma.LZMADecompressor()


def _bzip2() -> Member:
    import bz2

    return bz2.BZ2Decompressor()


def _lz4() -> Member:
    import lz4.frame

    member: Member = lz4.frame.LZ4FrameDecompressor()
    return member


# By content, never by name; the modules are imported when a capture needs them.
COMPRESSIONS: tuple[tuple[bytes, Callable[[], Member]], ...] = (
    (b"\x1f\x8b", _Gzip),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"\xfd7zXZ\x00", _xz),
    (b"BZh", _bzip2),
    (b"\x04\x22\x4d\x18", _lz4),
)
DAMAGE = ("EOFError", "LZMAError", "RuntimeError", "ZstdError", "error")


def is_damage(error: Exception) -> bool:
    """Whether a decompressor says that its input is wrong: each has types of its own."""
    return type(error).__name__ in DAMAGE or (isinstance(error, OSError) and error.errno is None)


class Decompressed:
    """All members of a compressed stream, one after the other, as a stream.

    `live`: give what has come, and do not wait for a full buffer.
    """

    def __init__(self, stream: Reads, new_member: Callable[[], Member], live: bool) -> None:
        self._stream = stream
        self._new_member = new_member
        self._live = live
        self._member = new_member()
        self._output = memoryview(b"")
        self._piece = memoryview(bytearray(PIECE_BYTES))
        self._error: Exception | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the buffer; what a decompressor says is raised when all before it has been given."""
        filled = 0
        while filled < len(buffer) and not (self._live and filled):
            if not self._output and not self._decompress():
                break
            count = min(len(buffer) - filled, len(self._output))
            buffer[filled : filled + count] = self._output[:count]
            self._output = self._output[count:]
            filled += count
        if not filled and self._error is not None:
            raise self._error
        return filled

    def _decompress(self) -> bool:
        """Get more output; False at the end of all, or of what can be read."""
        while not self._output and self._error is None:
            try:
                data = self._next_input()
                if data is None:
                    return False
                self._output = memoryview(self._member.decompress(data))
            except Exception as error:
                self._error = error
        return self._error is None

    def _next_input(self) -> bytes | None:
        """Compressed bytes for the member that is being read; None at the end of all."""
        if not self._member.eof:
            data = self._read()
            if not data:
                raise EOFError("they are cut off")
            return data
        # Zero bytes may fill up the space between and behind members.
        rest = (self._member.unused_data or b"").lstrip(b"\0")
        while not rest:
            data = self._read()
            if not data:
                return None
            rest = data.lstrip(b"\0")
        self._member = self._new_member()
        return rest

    def _read(self) -> bytes:
        return bytes(self._piece[: self._stream.readinto(self._piece) or 0])
