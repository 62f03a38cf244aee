"""Clients of many kinds, run inside a test's namespace: `crowd.py KIND WORDS...`, answers in JSON.

It needs nothing but Python, so that it starts quickly. Each line on stdout is one answer.
"""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from itertools import count

MACS = bytes.fromhex("02005e00000202005e000001")
ASK = b"GET / HTTP/1.0\r\n\r\n"
SYN, ACK = 2, 16
PATIENT_S, PATIENT_EACH_S = 1.2, 0.02


def tell(**answer: object) -> None:
    """One answer."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def silent(version: int, number: int) -> str:
    """An address at which nobody is, as in honeypot_wires."""
    number = number % 120 + 1
    return f"203.0.113.{128 + number}" if version == 4 else f"2001:db8:b:0:8000::{number:x}"


def absent(version: int, number: int) -> str:
    """An address on the server's wire, as in honeypot_wires."""
    number = number % 60 + 2
    return f"203.0.113.{number}" if version == 4 else f"2001:db8:b::{number:x}"


def once(address: str, port: int) -> tuple[bytes | None, float]:
    """What a server says until it ends (None: it refuses), and the ms that took."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    began = time.perf_counter()
    said: bytes | None
    with socket.socket(family, socket.SOCK_STREAM) as talk:
        talk.settimeout(5)
        try:
            talk.connect((address, port))
            said = asked(talk)
        except ConnectionRefusedError:
            said = None
        except OSError as error:
            said = repr(error).encode()
    return said, (time.perf_counter() - began) * 1000


def asked(talk: socket.socket) -> bytes:
    """What a server answers until it ends."""
    said = b""
    talk.sendall(ASK)
    while part := talk.recv(4096):
        said += part
    return said


class Patient:
    """Connections that are silent for longer than T, and then ask."""

    def __init__(self, addresses: tuple[str, ...], port: int) -> None:
        self.addresses, self.port = addresses, port
        self.open: list[tuple[float, socket.socket]] = []
        self.next_s = 0.0
        self.asked = self.wrong = 0

    def turn(self, wanted: bytes | None, last: bool = False) -> None:
        """Begin some from time to time, and ask on those whose time has come."""
        now_s = time.monotonic()
        if not last and now_s >= self.next_s:
            self.next_s = now_s + PATIENT_EACH_S
            for address in self.addresses:
                try:
                    talk = socket.create_connection((address, self.port), 5)
                except OSError:
                    self.asked, self.wrong = self.asked + 1, self.wrong + 1
                else:
                    self.open.append((now_s + PATIENT_S, talk))
        while self.open and (last or self.open[0][0] <= now_s):
            due_s, talk = self.open.pop(0)
            time.sleep(max(0.0, due_s - time.monotonic()))
            self.asked += 1
            try:
                with talk:
                    self.wrong += asked(talk) != wanted
            except OSError:
                self.wrong += 1


def batches(open_port: str, closed_port: str, *addresses: str) -> None:
    """For each line "N": N connections to each port of each address; what differed, and times."""
    wanted = once(addresses[0], int(open_port))[0]
    tell(said=(wanted or b"").decode())
    for line in sys.stdin:
        wrong = 0
        took: dict[str, list[float]] = {"open": [], "closed": []}
        for _ in range(int(line)):
            for address in addresses:
                said, ms = once(address, int(open_port))
                wrong += said != wanted
                took["open"].append(ms)
                said, ms = once(address, int(closed_port))
                wrong += said is not None
                took["closed"].append(ms)
        tell(wrong=wrong, **took)


def steady(open_port: str, closed_port: str, *addresses: str) -> None:
    """Connections without a pause until stdin ends: how many, what differed, the slowest in ms.

    And such as live longer than T: how many of these there were, and how many broke.
    """
    wanted = once(addresses[0], int(open_port))[0]
    tell(said=(wanted or b"").decode())
    took = []
    wrong = 0
    patient = Patient(addresses, int(open_port))
    while not select.select([0], [], [], 0)[0]:
        for address in addresses:
            for port, expected in ((open_port, wanted), (closed_port, None)):
                said, ms = once(address, int(port))
                wrong += said != expected
                took.append(ms)
        patient.turn(wanted)
        time.sleep(0.005)
    patient.turn(wanted, last=True)
    tell(
        patient=patient.asked,
        broken=patient.wrong,
        connections=len(took),
        wrong=wrong,
        worst_ms=max(took),
        median_ms=sorted(took)[len(took) // 2],
    )


class Crowd:
    """Connections to absent addresses, `width` at a time; with `hold` all are open at one time."""

    def __init__(self, version: int, total: int, width: int, hold: bool) -> None:
        self.version, self.total, self.width, self.hold = version, total, width, hold
        self.poll = select.epoll()
        self.talks: dict[int, socket.socket] = {}
        self.said: dict[int, bytes] = {}
        self.established: set[int] = set()
        self.begun = self.answered = self.failed = self.most = 0
        self.errors: dict[str, int] = {}

    def begin(self) -> None:
        """One more."""
        number, self.begun = self.begun, self.begun + 1
        family = socket.AF_INET6 if self.version == 6 else socket.AF_INET
        talk = socket.socket(family, socket.SOCK_STREAM)
        talk.setblocking(False)
        talk.connect_ex((silent(self.version, number), 7000 + number // 120))
        self.talks[talk.fileno()] = talk
        self.poll.register(talk.fileno(), select.EPOLLOUT)

    def end(self, number: int, error: str = "") -> None:
        """One has ended, or its answer has come and it is held open no longer."""
        self.poll.unregister(number)
        self.talks.pop(number).close()
        self.established.discard(number)
        good = b"It works!" in self.said.pop(number, b"")
        self.answered += good
        self.failed += not good
        if not good:
            self.errors[error] = self.errors.get(error, 0) + 1

    def writable(self, number: int) -> None:
        """It is connected, or never will be."""
        error = self.talks[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self.end(number, f"connect {error}")
            return
        self.established.add(number)
        self.most = max(self.most, len(self.established))
        self.poll.modify(number, select.EPOLLIN)
        if not self.hold:
            self.talks[number].sendall(ASK)
        elif len(self.established) + self.failed == self.total:
            for one in self.established:
                self.talks[one].sendall(ASK)

    def readable(self, number: int) -> None:
        """Something has been said, or the end."""
        try:
            part = self.talks[number].recv(65536)
        except OSError as error:
            self.end(number, f"recv {error.errno}")
            return
        self.said[number] = self.said.get(number, b"") + part
        if not part:
            self.end(number, "no answer")

    def run(self, limit_s: float) -> None:
        """All of them."""
        end_s = time.monotonic() + limit_s
        while self.answered + self.failed < self.total and time.monotonic() < end_s:
            while self.begun < self.total and len(self.talks) < self.width:
                self.begin()
            for number, what in self.poll.poll(0.2):
                if number not in self.talks:
                    continue
                if what & (select.EPOLLOUT | select.EPOLLERR) and number not in self.established:
                    self.writable(number)
                else:
                    self.readable(number)


def crowd(version: str, total: str, width: str, hold: str, limit_s: str) -> None:
    """See Crowd."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    began = time.monotonic()
    one = Crowd(int(version), int(total), int(width), hold == "hold")
    one.run(float(limit_s))
    tell(begun=one.begun, answered=one.answered, failed=one.failed, most=one.most,
         errors=one.errors, took_s=time.monotonic() - began)  # fmt: skip


def syn(version: int, number: int, to: str) -> bytes:
    """A frame with the SYN of flow `number`: another source for each of 2^24 numbers."""
    port = struct.pack("!HH", 1024 + number % 60_000, 80)
    target = socket.inet_pton(socket.AF_INET6 if version == 6 else socket.AF_INET, to)
    tcp = port + struct.pack("!IIBBHHH", number * 40503 & 0xFFFFFFFF, 0, 0x60, SYN, 64240, 0, 0)
    tcp += b"\x02\x04\x05\xb4"
    if version == 4:
        source = (0x0A000000 | number & 0xFFFFFF).to_bytes(4, "big")
        head = struct.pack("!BBHHHBBH", 0x45, 0, 44, 7, 0, 64, 6, 0)
        head = head[:10] + summed(head + source + target) + source + target
        kind = b"\x08\x00"
    else:
        source = bytes.fromhex("20010db80005") + number.to_bytes(8, "big") + b"\x00\x01"
        head = struct.pack("!IHBB", 6 << 28, 24, 6, 64) + source + target
        kind = b"\x86\xdd"
    check = summed(source + target + struct.pack("!II", 24, 6) + tcp)
    return MACS + kind + head + tcp[:16] + check + tcp[18:]


def summed(data: bytes) -> bytes:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)


def send(out: socket.socket, frame: bytes) -> None:
    """What finds the wire's queue full was not sent: it is sent when there is room."""
    while True:
        try:
            out.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            time.sleep(0.0002)
        else:
            return


def syns(version: str, first: str, total: str, rate: str, where: str = "silent") -> None:
    """SYNs of distinct flows: `rate` a second, 0: as fast as it goes."""
    address = silent if where == "silent" else absent
    numbers = range(int(first), int(first) + int(total))
    frames = [syn(int(version), n, address(int(version), n)) for n in numbers]
    tell(ready=len(frames))
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    out.bind(("c0", 0))
    pace = float(rate)
    sys.stdin.readline()
    began = time.monotonic()
    for number in count():
        if number == len(frames):
            break
        while pace and (time.monotonic() - began) * pace < number:
            time.sleep(0.001)
        send(out, frames[number])
    took_s = time.monotonic() - began
    tell(sent=len(frames), took_s=took_s)


def talk(address: str, port: str) -> None:
    """Redis' PING, and once more for each line on stdin; what comes, "" if nothing does."""
    with socket.create_connection((address, int(port)), 5) as one:
        for turn in count():
            try:
                one.settimeout(5 if turn == 0 else 1)
                one.sendall(b"PING\r\n")
                said = one.recv(4096).decode()
            except OSError:
                said = ""
            tell(said=said)
            if turn == 0:
                tell(port=one.getsockname()[1])
            if not sys.stdin.readline():
                return


def waker(device: str, version: str, wait_s: str, limit_s: str) -> None:
    """A host that wakes up: answers each SYN of a family after a while, if its source port's rest
    by 3 is 0 with a SYN+ACK, if it is 1 with a RST, and else not at all. Numbered 0x7777, to be
    known.
    """
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((device, 0))
    tell(ready=True)
    due: list[tuple[float, bytes]] = []
    kind = b"\x08\x00" if version == "4" else b"\x86\xdd"
    end_s = time.monotonic() + float(limit_s)
    while (now_s := time.monotonic()) < end_s:
        while due and due[0][0] <= now_s:
            wire.send(due.pop(0)[1])
        if not select.select([wire], [], [], 0.002)[0]:
            continue
        frame, where = wire.recvfrom(2048)
        is_ours = where[2] != socket.PACKET_OUTGOING and frame[12:14] == kind
        answer = late(frame) if is_ours else None
        if answer:
            due.append((time.monotonic() + float(wait_s), answer))


def late(frame: bytes) -> bytes | None:
    """The frame that answers a SYN, or None."""
    at = 34 if frame[12:14] == b"\x08\x00" else 54
    if frame[at - 11 if at == 34 else 20] != 6 or frame[at + 13] & (SYN | ACK) != SYN:
        return None
    size = 4 if at == 34 else 16
    source, target = frame[at - 2 * size : at - size], frame[at - size : at]
    ports = frame[at + 2 : at + 4] + frame[at : at + 2]
    kind = int.from_bytes(frame[at : at + 2], "big") % 3
    if kind == 2:
        return None
    ack = int.from_bytes(frame[at + 4 : at + 8], "big") + 1 & 0xFFFFFFFF
    return frame[6:12] + frame[:6] + answer_of(target, source, ports, ack, (SYN, 4)[kind])


def answer_of(source: bytes, target: bytes, ports: bytes, ack: int, flag: int) -> bytes:
    """From the Ethernet type on: a SYN+ACK or RST+ACK with the sequence number 0x7777."""
    tcp = ports + struct.pack("!IIBBHHH", 0x7777, ack, 0x50, flag | ACK, 8192, 0, 0)
    check = summed(source + target + struct.pack("!II", 20, 6) + tcp)
    tcp = tcp[:16] + check + tcp[18:]
    if len(source) == 16:
        return b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, 20, 6, 64) + source + target + tcp
    head = struct.pack("!BBHHHBBH", 0x45, 0, 40, 7, 0, 64, 6, 0)
    return b"\x08\x00" + head[:10] + summed(head + source + target) + source + target + tcp


def forge(to_mac: str, source: str, target: str, port: str, to_port: str) -> None:
    """One SYN+ACK from an address that is not ours."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    wire.bind(("s0", 0))
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = [socket.inet_pton(family, one) for one in (source, target)]
    macs = bytes.fromhex((to_mac + "02005e000080").replace(":", ""))
    ports = struct.pack("!HH", int(port), int(to_port))
    wire.send(macs + answer_of(ends[0], ends[1], ports, 1, SYN))
    tell(sent=1)


if __name__ == "__main__":
    every = (batches, steady, crowd, syns, talk, waker, forge)
    kinds: dict[str, Callable[..., None]] = {kind.__name__: kind for kind in every}
    kinds[sys.argv[1]](*sys.argv[2:])
