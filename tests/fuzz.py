#!/usr/bin/env python3
"""Fuzzes the readers of foreign bytes with libFuzzer, address and undefined behaviour sanitizers on.

    tests/fuzz.py [--seconds 600] [--at-once 2] [--list] [TARGET...]

Builds build-fuzz/ and gives each target its seconds of processor time (not of the clock, so that a
busy machine fuzzes no less). What libFuzzer said and what it found is in build-fuzz/runs/TARGET.
It begins with fuzz-seeds/TARGET and with what tests/fuzz_seeds.py makes of the transcripts.
Without a target: all of them. ./check replays the seeds only.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

import fuzz_seeds

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, "build-fuzz")
TICKS = os.sysconf("SC_CLK_TCK")


def configure():
    """The names of all fuzzers."""
    if not os.path.exists(os.path.join(BUILD, "build.ninja")):
        environment = dict(os.environ, CC=os.environ.get("CC", "clang"))
        subprocess.run(["meson", "setup", BUILD, ROOT, "-Dfuzz=true", "-Db_lundef=false",
                        "-Db_sanitize=address,undefined"], env=environment, check=True,
                       stdout=subprocess.DEVNULL)
    names = subprocess.run(["ninja", "-C", BUILD, "-t", "targets", "all"], check=True,
                           capture_output=True, text=True).stdout
    return sorted(set(re.findall(r"^(\w+_fuzz): ", names, re.MULTILINE)))


def build(programs):
    """Quick when nothing changed."""
    print(f"building {len(programs)} fuzzers", flush=True)
    subprocess.run(["ninja", "-C", BUILD, *programs], check=True, stdout=subprocess.DEVNULL)


def processor_seconds(pid):
    """User and system time of a running process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


class Run:
    """One fuzzer at work in a folder of its own."""

    def __init__(self, program, seconds, made):
        self.program = program
        self.seconds = seconds
        self.folder = os.path.join(BUILD, "runs", program)
        corpus = os.path.join(self.folder, "corpus")
        os.makedirs(corpus, exist_ok=True)
        seeds = [os.path.join(ROOT, "fuzz-seeds", program.removesuffix("_fuzz").replace("_", "-"))]
        options = []
        if program in made:
            folder, dictionary = made[program]
            seeds.append(folder)
            # Entropic scheduling took five sixths of the time: inputs of this kind have 100,000
            # features.
            options += [f"-dict={dictionary}", "-entropic=0",
                        f"-max_len={fuzz_seeds.INPUT_BYTES_MAX}"]
        # What its inputs need of folders goes with it, however it ends.
        self.scratch = tempfile.TemporaryDirectory(
            prefix="sealpost-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(BUILD, program), f"-artifact_prefix={self.folder}/", "-timeout=25",
                 "-rss_limit_mb=2500", "-print_final_stats=1", *options, corpus, *seeds],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                env={**os.environ, "TMPDIR": self.scratch.name, "SEALPOST_TMPFS": self.scratch.name})

    def is_over(self):
        """Ends the fuzzer in order when its time is used up."""
        if self.process.poll() is not None:
            return True
        used = processor_seconds(self.process.pid)
        if used >= self.seconds:
            self.process.terminate()
            self.process.wait()
            return True
        return False

    def report(self):
        """True: it found nothing."""
        self.scratch.cleanup()
        found = [name for name in os.listdir(self.folder)
                 if re.match(r"(crash|leak|timeout|oom|slow-unit)-", name)]
        with open(os.path.join(self.folder, "log"), errors="replace", encoding="utf-8") as file:
            counts = re.findall(r"^#(\d+)|number_of_executed_units: (\d+)", file.read(),
                                re.MULTILINE)
        runs = max((int(a or b) for a, b in counts), default=0)
        is_clean = not found and runs > 0
        words = "nothing found" if is_clean else "FOUND " + (", ".join(found) or "no run at all")
        print(f"{self.program:28} {runs:>12,} runs   {words}", flush=True)
        return is_clean


def main():
    """Builds, runs, reports."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=600, help="processor time for each target")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="only name the targets")
    parser.add_argument("targets", nargs="*", help="as --list names them")
    options = parser.parse_args()
    programs = configure()
    if options.list:
        print("\n".join(programs))
        return 0
    unknown = [name for name in options.targets if name not in programs]
    if unknown:
        print(f"no such target: {', '.join(unknown)}; --list names them", file=sys.stderr)
        return 2
    waiting = list(options.targets or programs)
    build(waiting)
    made = fuzz_seeds.write(os.path.join(BUILD, "seeds"))
    running, results = [], []
    while waiting or running:
        while waiting and len(running) < options.at_once:
            running.append(Run(waiting.pop(0), options.seconds, made))
        time.sleep(0.2)
        over = [run for run in running if run.is_over()]
        results += [run.report() for run in over]
        running = [run for run in running if run not in over]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
