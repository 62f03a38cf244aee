TOOL_WORDS: tuple[str, ...]

def tool_words(tool: int, sureness: int) -> tuple[str | None, str | None]:
    """The names of a tool and of its confidence; two times None if no tool is known."""
