"""Which T fits a network (paper, section 4.1): few live flows called dark, and clients that wait.

A longer T calls fewer live flows dark; a shorter one answers more clients before they give up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from darkflow.analysis.proportions import interval, needed

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Waiting:
    """What was measured in one network; the lists go with the candidates for T.

    answers: attempts that were answered, at whatever time. later: those of them later than T.
    dark: flows that nobody answered. resent: those with a second SYN. waiting: those with a SYN
    later than T. quantiles_ns: of the delays of answers (p50, p99, max), where they are known.
    """

    network: str
    answers: int
    later: tuple[int, ...]
    dark: int
    resent: int
    waiting: tuple[int, ...]
    quantiles_ns: dict[str, int | None]


def tuned(measured: Waiting, grid_ns: Sequence[int], bound: float) -> dict[str, Any]:
    """The document of one network: every candidate, the T that fits, and why in a sentence.

    bound: the largest share of live flows that may be called dark. T is the first candidate whose
    share is below that with 95% confidence; null if there is none.
    """
    candidates: list[dict[str, Any]] = []
    for at, hold_ns in enumerate(grid_ns):
        low, high = interval(measured.later[at], measured.answers)
        waiting = measured.waiting[at]
        candidates.append({
            "hold_ns": hold_ns,
            "later": measured.later[at],
            "false_dark": measured.later[at] / measured.answers if measured.answers else None,
            "false_dark_low": low,
            "false_dark_high": high,
            "waiting": waiting,
            "waiting_share": waiting / measured.dark if measured.dark else None,
            "waiting_share_of_resent": waiting / measured.resent if measured.resent else None,
        })  # fmt: skip
    fits = [row for row in candidates if row["false_dark_high"] <= bound]
    chosen = fits[0] if fits else None
    return {
        "network": measured.network,
        "answers": measured.answers,
        "dark": measured.dark,
        "resent": measured.resent,
        "reply_delay_ns": measured.quantiles_ns,
        "bound": bound,
        "hold_ns": chosen["hold_ns"] if chosen else None,
        "more_answers_needed": None if chosen else _more(measured, bound),
        "why": _reason(measured, candidates, chosen, bound),
        "candidates": candidates,
    }


def _more(measured: Waiting, bound: float) -> int | None:
    """Answered attempts that are lacking for the longest T; None if more would not help."""
    enough = needed(measured.later[-1], measured.answers, bound)
    return None if enough == inf else max(int(enough) - measured.answers, 1)


def share_text(share: float) -> str:
    """A share as a percentage with two figures that say something."""
    percent = 100 * share
    if percent == 0 or percent >= 10:
        return f"{percent:.0f}%" if percent in (0, 100) else f"{percent:.1f}%"
    return f"{float(f'{percent:.2g}'):.10f}".rstrip("0").rstrip(".") + "%"


def time_text(t_ns: int) -> str:
    """A candidate as the setting --hold takes it."""
    return f"{t_ns / SECOND_NS:g}s"


def _reason(
    measured: Waiting,
    candidates: list[dict[str, Any]],
    chosen: dict[str, Any] | None,
    bound: float,
) -> str:
    answers = f"{measured.answers:,} answered attempts"
    if chosen is None:
        last = candidates[-1]
        more = _more(measured, bound)
        if more is None:
            return (
                f"no T up to {time_text(last['hold_ns'])} keeps to {share_text(bound)}: of"
                f" {answers} {last['later']:,} came later than that"
                f" ({share_text(last['false_dark'])}); raise --bound, or find out why answers are"
                " so slow"
            )
        return (
            f"too little was seen: {measured.network} needs {more:,} more answered attempts"
            f" (of {measured.answers:,} now) before any T can be shown to keep to"
            f" {share_text(bound)}"
        )
    text = (
        f"{time_text(chosen['hold_ns'])}: of {answers} {chosen['later']:,} came later, so with 95%"
        f" confidence at most {share_text(chosen['false_dark_high'])} of live flows are called"
        f" dark, within {share_text(bound)}"
    )
    at = candidates.index(chosen)
    if at:
        before = candidates[at - 1]
        text += (
            f"; at {time_text(before['hold_ns'])} it could be"
            f" {share_text(before['false_dark_high'])}"
        )
    if chosen["waiting_share_of_resent"] is not None:
        text += (
            f"; {share_text(chosen['waiting_share_of_resent'])} of the {measured.resent:,} clients"
            " that resend a SYN are still there then"
        )
    return text
