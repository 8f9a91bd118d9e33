"""The published SPF suites, which Debian's python3-spf carries, through `sealpost probe`."""

import gzip
import pathlib

import yaml

FOLDER = pathlib.Path("/usr/share/doc/python3-spf")


def load(name):
    """The suite's documents; None where the package's documentation is not installed."""
    for path, open_file in ((FOLDER / (name + ".gz"), gzip.open), (FOLDER / name, open)):
        if path.exists():
            with open_file(path, "rb") as file:
                return list(yaml.safe_load_all(file))
    return None


def zone_of(zonedata):
    """The suite's form of a zone, {name: [{type: data}, "TIMEOUT", …]}, in the probe's."""
    zone = {}
    for name, entries in zonedata.items():
        zone[str(name)] = rows = []
        for entry in entries:
            if entry == "TIMEOUT":
                rows.append(["TIMEOUT"])
                continue
            for kind, data in entry.items():
                rows.append([kind, *data] if isinstance(data, list) else [kind, data])
    return zone


def run(probe, name):
    """(cases run, what failed): one line for each failure."""
    documents = load(name)
    if documents is None:
        raise FileNotFoundError(f"{FOLDER}/{name}.gz is not there: that is python3-spf's")
    count, failures = 0, []
    for document in documents:
        zone = zone_of(document["zonedata"])
        for case, data in document["tests"].items():
            count += 1
            answer = probe.spf(data["host"], data["helo"], data["mailfrom"], zone, explain=True)
            expected = data["result"] if isinstance(data["result"], list) else [data["result"]]
            if answer.get("spf") not in expected:
                failures.append(f"{case}: {answer}, not {expected}")
            wanted = data.get("explanation")
            if wanted is not None and (answer.get("explanation") or "DEFAULT") != wanted:
                failures.append(f"{case}: explained by {answer.get('explanation')!r},"
                                f" not {wanted!r}")
    return count, failures
