from darkflow.flow.batch import Frames

Flow = tuple[bytes, int, bytes, int]

class Session:
    """One session: times in ns since 1970 (0: not yet); packets, bytes of payload and of frames."""

    flow: Flow
    diverted_ns: int
    syn_ack_ns: int
    handshake_ns: int
    last_ns: int
    ended_ns: int
    answered_ns: int
    orig_packets: int
    resp_packets: int
    orig_bytes: int
    resp_bytes: int
    orig_frame_bytes: int
    resp_frame_bytes: int
    payload_total: int
    payload: bytes
    end: str
    @property
    def expected(self) -> tuple[int, ...]:
        """One of these sequence numbers it expects next of the client; () before it answered."""

class Tracker:
    """The sessions of diverted flows."""

    held_bytes: int
    open_sessions: int
    packets: int
    unknown: int
    payloads_not_kept: int
    def __init__(
        self, honeypot_mac: bytes, idle_ns: int, first_bytes: int = 4096, kept_bytes: int = ...
    ) -> None: ...
    def __len__(self) -> int: ...
    def begin(self, flow: Flow, t_ns: int) -> None:
        """The flow is diverted from now on."""
    def close(self, flow: Flow, t_ns: int) -> Session | None:
        """The flow was cut at `t_ns`: packets after that do not count. Its session, if it was open.

        `cut` ends it, when all that came before has been observed.
        """
    def cut(self, session: Session, t_ns: int, why: str, answered_ns: int = 0) -> Session | None:
        """The flow is diverted no longer: the session ends, if it has not ended before.

        answered_ns: when the answer came that cut it, 0 if none did.
        """
    def observe(self, frames: Frames) -> list[Session]:
        """Frames in the order of time; sessions that ended with them."""
    def expire(self, now_ns: int) -> tuple[list[Session], list[Flow]]:
        """At network time `now_ns`: (sessions that ended idle, flows that are known no longer)."""
    def shift(self, by_ns: int) -> None:
        """The clock was set: what is idle has been so for as long as before."""
    def open(self) -> list[Session]:
        """The sessions that are open now."""
