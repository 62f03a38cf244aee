"""Tells whether a mirror carries both directions: one that does not makes live hosts look dark."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from darkflow.flow.answers import Answers
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
# Silence means something when so many answers were to be expected, and after so long: a scan of
# what is not there lasts for a moment, or comes among others who are answered.
EXPECTED = 10
SILENCE_S = 5.0
NEVER_NS = 1 << 62

WAITING = (
    "no answer of a watched host was seen yet, so nothing is diverted: does the mirror carry both"
    " directions? (--no-answers-expected where no host is alive)"
)
STOPPED = (
    "the answers of live hosts have stopped, so nothing is diverted until one is seen: does the"
    " mirror still carry both directions?"
)
SEEN = "answers of watched hosts are seen: dark flows are diverted"


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
        answers = sum(change[name] for name in ANSWERS)
        over = answers > 0 and self.finding in (SILENT, ORPHANED)
        if change["attempts"] < ENOUGH and not over:
            # The window goes on until there is enough to tell.
            return ""
        if answers == 0 and 0 < self._expected(change["attempts"]) < EXPECTED:
            # Where few are there to answer, so many may well meet none of them.
            return ""
        self._before = dict(counts)
        told = [one.turn() for one in senders]
        dark_at_senders = sum(dark for dark, _ in told)
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

    def _expected(self, attempts: int) -> float:
        """How many of these would be answered, if as many as before the window were."""
        answers = sum(self._before.get(name, 0) for name in ANSWERS)
        return attempts * answers / max(self._before.get("attempts", 0), 1)


class Gate:
    """Whether a honeypot on a mirror may divert: only while answers of live hosts are seen there.

    Otherwise a mirror that carries one direction makes every live host look dark, and the honeypot
    would reset its connections. answers: one of each worker, perhaps more of them later.
    """

    def __init__(self, check: MirrorCheck, answers: Sequence[Answers]) -> None:
        self._check = check
        self._answers = answers
        self._before = 0
        self._attempts = 0
        self._since_s = float("-inf")
        self._stopped = False
        self._said = ""

    @property
    def since_ns(self) -> int:
        """Flows that began before are not diverted: whether they were answered is not known."""
        if self._check.finding:
            return NEVER_NS
        return min((one.first_ns for one in self._answers if one.first_ns), default=NEVER_NS)

    @property
    def trouble(self) -> str:
        """Why nothing is diverted, or ""."""
        if self._check.finding or self.since_ns != NEVER_NS:
            return self._check.finding
        return STOPPED if self._stopped else WAITING

    def look(self, counts: Mapping[str, int], now_s: float) -> list[tuple[str, str]]:
        """Called about once a second; lines to log.

        counts: the engines' counters, added up, since the run began.
        """
        if self._check.finding or self._is_silent(counts, now_s):
            self._stopped = True
            for one in self._answers:
                one.forget()
        trouble = self.trouble
        # At the start there is nothing to be said before somebody is not diverted.
        if trouble == self._said or (trouble == WAITING and not counts["dark"]):
            return []
        before, self._said = self._said, trouble
        if trouble == self._check.finding != "":
            return []  # who looks at the mirror has said it
        return [("warning", trouble)] if trouble else [("info", SEEN)] if before else []

    def _is_silent(self, counts: Mapping[str, int], now_s: float) -> bool:
        answers = sum(counts[name] for name in ANSWERS)
        if answers != self._before:
            self._before, self._attempts, self._since_s = answers, counts["attempts"], now_s
            return False
        asked = counts["attempts"] - self._attempts
        # Of those before, this share was answered.
        expected = asked * answers / max(self._attempts, 1)
        return expected >= EXPECTED and now_s - self._since_s >= SILENCE_S
