"""The attacks, a file for each kind of attacker; `attack.py` runs them all."""
