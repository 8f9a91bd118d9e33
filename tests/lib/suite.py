"""A small test runner: cases are functions, each prints one line, the last line is the sum.

The scripts under tests/ use it instead of unittest because their cases share one running server,
take minutes, and must say what they are doing while they do it.
"""

import argparse
import signal
import sys
import time
import traceback


class Skip(Exception):
    """This machine does not permit the case; the words say why. Neither passed nor failed."""


class Suite:
    def __init__(self, description):
        self.parser = argparse.ArgumentParser(description=description)
        self.parser.add_argument("--long", action="store_true", help="the full numbers")
        self.parser.add_argument("--only", action="append", default=[], help="only this case")
        self.parser.add_argument("--skip", action="append", default=[], help="not this case")
        self.parser.add_argument("--seed", type=int, default=None, help="for the random choices")
        self.cases = []
        self.options = None
        self.behind_each = lambda: None  # called when a case has ended, however it did

    def case(self, function):
        """Decorator: a case takes what run() was given and raises to fail."""
        self.cases.append(function)
        return function

    def parse(self):
        # Who is told to end takes away what it has started, too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        self.options = self.parser.parse_args()
        if self.options.seed is None:
            self.options.seed = int(time.time())
        return self.options

    def call(self, function, arguments):
        try:
            return function(*arguments)
        finally:
            self.behind_each()

    def run(self, *arguments):
        """Runs the cases in the order of their definition and exits."""
        if self.options is None:
            self.parse()
        passed = failed = skipped = 0
        for function in self.cases:
            name = function.__name__.replace("_", " ")
            if self.options.only and function.__name__ not in self.options.only:
                continue
            if function.__name__ in self.options.skip:
                continue
            start = time.monotonic()
            try:
                words = self.call(function, arguments)
            except Skip as reason:
                skipped += 1
                print(f"skip  {name}: {reason}", flush=True)
                continue
            except Exception as error:  # every failure is reported, none ends the run
                failed += 1
                print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
                traceback.print_exc(file=sys.stdout)
                continue
            passed += 1
            words = f": {words}" if words else ""
            print(f"ok    {name}{words} ({time.monotonic() - start:.1f} s)", flush=True)
        if skipped:
            print(f"{skipped} skipped")
        print(f"{passed} passed, {failed} failed", flush=True)
        sys.exit(0 if failed == 0 and passed + skipped > 0 else 1)


def check(condition, words):
    """An assertion that stays on under python -O and says what was wrong."""
    if not condition:
        raise AssertionError(words)


def until(condition, words, seconds=20, pause=0.01):
    """Waits for what comes in its own time, but must come; what the condition gave. `words`, or what
    they give when they are called, say what did not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() >= deadline:
            raise AssertionError(words() if callable(words) else words)
        time.sleep(pause)
    return found
