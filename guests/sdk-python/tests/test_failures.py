"""What needs no host. `python3 -m unittest discover -s tests` in guests/sdk-python."""

import importlib.util
import pathlib
import unittest

# Not by the package: its other modules import the host.
_FILE = pathlib.Path(__file__).parent.parent / "wxhost_sdk" / "failures.py"
_SPEC = importlib.util.spec_from_file_location("failures", _FILE)
failures = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(failures)


class Failures(unittest.TestCase):
    def test_async_functions_are_refused_at_the_build(self):
        async def on_event(event):
            pass

        with self.assertRaisesRegex(TypeError, "must not be async"):
            failures.check(on_event)
        with self.assertRaisesRegex(TypeError, "function"):
            failures.check(7)

    def test_what_would_be_awaited_is_refused_when_it_is_called(self):
        async def later():
            pass

        self.assertIn("must not be async", failures.run(lambda _: later(), None))
        self.assertIsNone(failures.run(lambda _: "anything", None))

    def test_a_failure_says_what_and_where(self):
        def on_event(event):
            raise ValueError("no such city")

        lines = failures.run(on_event, None).splitlines()
        self.assertEqual(lines[0], "ValueError: no such city")
        self.assertEqual(lines[1], "Traceback (most recent call last):")
        self.assertIn("in on_event", lines[2])
        self.assertNotIn("wxhost_sdk", "\n".join(lines))

    def test_the_end_of_the_program_is_a_failure(self):
        self.assertTrue(failures.run(lambda _: exit(3), None).startswith("SystemExit: 3"))


if __name__ == "__main__":
    unittest.main()
