"""IPv4 and IPv6 in nft's words: how the ruleset names addresses, flows and what an error quotes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """The words of one family."""

    digit: str
    ip: str
    address: str
    # A packet's flow by raw offsets, as the one that an ICMP error quotes has to be read: nft has
    # no words for that, and compares only like with like. `plain`: where these offsets hold.
    plain: str
    raw: tuple[str, str, str, str]
    error: str
    quoted: str

    @property
    def there(self) -> str:
        """The flow of a client's packet."""
        return f"{self.ip} saddr . tcp sport . {self.ip} daddr . tcp dport"

    @property
    def back(self) -> str:
        """The flow of a packet towards the client."""
        return f"{self.ip} daddr . tcp dport . {self.ip} saddr . tcp sport"

    @property
    def answer(self) -> str:
        """One answer. Not the client's address: nft 1.0.6 has no room for it in IPv6."""
        return f"{self.ip} saddr . tcp sport . tcp dport . tcp sequence . tcp ackseq"

    @property
    def raw_there(self) -> str:
        """`there` by offsets."""
        return " . ".join(self.raw)

    @property
    def raw_back(self) -> str:
        """`back` by offsets."""
        return " . ".join((*self.raw[2:], *self.raw[:2]))


FAMILIES = (
    Family(
        "4", "ip", "ipv4_addr", "ip hdrlength 5",
        ("@nh,96,32", "@nh,160,16", "@nh,128,32", "@nh,176,16"),
        "icmp type destination-unreachable icmp code != frag-needed @th,64,8 0x45 @th,136,8 6",
        "@th,160,32 . @th,224,16 . @th,192,32 . @th,240,16",
    ),
    Family(
        "6", "ip6", "ipv6_addr", "ip6 nexthdr tcp",
        ("@nh,64,128", "@nh,320,16", "@nh,192,128", "@nh,336,16"),
        "icmpv6 type destination-unreachable @th,64,4 6 @th,112,8 6",
        "@th,128,128 . @th,384,16 . @th,256,128 . @th,400,16",
    ),
)  # fmt: skip
