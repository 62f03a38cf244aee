"""Where dark flows go instead: the data plane, the held SYN, the honeypot's namespace."""
