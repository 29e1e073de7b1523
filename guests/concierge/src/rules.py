"""What the concierge says, apart from where it says it: plain functions that need no host."""

from typing import Dict, Iterable, Optional

#: Before a keyword in the configuration.
ANSWER = "answer."
#: The greeting of those who configured none.
GREETING = "Welcome, {name}!"


def welcome(greeting: Optional[str], names: Iterable[str]) -> str:
    """The greeting for people who came together."""
    return (greeting or GREETING).replace("{name}", ", ".join(names))


def answer(config: Dict[str, str], question: str) -> Optional[str]:
    """The answer to whatever contains one of the keywords. Of several, the longest says
    most about what is meant."""
    asked = question.casefold()
    words = {key.removeprefix(ANSWER): key for key in config if key.startswith(ANSWER)}
    known = [word for word in words if word and word.casefold() in asked]
    return config[words[max(known, key=len)]] if known else None
