"""Objects of a backup as somebody leaves them who can write to the destination, or as an older Sealpost
put them. Each is a path of storage.py.
"""

import datetime
import hashlib
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from lib.suite import check  # noqa: E402

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import storage  # noqa: E402


def damage(path, how):
    digest = path.with_name(path.name + ".digest")
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "cut":
        path.write_bytes(whole[:-50])
    else:
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1:])
    if how == "forged":  # by somebody who can write there: his digest fits
        digest.write_text(storage.digest_of(path.read_bytes()) + "\n")
    return whole


def keyed(key, label, data):
    """crypt_hash of src/secret/crypt.h."""
    return hashlib.blake2b(len(label).to_bytes(8, "little") + label + data, key=key,
                           digest_size=32).digest()


def rewrite(alias, manifest, change):
    """A manifest as its own host would have written it, after change(fields)."""
    file = manifest.with_suffix(".sqlite").read_bytes()
    key = hashlib.pbkdf2_hmac("sha256", alias.password.encode(), file[:16], 64007, 32) + file[:16]
    key = keyed(key, b"sealpost log shipping", b"")

    def mac(fields):
        ms = round(datetime.datetime.fromisoformat(fields["time"]).timestamp() * 1000)
        digest = f"sha256:{fields['sha256']}" if "sha256" in fields else fields["digest"]
        text = (f"{fields['mailbox']} {fields['generation'] or 'full'} {ms} {fields['size']} {digest} "
                f"{fields['epoch']} {fields['change_counter']} {fields['schema']} {fields['commits']}")
        return keyed(key, b"sealpost manifest", text.encode()).hex()

    fields = json.loads(manifest.read_text())
    check(mac(fields) == fields["mac"], "a mistake of this test")
    change(fields)
    fields["mac"] = mac(fields)
    manifest.write_text(json.dumps(fields))
    manifest.with_name(manifest.name + ".digest").write_text(
        storage.digest_of(manifest.read_bytes()) + "\n")


def redate(alias, manifest, when):
    """The same with its host's clock at another time."""
    rewrite(alias, manifest, lambda fields: fields.update(time=when))


def make_old(alias, folder):
    """All of a mailbox's objects as they were put when their digests were BLAKE2b-256."""
    def change(fields):
        del fields["sha256"]
        file = manifest.with_suffix(".sqlite").read_bytes()
        fields["digest"] = storage.old_digest_of(file)

    for manifest in folder.rglob("*.json"):
        rewrite(alias, manifest, change)
    count = 0
    for kind in ("*.json", "*.sqlite", "*.seg"):
        for path in folder.rglob(kind):
            path.with_name(path.name + ".digest").write_text(
                storage.old_digest_of(path.read_bytes()) + "\n")
            count += 1
    return count
