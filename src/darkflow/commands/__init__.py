"""The commands: each wires sources, pipeline and sinks from settings, and prints."""
