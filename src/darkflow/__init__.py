"""Darkflow finds the TCP flows that nobody answers: a darknet's view of a network full of hosts."""

__version__ = "0.1.0"
