TOOL_WORDS: tuple[str, ...]
