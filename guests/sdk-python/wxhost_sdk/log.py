"""Lines for the people who run the bot. `print` writes there too."""

from wit_world.imports import logging as host

Level = host.Level


def debug(message: object) -> None:
    """What only helps to find a mistake."""
    write(Level.DEBUG, "bot", message)


def info(message: object) -> None:
    """What is good to know."""
    write(Level.INFO, "bot", message)


def warn(message: object) -> None:
    """What should be looked at."""
    write(Level.WARN, "bot", message)


def error(message: object) -> None:
    """What went wrong."""
    write(Level.ERROR, "bot", message)


def write(level: Level, context: str, message: object) -> None:
    """Any level, and a word for the part of the bot that speaks."""
    host.log(level, context, str(message))
