"""What the DarkFlow paper (Waseda University, 2011) saw, to stand beside our own figures."""

from __future__ import annotations

# 4.1.2, Fig. 6: (delay in ns, share of SYN+ACKs that came within it).
SYN_ACK_WITHIN = ((1_000_000, 0.740), (10_000_000, 0.981), (30_000_000, 0.9981))
SYN_ACKS, LATE_SYN_ACKS = 1_579_832, 46
# 4.1.3, Table 1: what came first after a SYN+ACK later than 5 s.
TRACES = {"rst_by_client": 19, "rst_by_server": 4, "fin": 0, "silence": 23}
# 4.3.2, Table 2: port -> (packets, unique sources).
PORTS = {445: (3_234_928, 384_803)}
# Fig. 10: (packets, share of the sources that send so many at most).
SOURCES_WITHIN = ((20, 0.98),)
# Fig. 11.
TARGETS_10, TARGETS_20_40, TARGETS_BUSY = 0.30, 0.50, 12

FIG5 = (
    "Many flows sent one SYN only; the others had peaks at 3 and 6 s. Linux 2.6 resent after 3, 6,"
    " 12, 24 and 48 s and gave up at 96 s. Today's Linux resends after about 1, 2, 3, 4, 5, 7, 11,"
    " 19, 35 and 68 s, so peaks lie elsewhere."
)
FIG6 = (
    "74.0% of the SYN+ACKs came within 1 ms, 98.1% within 10 ms, 99.81% within 30 ms; 46 of"
    " 1,579,832 (0.0029%) after more than 5 s. From this follows T = 5 s."
)
FIG8 = "Spikes wherever a scan crossed the network."
FIG9 = (
    "Read every 10 s, with 60 s until an idle flow is forgotten: more than 100,000 flows in the"
    " table made no difference to the machine's load."
)
FIG10 = "98% of the sources sent 20 packets or fewer."
FIG11 = (
    "30% of the addresses got 10 packets or fewer, 50% got 20 to 40, and 12 addresses more than"
    " 10,000."
)
TABLE1 = (
    "Of 46 SYN+ACKs later than 5 s: 19 were answered by a RST from the client, 4 followed by a RST"
    " from the server, none by a FIN, 23 by silence."
)
TABLE2 = "Port 445 led with 3,234,928 packets from 384,803 sources."

# 4.1.1: when Linux 2.6 sent its SYNs, in seconds; it gave up at LINUX_GIVES_UP_S.
LINUX_SYNS_S, LINUX_GIVES_UP_S = (0, 3, 6, 12, 24, 48), 96
# 4.2: Mbit/s on 1000Base-T, the same beside an empty table and 100,000 flows.
THROUGHPUT_MBIT_S, THROUGHPUT_FLOWS = 950.2, 100_000
# 4.2, Fig. 7: (comparisons, us from the real host's answer until the honeypot was blocked).
CUT_US = ((1, 19), (10_000, 92))
