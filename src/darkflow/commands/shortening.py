"""What `--adaptive` would have given on captures: a second engine beside the one that measures."""

from __future__ import annotations

from collections import Counter

from darkflow.analysis.proportions import interval
from darkflow.analysis.tuning import share_text, time_text
from darkflow.commands.adapting import adaptive_of
from darkflow.flow.engine import Engine

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from darkflow.flow.batch import Events, Packets
    from darkflow.flow.networks import Networks

SECOND_NS = 1_000_000_000


class Shortening:
    """Judges the packets that pass with T and shorter holds; counts how long dark flows were held.

    ValueError for settings that do not fit.
    """

    def __init__(self, settings: dict[str, Any], networks: Networks, seed: bytes) -> None:
        self.settings = settings
        sizes = (settings["queue_size"], settings["flow_table_size"])
        self.engine = Engine(settings["hold"], settings["idle"], sizes, seed)
        adaptive = adaptive_of(settings, networks, seed)
        if adaptive is not None:
            self.engine.adapt(adaptive)
        self.holds: Counter[int] = Counter()
        self.later = 0

    def stage(self, packets: Packets) -> Packets:
        """A stage of a pipeline; the packets go on as they are."""
        self._count(self.engine.observe(packets))
        return packets

    def finish(self, now_ns: int) -> None:
        """The captures have ended."""
        self._count(self.engine.finish(now_ns))

    def _count(self, batches: Iterable[Events]) -> None:
        for events in batches:
            for late, t_ns, t0_ns, *_ in events.verdicts():
                if late:
                    self.later += t_ns - t0_ns > self.engine.hold_ns
                else:
                    self.holds[t_ns - t0_ns] += 1

    def document(self) -> dict[str, Any]:
        """What came of it; times in ns, shares of the flows that were dark before T."""
        adaptive = self.engine.adaptive
        counters = {} if adaptive is None else adaptive.counters
        told = {name.removeprefix("adaptive_"): count for name, count in counters.items()}
        dark = self.holds.total()
        watched = told["early"] - told["unwatched"]
        return {
            "hold_ns": self.engine.hold_ns,
            "shortest_ns": self.settings["adaptive"],
            "max_false": self.settings["adaptive_max_false"],
            "dark": dark,
            **told,
            "false_share": told["false"] / watched if watched else None,
            "false_share_high": interval(told["false"], watched)[1],
            "later_than_hold": self.later,
            "mean_hold_ns": round(sum(ns * n for ns, n in self.holds.items()) / dark)
            if dark
            else None,
            "holds": [{"hold_ns": ns, "flows": self.holds[ns]} for ns in sorted(self.holds)],
        }


def as_text(document: dict[str, Any]) -> str:
    """The document for people: how much sooner, and at what cost."""
    head = f"--adaptive {time_text(document['shortest_ns'])}: "
    hold = time_text(document["hold_ns"])
    if not document["early"]:
        return (
            f"{head}no flow would have been dark before {hold}: of {document['dark']:,} dark flows"
            f" {document['listed']:,} went to where it was dark often and long, and it must be"
            f" shown on such flows first that at most {share_text(document['max_false'])} of them"
            " are answered after all\n"
        )
    parts = ", ".join(
        f"{share_text(row['flows'] / document['dark'])} after {time_text(row['hold_ns'])}"
        for row in document["holds"]
    )
    lost = document["unwatched"]
    return (
        f"{head}{document['dark']:,} dark flows would have been told after"
        f" {document['mean_hold_ns'] / SECOND_NS:.2f} s on average, not {hold}: {parts}.\n"
        f"Of {document['early']:,} that were dark before {hold} {document['false']:,} were answered"
        f" by then after all; with 95% confidence that is at most"
        f" {share_text(document['false_share_high'])}"
        f"{f' ({lost:,} of them were not watched so long)' if lost else ''}."
        f" {document['later_than_hold']:,} answers came later than {hold}: they are late with or"
        " without it.\n"
    )
