"""Tells the store which watched addresses and ports answer: a row of each, every so often."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop

import polars as pl

from darkflow.flow.batch import Events
from darkflow.sinks.endpoints import GRID_NS, Endpoints

TYPE_CHECKING = False
if TYPE_CHECKING:
    from darkflow.flow.networks import Networks
    from darkflow.sinks.store import Store

# Rows are given to the store before there are so many, however short the time was.
MOST = 50_000
DAY_US = 86_400_000_000


class Answered:
    """A sink for one loop; its engine must tell answers in time (Engine(tells=True))."""

    def __init__(self, store: Store, networks: Networks, seed: bytes, every_ns: int) -> None:
        self.name = f"{store.name}, table answered"
        self._store = store
        self._every_ns = every_ns
        self._begun_ns: int | None = None
        self._table = Endpoints(networks, seed, 2 * MOST, answers_only=True)

    def write(self, events: Events) -> None:
        """Count the answers; the disk is not touched here."""
        if not len(events):
            return
        self._table.write(events)
        if self._begun_ns is None:
            self._begun_ns = self._table.last_ns
        if self._table.last_ns - self._begun_ns >= self._every_ns or self._table.count >= MOST:
            self._give()

    def close(self) -> None:
        """What is left goes to the store."""
        self._give()

    def _give(self) -> None:
        """The rows are made by the thread that writes them."""
        self._begun_ns = self._table.last_ns
        if self._table.count:
            taken = self._table.take()
            self._store.add_later(
                "answered", lambda schema: answered_rows(taken, schema), taken.count
            )


def answered_rows(table: Endpoints, schema: pl.Schema) -> pl.DataFrame:
    """Rows of the store's table `answered`."""
    edges = (*GRID_NS, None)
    rows = []
    for row in table.rows():
        address, port, _, _, _, _, answered, refused, late, first_ns, last_ns, delays = row
        family = AF_INET if len(address) == 4 else AF_INET6
        bins = [
            {"le": edge, "count": count} for edge, count in zip(edges, delays, strict=True) if count
        ]
        t_us = first_ns // 1000
        rows.append(
            (t_us, t_us // DAY_US, inet_ntop(family, address), port, answered, refused, late,
             first_ns, last_ns, bins)
        )  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row").sort("timestamp")
