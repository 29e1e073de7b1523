"""What needs no host. `python3 -m unittest discover -s tests` in guests/sdk-python."""

import dataclasses
import importlib.util
import pathlib
import unittest
from typing import List, Optional, Tuple, Union

# Not by the package: its other modules import the host.
_FILE = pathlib.Path(__file__).parent.parent / "wxhost_sdk" / "types.py"
_SPEC = importlib.util.spec_from_file_location("types_of_hosts", _FILE)
types = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(types)


@dataclasses.dataclass
class Link:
    url: str
    size: Optional[int]


class Types(unittest.TestCase):
    def test_what_the_host_takes_fits(self):
        for value, hint in [
            ("a", str),
            (None, Optional[str]),
            ([Link("u", None)], List[Union[Link, str]]),
            ([("a", "b")], List[Tuple[str, str]]),
            (2**64 - 1, int),
            (1, float),
        ]:
            self.assertTrue(types.fits(value, hint), (value, hint))
        for value, hint in [
            (5, str),
            ("a", List[str]),
            ([Link(5, None)], List[Link]),
            (True, int),
            (-1, int),
            ([("a",)], List[Tuple[str, str]]),
        ]:
            self.assertFalse(types.fits(value, hint), (value, hint))

    def test_an_error_says_which_value_is_wrong(self):
        def send(to: str, links: List[Link]) -> None:
            pass

        check = types.checker("chat.send", send)
        check("a", [Link("u", 1)])
        with self.assertRaisesRegex(TypeError, "chat.send: links must be a list of Link, not 5"):
            check("a", 5)
        with self.assertRaisesRegex(TypeError, "chat.send: missing"):
            check("a")


if __name__ == "__main__":
    unittest.main()
