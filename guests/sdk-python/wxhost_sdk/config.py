"""The bot's configuration, set by the people who run it: for all of its accounts, or for
the one of this call, which goes before. Some of it may be secrets: reading one raises
while the host can't open it."""

from typing import Dict, Optional

from wit_world.imports import wasi_config_store as host

from .errors import checked

_get = checked("config.get", host.get)
_get_all = checked("config.get_all", host.get_all)


def get(key: str) -> Optional[str]:
    """The value of a key, if it is set."""
    return _get(key)


def require(key: str) -> str:
    """The value of a key, or an error that names the key."""
    value = _get(key)
    if value is None:
        raise KeyError(f"the configuration lacks {key!r}")
    return value


def is_on(key: str) -> bool:
    """Whether a key is set to "true"."""
    return _get(key) == "true"


def get_all() -> Dict[str, str]:
    """Every key with its value."""
    return dict(_get_all())
