"""The kernel's part as text: everything that nftables does for Darkflow, out of a Plan.

Pure: what is loaded can be read, compared and loaded by hand (`nft -f`). One chain for each place
where packets come in, one chain of each family for what happens there. `docs/dataplane.md` tells
the same in words.
"""

from __future__ import annotations

from darkflow.divert import allowlist
from darkflow.divert.families import FAMILIES, Family
from darkflow.divert.plan import SECOND_NS, Plan, watched

TABLE = "darkflow"
# Named counters of the table, the same in every mode, and what each of them counts.
COUNTERS = {
    "diverted": "packets of clients that went to the honeypot",
    "copied": "packets that went to the honeypot or sensor as copies",
    "answered": "packets of the honeypot that went to clients",
    "limited": "SYN+ACKs of the honeypot beyond what may be sent in a second",
    "dropped": "packets from the honeypot that belong to no diverted flow",
    "strays": "resets of the honeypot to packets of connections that it does not know",
    "cut_syn_ack": "flows cut by a late SYN+ACK",
    "cut_rst": "flows cut by a late RST",
    "alive": "ACKs of hosts whose flow was held or diverted: they are there, and have it back",
    "kept": "late answers to clients that had already talked to the honeypot",
    "echoes": "the honeypot's own answers, seen again on the mirror",
    "shielded": "ICMP errors about held or diverted flows",
}
# Sets of flows have these, with 4 or 6 behind it; user space fills the first.
FLOWS, CUT, SERVED = "flows", "cut", "served"

# Before other tables' chains: what they do with a packet that is diverted no longer matters.
PRIORITY = -10
# The kernel walks a whole set to find what has expired: see docs/dataplane.md.
GC_NS = 10 * SECOND_NS
# A packet that was on its way when its flow was cut must find it cut: microseconds would do.
CUT_NS, MOST_CUT = SECOND_NS, 1 << 18
# What follows a late SYN+ACK is of interest for so long: the paper's Table 1.
TRACE_NS = 60 * SECOND_NS
# The mirror shows the honeypot's answer again within this time. A walk for what has expired ends
# without success when flows are put into the table meanwhile: so there are many short ones.
ECHO_NS, ECHO_GC_NS, MOST_ECHOES = SECOND_NS, SECOND_NS // 10, 1 << 20
# Beyond T a SYN is held until its flow is diverted or is not.
HELD_MORE_NS = SECOND_NS
# ICMP errors are held back for so long after a sign of life from user space.
RUNNING, RUNNING_NS = "running", 5 * SECOND_NS
# Of a cut's packet NFLOG carries the headers.
LOGGED_BYTES = 128
# What NFLOG says of an end that is traced: who has sent it.
BY_CLIENT, BY_SERVER = "client", "server"
# What it says of a host that speaks in a flow that is held or diverted.
BY_ALIVE = "alive"


def render(plan: Plan) -> str:
    """The whole ruleset, which replaces one that is there already, for `nft -f`."""
    parts = [
        *_sets(plan),
        *_lists(plan),
        _counters(),
        *_limit(plan),
        _outside(plan),
        *_inside(plan),
    ]
    for family in FAMILIES:
        parts += [*_trace(plan, family), *_watch(plan, family), *_syn(plan, family)]
        parts += [*_alive(plan, family), _answer(plan, family), _divert(plan, family)]
    parts += [*_honeypot(plan), *_shield(plan)]
    return (
        f"# Darkflow, {plan.mode}. It replaces what a former run has left.\n"
        f"add table netdev {TABLE}\n"
        f"delete table netdev {TABLE}\n"
        f"table netdev {TABLE} {{\n" + "\n".join(parts) + "}\n"
    )


def _block(head: str, *lines: str) -> str:
    """A set, counter or chain; empty lines are left out."""
    inner = "".join(f"\t\t{line}\n" for line in lines if line)
    return f"\t{head} {{\n{inner}\t}}\n"


def _base(name: str, hook: str, device: str, policy: str, *lines: str) -> str:
    """A chain where packets come in (ingress) or go out (egress) of a device."""
    where = f'type filter hook {hook} device "{device}" priority {PRIORITY}; policy {policy};'
    return _block(f"chain {name}", where, *lines)


def _by_family(name: str) -> tuple[str, str]:
    # Two comparisons cost less than the look-up of a verdict map.
    return f"meta protocol ip goto {name}4", f"meta protocol ip6 goto {name}6"


def _time(time_ns: int) -> str:
    """A time as nft writes it, in whole ms."""
    ms = max(1, time_ns // 1_000_000)
    return f"{ms // 1000}s" if ms % 1000 == 0 else f"{ms}ms"


def _set(name: str, of: str, timeout_ns: int, size: int, gc_ns: int = 0) -> str:
    # What lives for a second is looked for each second, which is the kernel's default.
    gc = f"gc-interval {_time(gc_ns)}" if gc_ns else ""
    timeout = f"timeout {_time(timeout_ns)}"
    return _block(f"set {name}", of, "flags dynamic,timeout", timeout, gc, f"size {size}")


def _sets(plan: Plan) -> list[str]:
    """Of both families; what plays no part in a mode is not there."""
    parts = []
    for family in FAMILIES:
        digit, idle_ns = family.digit, plan.idle_ns
        flow = f"type {family.address} . inet_service . {family.address} . inet_service"
        parts.append(_set(FLOWS + digit, flow, idle_ns, plan.flows, GC_NS))
        parts.append(_set(CUT + digit, flow, min(CUT_NS, plan.hold_ns), MOST_CUT))
        if plan.mode != "sensor":
            parts.append(_set(f"traced{digit}", flow, TRACE_NS, MOST_CUT))
        if plan.established_wins:
            parts.append(_set(f"{SERVED}{digit}", flow, idle_ns, plan.flows, GC_NS))
        if plan.mode == "mirror":
            answer = f"typeof {family.answer}"
            parts.append(_set(f"echo{digit}", answer, ECHO_NS, MOST_ECHOES, ECHO_GC_NS))
        if plan.holds:
            # Who stands in the way has diverted flows there, too.
            size = plan.held + (plan.flows if plan.mode == "inline" else 0)
            quoted = f"typeof {family.quoted}"
            parts.append(_set(f"held{digit}", quoted, _held_ns(plan), size, GC_NS // 2))
    for family, networks in zip(FAMILIES, watched(plan.networks), strict=True):
        if plan.holds and networks:
            elements = ", ".join(networks)
            parts.append(
                _block(f"set watched{family.digit}", f"type {family.address}", "flags interval",
                       f"elements = {{ {elements} }}")
            )  # fmt: skip
    return parts


def _lists(plan: Plan) -> list[str]:
    """What is held of SYNs, and for how long the shield may stand without user space."""
    parts = []
    if plan.holds:
        for name, kind, elements in allowlist.sets(plan.allowed):
            listed = f"elements = {{ {elements} }}" if elements else ""
            parts.append(_block(f"set {name}", *kind.split("; "), listed))
    if plan.shielded:
        lines = ("type ether_type", "flags timeout", f"timeout {_time(RUNNING_NS)}",
                 "elements = { ip, ip6 }")  # fmt: skip
        parts.append(_block(f"set {RUNNING}", *lines))
    return parts


def _held_ns(plan: Plan) -> int:
    return plan.hold_ns + HELD_MORE_NS


def _counters() -> str:
    return "".join(f"\tcounter {name} {{ }}\n" for name in COUNTERS)


def _limit(plan: Plan) -> list[str]:
    """One for both families. A forged SYN gets its SYN+ACK twice, and more for being sent again."""
    if not plan.limits_answers:
        return []
    # As the dispatcher's buckets: two seconds' worth at once.
    rate = f"rate over {plan.syn_acks}/second burst {2 * plan.syn_acks} packets"
    return [_block("limit syn_acks", rate)]


def _outside(plan: Plan) -> str:
    return _base("outside", "ingress", plan.outside, "accept", *_by_family("outside"))


def _inside(plan: Plan) -> list[str]:
    if plan.inside is None:
        return []
    parts = [_base("inside", "ingress", plan.inside, "accept", *_by_family("inside"))]
    for family in FAMILIES:
        spoken = _spoken(family) if plan.holds else ""
        parts += _marked(plan, f"inside{family.digit}", family, _late(family), spoken)
    return parts


def _marked(plan: Plan, name: str, family: Family, cases: dict[str, str], *lines: str) -> list[str]:
    """A chain that looks at SYN, FIN and RST apart; most packets carry none: for them `lines`."""
    # Only a FIN or RST ends what a late answer has begun.
    ends = "" if plan.mode == "sensor" else "fin | "
    trace = f"tcp flags & (fin | rst) != 0 jump trace{family.digit}" if ends else ""
    marks = [trace, _flags(cases) if cases else ""]
    if not any(marks):
        return [_block(f"chain {name}", *lines)]
    jump = f"tcp flags & ({ends}syn | rst) != 0 jump {name}_marked"
    return [_block(f"chain {name}", jump, *lines), _block(f"chain {name}_marked", *marks)]


def _trace(plan: Plan, family: Family) -> list[str]:
    """The first end that follows a late SYN+ACK is told, with who has sent it."""
    if plan.mode == "sensor":
        return []
    digit = family.digit
    lines = [
        f"{way} @traced{digit} delete @traced{digit} {{ {way} }} {_log(plan, who)}"
        for way, who in ((family.there, BY_CLIENT), (family.back, BY_SERVER))
    ]
    return [_block(f"chain trace{digit}", *lines)]


def _log(plan: Plan, what: str = "") -> str:
    prefix = f'prefix "{what}" ' if what else ""
    return f"log {prefix}group {plan.group} snaplen {LOGGED_BYTES} queue-threshold 1"


def _flags(cases: dict[str, str]) -> str:
    verdicts = ", ".join(f"{flags} : {verdict}" for flags, verdict in cases.items())
    return f"tcp flags & (syn | rst | ack) vmap {{ {verdicts} }}"


def _late(family: Family) -> dict[str, str]:
    """Only these can be answers of a real host to a SYN."""
    jump = f"jump answer{family.digit}"
    return {"syn | ack": jump, "rst": jump, "rst | ack": jump, "syn | rst | ack": jump}


def _spoken(family: Family) -> str:
    """A segment of no handshake towards a client whose SYN is held."""
    digit = family.digit
    marks = "tcp flags & (syn | rst | ack) == ack"
    return f"{marks} {family.plain} {family.raw_back} @held{digit} goto alive{digit}"


def _alive(plan: Plan, family: Family) -> list[str]:
    """A host that has a connection answers a forged SYN in it with an ACK (RFC 5961, section 4).

    Neither SYN+ACK nor RST: the attempt ends dark, and would take the connection away from it.
    """
    if not plan.holds:
        return []
    digit, back, inline = family.digit, family.back, plan.mode == "inline"
    # A mirror shows the honeypot's ACKs as well.
    own = "" if inline else f"{back} @{FLOWS}{digit} return"
    kept = f'{back} @{SERVED}{digit} counter name "kept" return'
    lines = [
        own,
        kept if plan.established_wins and inline else "",
        f"update @{CUT}{digit} {{ {back} timeout {_time(_held_ns(plan))} }}",
        f"delete @{FLOWS}{digit} {{ {back} }}" if inline else "",
        f"delete @held{digit} {{ {family.raw_back} }}",
        f'counter name "alive" {_log(plan, BY_ALIVE)} accept',
    ]
    return [_block(f"chain alive{digit}", *lines)]


def _watch(plan: Plan, family: Family) -> list[str]:
    """A client's packet, and on a mirror whatever passes."""
    digit = family.digit
    cases = _late(family) if plan.inside is None else {}
    if _syn(plan, family):
        cases["syn"] = f"jump syn{digit}"
    known = f"{family.there} @{FLOWS}{digit} goto divert{digit}"
    spoken = _spoken(family) if plan.mode == "mirror" else ""
    return _marked(plan, f"outside{digit}", family, cases, spoken, known)


def _syn(plan: Plan, family: Family) -> list[str]:
    """A SYN, whatever becomes of it: it is held from now on, and nobody has talked in its flow."""
    digit, v4_v6 = family.digit, watched(plan.networks)
    there = v4_v6[0] if digit == "4" else v4_v6[1]
    lines = []
    if plan.established_wins:
        lines.append(f"delete @{SERVED}{digit} {{ {family.there} }}")
    if plan.holds and (there or not plan.networks):
        lines.append(f"{family.ip} daddr != @watched{digit} return" if there else "")
        lines += allowlist.rules(family)
        lines.append(f"{family.plain} update @held{digit} {{ {family.raw_there} }}")
    return [_block(f"chain syn{digit}", *lines)] if lines else []


def _answer(plan: Plan, family: Family) -> str:
    """A SYN+ACK or RST towards a client. The cut is made here, before the packet goes on.

    A packet that another processor has in hand may write its flow's time anew just after the flow
    was deleted, which brings it back: therefore the flow is noted as cut first, and whoever has
    written a time looks there next.
    """
    digit, back = family.digit, family.back
    log = _log(plan)
    mirrored = plan.mode == "mirror"
    held = f"{family.plain} delete @held{digit} {{ {family.raw_back} }}"
    return _block(
        f"chain answer{digit}",
        held if plan.holds else "",
        f"{back} != @{FLOWS}{digit} return",
        f'{family.answer} @echo{digit} counter name "echoes" return' if mirrored else "",
        f'{back} @{SERVED}{digit} counter name "kept" return' if plan.established_wins else "",
        f"update @{CUT}{digit} {{ {back} }}",
        f"delete @{FLOWS}{digit} {{ {back} }}",
        f'tcp flags rst counter name "cut_rst" {log} accept',
        f"update @traced{digit} {{ {back} }}" if plan.mode != "sensor" else "",
        f'counter name "cut_syn_ack" {log} accept',
    )


def _divert(plan: Plan, family: Family) -> str:
    """A client's packet in a diverted flow."""
    digit, there = family.digit, family.there
    served = f"tcp flags & (syn | rst | ack) == ack update @{SERVED}{digit} {{ {there} }}"
    idle = _time(plan.idle_ns)
    held = f"{family.plain} update @held{digit} {{ {family.raw_there} timeout {idle} }}"
    take = f'counter name "copied" dup to "{plan.hp0}" accept'
    # The real host gets every SYN, so that it can speak as soon as it is there.
    share = f"tcp flags & (syn | rst | ack) == syn {take}"
    # The honeypot knows no VLANs; a tag with the number 0 is as none.
    untag = "vlan id != 0 vlan id set 0"
    mac = f"ether daddr set {plan.hp1_mac.lower()} " if plan.mode == "mirror" else ""
    forward = f'counter name "diverted" {mac}fwd to "{plan.hp0}"'
    ways = {"mirror": [untag, forward], "inline": [share, untag, forward], "sensor": [take]}
    return _block(
        f"chain divert{digit}",
        f"update @{FLOWS}{digit} {{ {there} }}",
        f"{there} @{CUT}{digit} goto over{digit}",
        served if plan.established_wins else "",
        held if plan.mode == "inline" else "",
        *ways[plan.mode],
    ) + _block(f"chain over{digit}", f"delete @{FLOWS}{digit} {{ {there} }}", "accept")


def _honeypot(plan: Plan) -> list[str]:
    """Nothing leaves the honeypot but its half of diverted flows; a sensor says nothing in them."""
    if plan.mode == "sensor":
        parts = [_base("honeypot", "ingress", plan.hp0, "accept", *_by_family("honeypot"))]
        for family in FAMILIES:
            silent = f'{family.back} @{FLOWS}{family.digit} counter name "dropped" drop'
            parts.append(_block(f"chain honeypot{family.digit}", silent))
        return parts
    rest = 'counter name "dropped"'
    parts = [_base("honeypot", "ingress", plan.hp0, "drop", *_by_family("honeypot"), rest)]
    parts.append(_block("chain denied", f"{rest} drop"))
    for family in FAMILIES:
        parts += _from_honeypot(plan, family)
    if plan.mode == "inline":
        # A SYN's copy shares its bytes with the SYN; here it is alone. Nft's own words for the
        # address ask where the packet has come in, which is forgotten at this point.
        mac = f"@ll,0,48 set 0x{plan.hp1_mac.lower().replace(':', '')}"
        parts.append(_base("to_honeypot", "egress", plan.hp0, "accept", mac))
    return parts


def _from_honeypot(plan: Plan, family: Family) -> list[str]:
    digit, back = family.digit, family.back
    served = f"{back} @{SERVED}{digit} update @{SERVED}{digit} {{ {back} }}"
    mirrored = plan.mode == "mirror"
    answer = "tcp flags & (syn | ack) == syn | ack"
    limit = f'{answer} limit name "syn_acks" counter name "limited" drop'
    parts = [
        _block(
            f"chain honeypot{digit}",
            # A route of its own in the header could lead elsewhere, and in fragments no rule sees
            # TCP's header whole.
            "ip hdrlength != 5 goto denied" if digit == "4" else "ip6 nexthdr != tcp goto denied",
            "ip frag-off & 0x3fff != 0 goto denied" if digit == "4" else "",
            # It opens no connection, not even in a flow whose client's address was forged.
            "tcp flags & (syn | ack) == syn goto denied",
            # A reset without ACK is for an ACK that the honeypot does not know: the client's, of a
            # connection that somebody else has begun (RFC 9293, 3.5.2). Its own ends have an ACK.
            'tcp flags & (rst | ack) == rst counter name "strays" drop',
            f"{back} @{FLOWS}{digit} goto reply{digit}",
            "goto denied",
        ),
        _block(
            f"chain reply{digit}",
            f"update @{FLOWS}{digit} {{ {back} }}",
            f"{back} @{CUT}{digit} goto silence{digit}",
            limit if plan.limits_answers else "",
            served if plan.established_wins else "",
            f"tcp flags & (syn | rst) != 0 jump echo{digit}" if mirrored else "",
            'counter name "answered" accept',
        ),
        _block(f"chain silence{digit}", f"delete @{FLOWS}{digit} {{ {back} }}", "goto denied"),
    ]
    if mirrored:
        # What is not noted would cut its own flow: better that the honeypot says it again.
        note = f"update @echo{digit} {{ {family.answer} }} return"
        parts.append(_block(f"chain echo{digit}", note, "goto denied"))
    return parts


def _shield(plan: Plan) -> list[str]:
    if not plan.shielded:
        return []
    lines = [
        f"{family.error} {family.quoted} @held{family.digit} meta protocol @{RUNNING}"
        ' counter name "shielded" drop'
        for family in FAMILIES
    ]
    return [_base("shield", "egress", plan.outside, "accept", *lines)]
