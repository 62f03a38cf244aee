"""Damage to frames and files as fuzzers do it, from a seed: the same seed, the same damage."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

Sample = tuple[int | None, int, bytes]

# Numbers at which lengths and offsets turn over.
EDGES = (0, 1, 2, 3, 4, 7, 8, 0x0F, 0x10, 0x1F, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xF0, 0xFE, 0xFF)


def damaged(data: bytes, random: Random, other: bytes = b"") -> bytes:
    """One to four changes: flipped bits, odd bytes and words, cuts, splices, things twice."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3, 4))):
        if not out:
            return random.randbytes(random.randrange(64))
        at = random.randrange(len(out))
        match random.randrange(9):
            case 0 | 1:
                out[at] ^= 1 << random.randrange(8)
            case 2:
                out[at] = random.choice(EDGES)
            case 3:
                word = random.choice((0, 1, len(out), 0x7FFF, 0xFFFF, random.getrandbits(16)))
                out[at : at + 2] = (word & 0xFFFF).to_bytes(2, random.choice(("big", "little")))
            case 4:
                word = random.choice((0, len(out), 0x7FFFFFFF, 0xFFFFFFFF, random.getrandbits(32)))
                out[at : at + 4] = word.to_bytes(4, random.choice(("big", "little")))
            case 5 | 6:
                del out[at:]
            case 7:
                where = random.randrange(len(other) + 1)
                out[at:] = other[where : where + random.randrange(1, 200)]
            case _:
                piece = out[at : at + random.randrange(1, 40)]
                out[at:at] = piece if random.random() < 0.5 else b""
                del out[at : at + len(piece) * (random.random() < 0.5)]
    return bytes(out)


def mutated(samples: Sequence[Sample], seed: int, count: int) -> list[Sample]:
    """`count` damaged frames; now and then under another link type."""
    random = Random(seed)
    links = sorted({link for _, link, _ in samples})
    found: list[Sample] = []
    for _ in range(count):
        t_ns, link, data = random.choice(samples)
        if random.random() < 0.1:
            link = random.choice(links)
        found.append((t_ns, link, damaged(data, random, random.choice(samples)[2])))
    return found
