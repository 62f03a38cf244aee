"""What packets mean: decode, packet rows, delay queue, flow table, engine. No clock, no I/O."""
