#!/usr/bin/python3
"""What bad input gets: hostile clients against the running service. See attacks/."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from attacks import damage, imap, logins, pop3, smtp  # noqa: E402,F401
from attacks.raw import suite  # noqa: E402
from lib.server import Server  # noqa: E402

if __name__ == "__main__":
    suite.parse()
    # Memory is measured: the build without sanitizers.
    with Server() as running:
        suite.run(running)
