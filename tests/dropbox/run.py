#!/usr/bin/env python3
"""The drop box against the independent opener: run.py KIT

1. vectors.txt is what opener.py derives; and opener.py gives the published vectors itself.
2. Mail sealed by the real code opens with the lane roots, each message as it was.
3. With all that is on the disk, and X25519 broken besides, none of it opens.
"""
import hashlib
import os
import subprocess
import sys
import tempfile

import opener

HERE = os.path.dirname(os.path.abspath(__file__))


def published():
    key, nonce = bytes(range(0x80, 0xA0)), bytes(range(0x40, 0x58))  # draft-irtf-cfrg-xchacha A.3.1
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the "
            b"future, sunscreen would be it.")
    sealed = opener.aead(key, nonce, bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), text, False)
    assert sealed[-16:].hex() == "c0875924c1c7987947deafd8780acf49"
    shared = opener.x25519(  # RFC 7748 section 5.2
        bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"),
        bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"))
    assert shared.hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"


def run(*arguments):
    done = subprocess.run([sys.executable, os.path.join(HERE, "opener.py"), *arguments],
                          capture_output=True, text=True, timeout=250)
    return done.returncode, done.stdout, done.stderr


def main():
    published()
    with open(os.path.join(HERE, "vectors.txt")) as file:
        assert run("vectors")[1] == file.read(), "vectors.txt is out of date"
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)
        subprocess.run([sys.argv[1], "seal", folder], check=True, timeout=60)
        expected = []
        for arrival, trace, sender, recipient, box, length, raw in opener.lines(at("mails")):
            digest = hashlib.sha256(bytes.fromhex(raw)).hexdigest()
            expected.append([arrival, trace, sender, recipient, box, length, digest])
        code, out, err = run("open", at("roots"), at("records"))
        opened = [line.split()[3:] for line in out.splitlines()]
        assert code == 0, out + err
        assert len(opened) >= 20 and sorted(opened) == sorted(expected), "not what was sealed"

        with open(at("records")) as file:
            small = [line for line in file if len(line) < 3000]
        with open(at("records"), "w") as file:
            file.writelines(small)
        code, out, err = run("attack", at("disk"), at("records"))
        assert code == 0 and out == "0\n", f"the disk opened {out} records {err}"
        # The attack itself works: with a boot key that was not wiped, it reads.
        with open(at("disk"), "a") as file:
            for _, _, boot_key, _ in opener.lines(at("roots")):
                file.write(f"lane {boot_key}\n")
        code, out, err = run("attack", at("disk"), at("records"))
        assert code == 0 and out == f"{len(small)}\n", f"the attack is too weak: {out} {err}"
    print(f"{len(opened)} records opened with the roots, none with the disk")


if __name__ == "__main__":
    main()
