"""Tells whether a mirror carries both directions: one that does not makes live hosts look dark."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from darkflow.flow.senders import Senders

# What a mirror must have shown in a window before its silence means something.
ENOUGH = 100
# Hosts that send answer more of what they are asked than this, scanners and firewalls or not.
LEAST_SHARE = 0.01

SILENT = (
    "SYNs come but not one answer: does the mirror carry only one direction? Until it carries"
    " both, every live host looks dark"
)
ORPHANED = (
    "SYNs come but not one answer to them, and answers to no SYN that was seen: does the mirror"
    " carry only one direction of each connection? Until it carries both, every live host looks"
    " dark"
)
UNANSWERED = (
    "hosts that are seen sending hardly ever answer: does the mirror lose a part of what they"
    " send? Until it carries everything, live hosts look dark"
)
AGAIN = "answers are seen again: the mirror carries both directions"
ANSWERS = ("answered", "refused", "late_answers")


class MirrorCheck:
    """Looks at what a window of time has shown; says a finding once, until it is over."""

    def __init__(self) -> None:
        self.finding = ""
        self._before: dict[str, int] = {}

    def look(self, counts: Mapping[str, int], senders: Iterable[Senders]) -> str:
        """The line to be said at the end of a window, or "".

        counts: the engines' counters, added up, since the run began.
        """
        change = {name: count - self._before.get(name, 0) for name, count in counts.items()}
        if change["attempts"] < ENOUGH:
            # The window goes on until there is enough to tell.
            return ""
        self._before = dict(counts)
        told = [one.turn() for one in senders]
        dark_at_senders = sum(dark for dark, _ in told)
        answers = sum(change[name] for name in ANSWERS)
        finding = ""
        if answers == 0:
            finding = ORPHANED if change["unsolicited"] >= ENOUGH else SILENT
        elif (
            dark_at_senders >= ENOUGH
            and answers < LEAST_SHARE * (answers + dark_at_senders)
            and all(sure for _, sure in told)
        ):
            finding = UNANSWERED
        before, self.finding = self.finding, finding
        if finding == before:
            return ""
        return finding or AGAIN
