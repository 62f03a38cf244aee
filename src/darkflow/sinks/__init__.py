"""Where events go: JSON lines, dark.pcap, the summary."""
