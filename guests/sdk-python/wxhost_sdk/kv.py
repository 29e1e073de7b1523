"""What the bot keeps from event to event: a store of its own for each account. Writes
become durable together with the bot's actions."""

from typing import Dict, Iterator, List, Optional, Union

from wit_world.imports import atomics, batch
from wit_world.imports import wasi_keyvalue_store as store

from .errors import checked

Value = Union[str, bytes]

_open = checked("kv", store.open)
_increment = checked("kv.increment", atomics.increment)
_get_many = checked("kv.get_many", batch.get_many)
_set_many = checked("kv.set_many", batch.set_many)
_delete_many = checked("kv.delete_many", batch.delete_many)
_get = checked("kv.get", store.Bucket.get)
_set = checked("kv.set", store.Bucket.set)
_delete = checked("kv.delete", store.Bucket.delete)
_exists = checked("kv.exists", store.Bucket.exists)
_list_keys = checked("kv.keys", store.Bucket.list_keys)


def _bytes(where: str, value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, (bytes, bytearray)):
        raise TypeError(f"{where} must be a str or bytes, not {value!r}")
    return bytes(value)


class Bucket:
    """A bucket. It is opened for each operation: handles count against a limit."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _open(self) -> store.Bucket:
        return _open(self._name)

    def get(self, key: str) -> Optional[str]:
        """The text under a key, if there is any."""
        value = self.get_bytes(key)
        return None if value is None else value.decode()

    def get_bytes(self, key: str) -> Optional[bytes]:
        """The bytes under a key, if there are any."""
        return _get(self._open(), key)

    def set(self, key: str, value: Value) -> None:
        """Writes text or bytes under a key."""
        _set(self._open(), key, _bytes("kv.set: value", value))

    def delete(self, key: str) -> None:
        """Deletes a key. It is no error when there is none."""
        _delete(self._open(), key)

    def exists(self, key: str) -> bool:
        """Whether there is something under a key."""
        return _exists(self._open(), key)

    def increment(self, key: str, delta: int = 1) -> int:
        """Adds to the number under a key, which starts at 0, and returns the sum."""
        return _increment(self._open(), key, delta)

    def keys(self) -> Iterator[str]:
        """All keys; read page by page as they are asked for."""
        cursor: Optional[int] = None
        while True:
            page = _list_keys(self._open(), cursor)
            yield from page.keys
            cursor = page.cursor
            if cursor is None:
                return

    def get_many(self, keys: List[str]) -> Dict[str, str]:
        """The texts under those of the keys that exist."""
        found = _get_many(self._open(), keys)
        return {pair[0]: pair[1].decode() for pair in found if pair is not None}

    def set_many(self, values: Dict[str, Value]) -> None:
        """Writes text or bytes under several keys."""
        pairs = [(key, _bytes(f"kv.set_many: {key}", it)) for key, it in values.items()]
        _set_many(self._open(), pairs)

    def delete_many(self, keys: List[str]) -> None:
        """Deletes several keys."""
        _delete_many(self._open(), keys)


_own = Bucket("")
get = _own.get
get_bytes = _own.get_bytes
set = _own.set
delete = _own.delete
exists = _own.exists
increment = _own.increment
keys = _own.keys
get_many = _own.get_many
set_many = _own.set_many
delete_many = _own.delete_many


def shared() -> Bucket:
    """The bucket that all accounts of this bot share, if its version was granted it
    (`shared_bucket` in handler.toml, or `--shared-bucket`). When another account changes
    what this call read there, the call is lost and made again: so do in one call what
    belongs together, and read few keys."""
    return Bucket("shared")
