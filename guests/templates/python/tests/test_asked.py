"""`python3 -m unittest discover -s tests`"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))

from asked import asked  # noqa: E402


class Asked(unittest.TestCase):
    def test_words_are_understood_however_they_are_written(self):
        self.assertEqual(asked(" Hello "), "greeting")
        self.assertEqual(asked("PING"), "ping")
        self.assertIsNone(asked("what?"))


if __name__ == "__main__":
    unittest.main()
