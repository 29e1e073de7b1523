"""Checks of what a bot hands to the host. Without them a wrong value ends the call as a
trap that does not say which value it was. Nothing in here needs the host."""

import dataclasses
import inspect
from typing import Any, Callable, Dict, Union, get_args, get_origin, get_type_hints

_U64_MAX = 2**64 - 1


def checker(where: str, function: Callable[..., Any]) -> Callable[..., None]:
    """What raises TypeError when arguments are not as the function's hints say. The hints
    are read now, at the build."""
    hints = get_type_hints(function)
    signature = inspect.signature(function)

    def check(*args: Any, **kwargs: Any) -> None:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{where}: {error}") from None
        for name, value in given.arguments.items():
            if name in hints and not fits(value, hints[name]):
                raise TypeError(f"{where}: {name} must be {wanted(hints[name])}, not {value!r}")

    return check


def fits(value: Any, hint: Any) -> bool:
    """Whether the host takes the value for this."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Union:
        return any(fits(value, part) for part in parts)
    if origin is list:
        return isinstance(value, list) and all(fits(item, parts[0]) for item in value)
    if origin is tuple:
        whole = isinstance(value, tuple) and len(value) == len(parts)
        return whole and all(map(fits, value, parts))
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _U64_MAX
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if dataclasses.is_dataclass(hint):
        return isinstance(value, hint) and all(
            fits(getattr(value, name), part) for name, part in _fields(hint).items()
        )
    return isinstance(value, hint)


def wanted(hint: Any) -> str:
    """The type, in words."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Union:
        return " or ".join(wanted(part) for part in parts)
    if origin is list:
        return f"a list of {wanted(parts[0])}"
    if origin is tuple:
        return f"a tuple of {', '.join(wanted(part) for part in parts)}"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


_KNOWN: Dict[type, Dict[str, Any]] = {}


def _fields(record: type) -> Dict[str, Any]:
    if record not in _KNOWN:
        _KNOWN[record] = get_type_hints(record)
    return _KNOWN[record]
