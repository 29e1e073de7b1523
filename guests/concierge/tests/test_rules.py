"""`python3 -m unittest discover -s tests` in guests/concierge."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "src"))

import rules  # noqa: E402

CONFIG = {"greeting": "hi", "answer.hours": "9 to 5", "answer.opening hours": "8 to 6"}


class Rules(unittest.TestCase):
    def test_the_longest_keyword_answers(self):
        self.assertEqual(rules.answer(CONFIG, "Your Opening Hours?"), "8 to 6")
        self.assertEqual(rules.answer(CONFIG, "hours"), "9 to 5")
        self.assertIsNone(rules.answer(CONFIG, "greeting"))

    def test_who_comes_together_is_welcomed_together(self):
        self.assertEqual(rules.welcome(None, ["Ann", "Bob"]), "Welcome, Ann, Bob!")
        self.assertEqual(rules.welcome("Hello {name}", ["Ann"]), "Hello Ann")


if __name__ == "__main__":
    unittest.main()
