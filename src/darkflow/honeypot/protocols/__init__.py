"""What the built-in responder says: one small machine for each protocol, without I/O."""
