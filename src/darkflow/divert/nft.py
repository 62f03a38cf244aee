"""The data plane in the kernel: installed, removed, its sets filled, its counters read.

The ruleset goes through libnftables, which takes text. Elements and counters do not: libnftables
takes 70 us for one element, says of a set that is full only that it is, and lists every element of
every set (40 s for a million) before it tells a counter. Netlink says for each element what became
of it.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import threading
from collections.abc import Sequence
from typing import Any

from darkflow.divert import allowlist, netlink
from darkflow.divert.dispatcher import Allowed, Flow
from darkflow.divert.netlink import NESTED, attribute, attributes
from darkflow.divert.plan import Plan
from darkflow.divert.ruleset import COUNTERS, CUT, FLOWS, RUNNING, SERVED, TABLE, render

LIBRARY, PACKAGE = "libnftables.so.1", "libnftables1"
# Elements of one transaction: see "Data plane" in docs/performance.md.
BATCH = 256
BUFFER_BYTES = 1 << 22

# linux/netfilter/nf_tables.h
NFPROTO_INET, NFPROTO_NETDEV = 1, 5
ETH_P_IP, ETH_P_IPV6 = 0x0800, 0x86DD  # linux/if_ether.h
_NF_TABLES = 10 << 8
GET_TABLE, GET_SET, GET_OBJECT = (_NF_TABLES | n for n in (1, 10, 19))
NEW_ELEMENT, GET_ELEMENT, DELETE_ELEMENT = (_NF_TABLES | n for n in (12, 13, 14))
BEGIN, END = 16, 17
SET_TABLE, SET_NAME, SET_COUNT = 1, 2, 20
OBJECT_TABLE, OBJECT_NAME, OBJECT_KIND, OBJECT_DATA, COUNTER = 1, 2, 3, 4, 1
COUNTER_BYTES, COUNTER_PACKETS = 1, 2
# An element is refused for good with these: no room, or no memory.
NO_ROOM = (errno.ENFILE, errno.ENOMEM, errno.ENOSPC, errno.E2BIG, errno.EBUSY)
TURNS = 4

_KEYS = {4: struct.Struct("!4sHxx4sHxx"), 16: struct.Struct("!16sHxx16sHxx")}


def _library() -> ctypes.CDLL:
    """libnftables with the types of what is used of it; OSError says which package has it."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise OSError(
            errno.ENOENT, f"{LIBRARY} is missing: apt-get install {PACKAGE} (or nftables)"
        ) from None
    context = ctypes.c_void_p
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], context
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [context], None
    library.nft_run_cmd_from_buffer.argtypes = [context, ctypes.c_char_p]
    for name in ("output", "error"):
        getattr(library, f"nft_ctx_buffer_{name}").argtypes = [context]
        get = getattr(library, f"nft_ctx_get_{name}_buffer")
        get.argtypes, get.restype = [context], ctypes.c_char_p
    return library


class _Elements:
    """How flows are written as elements of one set, and all that stays the same."""

    def __init__(self, name: str, digit: int) -> None:
        self._set = attribute(SET_TABLE, TABLE.encode() + b"\0")
        self._set += attribute(SET_NAME, f"{name}{digit}".encode() + b"\0")
        key_bytes = _KEYS[4 if digit == 4 else 16].size
        lengths = [(key_bytes + 4 * n, kind) for n, kind in ((4, 3), (3, 1), (2, 1))]
        # A list (3) of elements (1), each with a key (1) that is a value (1).
        self._set += b"".join(struct.pack("=HH", size, kind | NESTED) for size, kind in lengths)
        self._set += struct.pack("=HH", key_bytes + 4, 1)
        self._more = len(self._set) + key_bytes

    def message(self, kind: int, flags: int, sequence: int, flow: Flow) -> bytes:
        """The message that adds or deletes one flow."""
        head = netlink.header(kind, flags, sequence, NFPROTO_NETDEV, self._more)
        return head + self._set + _KEYS[len(flow[0])].pack(*flow)


class _Marks:
    """How values of two bytes, each alone in a tuple, are written as elements of a set."""

    def __init__(self, name: str) -> None:
        self._set = attribute(SET_TABLE, TABLE.encode() + b"\0")
        self._set += attribute(SET_NAME, name.encode() + b"\0")

    def message(self, kind: int, flags: int, sequence: int, mark: tuple[bytes]) -> bytes:
        """The message that adds or deletes one of them."""
        # As for flows: a list of elements, each with a key that is a value.
        body = attribute(1, mark[0])
        for outer in (1, 1, 3):
            body = attribute(outer | NESTED, body)
        return netlink.message(kind, flags, sequence, NFPROTO_NETDEV, self._set + body)


class Nft:
    """The table `darkflow` in the network namespace of the calling thread. Thread-safe.

    All calls are for the namespace in which it was made; `apply`, `allow` and `remove` must also be
    made from there, as libnftables looks for the interfaces. OSError with one line when libnftables
    is missing or the kernel refuses.
    """

    def __init__(self) -> None:
        self._library = _library()
        self._lock = threading.Lock()
        self._elements: dict[tuple[str, int], Any] = {
            (name, length): _Elements(name, digit)
            for name in (FLOWS, CUT, SERVED)
            for length, digit in ((4, 4), (16, 6))
        } | {(RUNNING, 2): _Marks(RUNNING)}
        # Flows that there was no room for, ever.
        self.no_room = 0
        self._sequence = 1
        self._socket = netlink.opened(BUFFER_BYTES)

    def apply(self, plan: Plan) -> None:
        """Install it in one transaction; a table that is there is replaced, its flows forgotten."""
        for name in filter(None, (plan.outside, plan.inside, plan.hp0)):
            # New kernels take chains of devices that may come one day.
            try:
                socket.if_nametoindex(name)
            except OSError:
                raise OSError(errno.ENODEV, f"interface {name} does not exist") from None
        self._run(render(plan), "nftables refuses the ruleset")

    def remove(self) -> None:
        """Take the table away, if it is there: nothing is diverted any more."""
        text = f"add table netdev {TABLE}\ndelete table netdev {TABLE}\n"
        self._run(text, "nftables does not remove the table")

    def _run(self, text: str, what: str) -> None:
        with self._lock:
            # A context remembers what it knows of sets and interfaces: each time a new one.
            context = self._library.nft_ctx_new(0)
            if not context:
                raise OSError(errno.ENOMEM, f"{LIBRARY} does not start")
            try:
                self._library.nft_ctx_buffer_output(context)
                self._library.nft_ctx_buffer_error(context)
                if self._library.nft_run_cmd_from_buffer(context, text.encode()) == 0:
                    return
                said: bytes = self._library.nft_ctx_get_error_buffer(context) or b""
            finally:
                self._library.nft_ctx_free(context)
        raise _refusal(said.decode(errors="replace"), what)

    def allow(self, allowed: Allowed) -> None:
        """The list of what is never diverted is this from now on."""
        self._run(allowlist.replaced(allowed, TABLE), "nftables refuses the list")

    def renew(self) -> None:
        """A sign of life: for RUNNING_NS more ICMP errors are held back, if that was asked for."""
        marks = [(protocol.to_bytes(2, "big"),) for protocol in (ETH_P_IP, ETH_P_IPV6)]
        # What is there keeps its time, so it is made anew.
        self._transaction([
            (RUNNING, kind, mark)
            for kind in (NEW_ELEMENT, DELETE_ELEMENT, NEW_ELEMENT)
            for mark in marks
        ])  # fmt: skip

    def add(self, flows: Sequence[Flow]) -> list[Flow]:
        """Divert these from now on; gives those that there was no room for.

        One that is there already stays.
        """
        left_out: list[Flow] = []
        for at in range(0, len(flows), BATCH):
            left_out += self._add(list(flows[at : at + BATCH]))
        self.no_room += len(left_out)
        return left_out

    def delete(self, flows: Sequence[Flow]) -> None:
        """Divert these no longer; one that is not there is no error."""
        for at in range(0, len(flows), BATCH):
            self._delete(list(flows[at : at + BATCH]))

    def served(self, flows: Sequence[Flow]) -> set[Flow]:
        """Those whose client has talked to the honeypot; with `cut: always` nobody asks: none."""
        found: set[Flow] = set()
        for at in range(0, len(flows), BATCH):
            some = flows[at : at + BATCH]
            with self._lock:
                # As of a transaction: number `first` is nobody's.
                first = self._numbers(len(some) + 1)
                request = b"".join(
                    self._elements[SERVED, len(flow[0])].message(
                        GET_ELEMENT, netlink.REQUEST | netlink.ACK, number, flow
                    )
                    for number, flow in enumerate(some, first + 1)
                )
                last = first + len(some)
                for kind, number, _ in netlink.asked(self._socket, request, first, last):
                    if kind == NEW_ELEMENT:
                        found.add(some[number - first - 1])
        return found

    def _add(self, flows: list[Flow]) -> list[Flow]:
        left_out: list[Flow] = []
        for _ in range(TURNS):
            refused = self._transaction([(FLOWS, NEW_ELEMENT, flow) for flow in flows])
            if not refused:
                return left_out
            # One refused element undoes the transaction: once more, without those.
            _must_be(refused, NO_ROOM)
            left_out += [flow for number, flow in enumerate(flows) if number in refused]
            flows = [flow for number, flow in enumerate(flows) if number not in refused]
        return left_out + flows

    def _delete(self, flows: list[Flow]) -> None:
        # Noted as cut, as in the packet path: a packet on its way does not bring it back.
        changes = [(CUT, NEW_ELEMENT, flow) for flow in flows]
        # Added first, so that one that is not there is no error: an error undoes the transaction,
        # and the kernel takes 10 ms for that.
        changes += [(FLOWS, NEW_ELEMENT, flow) for flow in flows]
        changes += [(FLOWS, DELETE_ELEMENT, flow) for flow in flows]
        for _ in range(TURNS):
            refused = self._transaction(changes)
            if not refused:
                return
            _must_be(refused, (errno.ENOENT, *NO_ROOM))
            changes = [one for number, one in enumerate(changes) if number not in refused]
        raise netlink.failure(errno.EBUSY, "flows stay in the table")

    def _transaction(self, changes: Sequence[tuple[str, int, Any]]) -> dict[int, int]:
        """All or nothing; errno by the number of each change that was refused."""
        if not changes:
            return {}
        refused: dict[int, int] = {}
        with self._lock:
            first = self._numbers(len(changes) + 2)
            last = first + len(changes)
            parts = [netlink.batch(BEGIN, first)]
            for number, (name, kind, flow) in enumerate(changes, first + 1):
                flags = netlink.REQUEST | (netlink.CREATE if kind == NEW_ELEMENT else 0)
                flags |= netlink.ACK if number == last else 0
                elements = self._elements[name, len(flow[0])]
                parts.append(elements.message(kind, flags, number, flow))
            parts.append(netlink.batch(END, last + 1))
            for kind, number, body in netlink.asked(self._socket, b"".join(parts), first, last):
                status = netlink.status(body) if kind == netlink.ERROR else 0
                if status and number == first:
                    raise netlink.failure(status, "the kernel takes no flows")
                if status:
                    refused[number - first - 1] = status
        return refused

    def _numbers(self, count: int) -> int:
        """The first of so many new sequence numbers."""
        first = self._sequence
        self._sequence = first + count if first + count < 1 << 31 else 1
        return first

    def stats(self) -> dict[str, int]:
        """Packets by counter, bytes of the two directions, and elements by set where known.

        `flows4` and `flows6` count what has expired, too, until the kernel has cleared it away;
        kernels before 6.16 do not tell them.
        """
        found = dict.fromkeys(COUNTERS, 0)
        for name, (packets, octets) in self.counters().items():
            if name in found:
                found[name] = packets
            if name in ("diverted", "answered"):
                found[f"{name}_bytes"] = octets
        # Sets and objects have their table under the same number.
        table = attribute(OBJECT_TABLE, TABLE.encode() + b"\0")
        for digit in (4, 6):
            one = table + attribute(SET_NAME, f"{FLOWS}{digit}".encode() + b"\0")
            for body in self._ask(GET_SET, 0, one):
                if (count := attributes(body).get(SET_COUNT)) is not None:
                    found[f"{FLOWS}{digit}"] = int.from_bytes(count, "big")
        return found

    def counters(self, family: int = NFPROTO_NETDEV) -> dict[str, tuple[int, int]]:
        """Packets and bytes by counter, of the table of this name in a family."""
        found = {}
        of = attribute(OBJECT_TABLE, TABLE.encode() + b"\0")
        of += attribute(OBJECT_KIND, struct.pack("!I", COUNTER))
        for body in self._ask(GET_OBJECT, netlink.DUMP, of, family):
            told = attributes(body)
            values = attributes(told[OBJECT_DATA])
            found[told[OBJECT_NAME].rstrip(b"\0").decode()] = (
                int.from_bytes(values[COUNTER_PACKETS], "big"),
                int.from_bytes(values[COUNTER_BYTES], "big"),
            )
        return found

    def exists(self) -> bool:
        """Whether the table is there: whoever flushes all rules takes it away, too."""
        try:
            self._ask(GET_TABLE, 0, attribute(SET_TABLE, TABLE.encode() + b"\0"))
        except FileNotFoundError:
            return False
        return True

    def _ask(self, kind: int, flags: int, body: bytes, family: int = NFPROTO_NETDEV) -> list[bytes]:
        """The bodies of what comes back, without nfnetlink's header."""
        flags |= netlink.REQUEST | (0 if flags & netlink.DUMP else netlink.ACK)
        told = []
        with self._lock:
            number = self._numbers(1)
            request = netlink.message(kind, flags, number, family, body)
            for came, _, rest in netlink.asked(self._socket, request, number, number):
                if came != netlink.ERROR:
                    told.append(rest[4:])
                elif status := netlink.status(rest):
                    raise netlink.failure(status, f"the table {TABLE} cannot be read")
        return told

    def close(self) -> None:
        """Give up the connection; the table stays until `remove`."""
        with self._lock:
            self._socket.close()


def _refusal(said: str, what: str) -> OSError:
    """The error in libnftables' own words: the first line, and the line that it points at."""
    lines = [line.strip() for line in said.splitlines()] or ["it does not say why"]
    number = errno.EPERM if "Operation not permitted" in said else errno.EINVAL
    words = lines[0].rpartition("Error: ")[2]
    if number == errno.EPERM:
        words += ": run as root, or with CAP_NET_ADMIN"
    elif len(lines) > 1 and not lines[1].startswith("#"):
        words += f": {lines[1]}"
    return OSError(number, f"{what}: {words}")


def _must_be(refused: dict[int, int], known: Sequence[int]) -> None:
    """Anything else is no matter of single flows."""
    for number in refused.values():
        if number not in known:
            raise netlink.failure(number, "the kernel takes no flows")
