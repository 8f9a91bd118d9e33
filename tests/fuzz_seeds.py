#!/usr/bin/env python3
"""Makes inputs for the fuzzers of the conversations in tests/protocol.

    tests/fuzz_seeds.py FOLDER

Writes FOLDER/TARGET/*, each conversation as a whole and in pieces, and FOLDER/TARGET.dict, the words
that the clients say; for the targets that take what several clients say in turn. Made anew for every
run of tests/fuzz.py, so that a command with a transcript, and every command has one, is fuzzed.
"""
import os
import re
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# The first byte (imap/parse_fuzz.c, pop3/session_fuzz.c): which sessions.
BEFORE_LOGIN, BEFORE_LOGIN_SECURE, LOGGED_IN, ASLEEP_IN_BETWEEN = b"\0", b"\4", b"\1", b"\3"
REPEATED_BYTES_MAX = 400  # of $(x*70000): what is long takes long
PIECE_LINES = 3
INPUT_BYTES_MAX = 1000  # of which some hundred are tried in a second


def repeat(match):
    """$(x*70000), as tests/lib/transcript.h says."""
    text, count = match[1], int(match[2])
    count = min(count, REPEATED_BYTES_MAX // (len(text) + 2) + 1)
    return "".join(text.replace("$i", str(i)) for i in range(1, count + 1))


def expand(text):
    """What a client's line means. Variables are what the first message would make of most."""
    text = re.sub(r"\$\(([^)]*)\*(\d+)\)", repeat, text)
    text = re.sub(r"\$[a-z]+[0-9]*", "1", text)
    data = text.encode("utf-8", "surrogateescape")
    return re.sub(rb"\\x([0-9a-fA-F]{2})", lambda match: bytes([int(match[1], 16)]), data)


def conversation(path):
    """(connection, bytes) for each line that a client says; connection 0 is the world. And the
    connections before login, with how they begin."""
    lines, gates = [], {}
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file.read().split("\n"):
            if line.startswith("@ "):
                lines.append((0, expand(line) + b"\r\n"))
            elif match := re.match(r"(\d) C: ?(.*)$", line, re.DOTALL):
                lines.append((int(match[1]), expand(match[2]) + b"\r\n"))
            elif match := re.match(r"(\d) ! (gate\S*)", line):
                gates[int(match[1])] = BEFORE_LOGIN if match[2] == "gate" else BEFORE_LOGIN_SECURE
    return lines, gates


def input_of(head, lines):
    """One input: NUL passes the word to the other of two sessions; the world's word is no turn."""
    parts = []
    for connection, data in lines:
        kind = "@" if connection == 0 else connection % 2
        if parts and parts[-1][0] == kind and kind != "@":
            parts[-1][1] += data
        else:
            parts.append([kind, data])
    out, turn = [], 1
    for kind, data in parts:
        if kind != "@":
            if kind != turn:
                out.append(b"")
                turn = 1 - turn
            turn = 1 - turn
        out.append(data)
    return head + b"\0".join(out)


def pop3_input_of(head, lines):
    """Of the world, the last message that arrives, in front of all."""
    messages = [data.split(b" ", 3)[3].removesuffix(b"\r\n") for number, data in lines
                if number == 0 and data.startswith(b"@ raw ")]
    said = [line for line in lines if line[0] > 0]
    return input_of(head + messages[-1] + b"\xff" if messages else head, said)


def inputs_of(path, make, kinds):
    """All that are made of one conversation: `make` does, for sessions of these kinds."""
    lines, gates = conversation(path)
    for number, head in gates.items():
        yield head + b"".join(data for connection, data in lines if connection == number)
    lines = [(connection, data) for connection, data in lines if connection not in gates]
    if any(connection > 0 for connection, _ in lines):
        for head in kinds:
            yield make(head, lines)
        for first in range(0, len(lines), PIECE_LINES):
            yield make(LOGGED_IN, lines[first:first + PIECE_LINES])


def imap_inputs(path):
    """For imap/parse_fuzz.c."""
    return inputs_of(path, input_of, [LOGGED_IN, ASLEEP_IN_BETWEEN])


def imap_commands(path):
    """For imap/command_fuzz.c: every command, with its literals, which other lines follow."""
    said = b""
    for connection, data in conversation(path)[0]:
        if connection > 0:
            said += data
            if not data.endswith(b"}\r\n"):
                yield b"\0" + said.removesuffix(b"\r\n")
                said = b""


def pop3_inputs(path):
    """For pop3/session_fuzz.c."""
    return inputs_of(path, pop3_input_of, [LOGGED_IN])


# The target; the protocol's folder in tests/protocol; what makes inputs of a conversation.
TARGETS = [("imap_parse_fuzz", "imap", imap_inputs), ("imap_command_fuzz", "imap", imap_commands),
           ("pop3_session_fuzz", "pop3", pop3_inputs)]


def words(data):
    """Keywords and their like; not what is in the messages."""
    return re.findall(rb"[\\A-Za-z][A-Za-z0-9.=-]{2,30}", data)


def write(folder):
    """{target: (its seeds' folder, its dictionary)}"""
    made = {}
    for target, protocol, inputs in TARGETS:
        seeds = os.path.join(folder, target)
        said = set()
        shutil.rmtree(seeds, ignore_errors=True)
        os.makedirs(seeds)
        for name in sorted(os.listdir(os.path.join(ROOT, "tests", "protocol", protocol))):
            if not name.endswith(".txt"):
                continue
            path = os.path.join(ROOT, "tests", "protocol", protocol, name)
            for number, data in enumerate(inputs(path)):
                if len(data) > INPUT_BYTES_MAX:
                    data = data[:data.rfind(b"\n", 0, INPUT_BYTES_MAX) + 1]
                said.update(words(data))
                with open(os.path.join(seeds, f"{name.removesuffix('.txt')}-{number}"), "wb") as file:
                    file.write(data)
        dictionary = os.path.join(folder, target + ".dict")
        with open(dictionary, "w", encoding="ascii") as file:
            for word in sorted(said):
                escaped = word.decode("ascii").replace("\\", "\\\\")
                file.write(f'"{escaped}"\n')
        made[target] = (seeds, dictionary)
    return made


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])
