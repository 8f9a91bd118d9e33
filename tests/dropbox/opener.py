#!/usr/bin/env python3
"""An independent opener of drop box records (docs/dropbox.md), in plain Python.

    opener.py open ROOTS RECORDS     lane roots and records, a line each in hex; prints each message's
                                     SHA-256, envelope and length; exit 1 if one does not open
    opener.py attack DISK RECORDS    DISK: every lane file (hex), and any X25519 secrets that the
                                     attacker is granted; prints how many records that opens
    opener.py vectors                the derivations for fixed inputs, as in vectors.txt

A root is `lane generation boot_key_1 x25519_secret`. Nothing here comes from the C code.
"""
import hashlib
import struct
import sys

M32 = 0xFFFFFFFF


def H(key, label, data):
    return hashlib.blake2b(struct.pack("<Q", len(label)) + label + data, key=key, digest_size=32).digest()


def rounds(x):
    def quarter(a, b, c, d):
        for p, q, r, s in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & M32
            t = x[r] ^ x[p]
            x[r] = (t << s | t >> (32 - s)) & M32
    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(1, 5, 9, 13), quarter(2, 6, 10, 14), quarter(3, 7, 11, 15)
        quarter(0, 5, 10, 15), quarter(1, 6, 11, 12), quarter(2, 7, 8, 13), quarter(3, 4, 9, 14)
    return x


SIGMA = list(struct.unpack("<4I", b"expand 32-byte k"))


def hchacha20(key, nonce16):
    x = rounds(SIGMA + list(struct.unpack("<8I", key)) + list(struct.unpack("<4I", nonce16)))
    return struct.pack("<8I", *(x[:4] + x[12:]))


def chacha20(key, nonce12, counter, length):  # RFC 8439 §2.3
    base, out = SIGMA + list(struct.unpack("<8I", key)), bytearray()
    while len(out) < length:
        start = base + [counter] + list(struct.unpack("<3I", nonce12))
        out += struct.pack("<16I", *((a + b) & M32 for a, b in zip(rounds(list(start)), start)))
        counter += 1
    return bytes(out[:length])


def xor(a, b):
    return (int.from_bytes(a, "little") ^ int.from_bytes(b, "little")).to_bytes(len(a), "little")


def poly1305(key, message):  # RFC 8439 §2.5
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


def pad(data):
    return data + bytes(-len(data) % 16)


def lengths(ad, text_len):
    return struct.pack("<QQ", len(ad), text_len)


def aead(key, nonce, ad, text, is_opening):  # draft-irtf-cfrg-xchacha §2.3
    sub, n = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    body = text[:-16] if is_opening else xor(text, chacha20(sub, n, 1, len(text)))
    tag = poly1305(chacha20(sub, n, 0, 32), pad(ad) + pad(body) + lengths(ad, len(body)))
    if is_opening:
        return xor(body, chacha20(sub, n, 1, len(body))) if tag == text[-16:] else None
    return body + tag


def stream_open(key, nonce, ad, sealed, plain_len):  # libsodium's crypto_secretstream
    sub, inonce, counter, out = hchacha20(key, nonce[:16]), nonce[16:], 1, b""
    while len(out) < plain_len:
        size = min(65536, plain_len - len(out))
        chunk, sealed = sealed[:size + 17], sealed[size + 17:]
        n = struct.pack("<I", counter) + inonce
        first = xor(chunk[:1] + bytes(63), chacha20(sub, n, 1, 64))
        block = chunk[:1] + first[1:]  # the tag byte encrypted, the rest key stream
        text, mac = chunk[1:-16], chunk[-16:]
        data = pad(ad) + block + text + bytes(size % 16) + lengths(ad, 64 + size)
        if poly1305(chacha20(sub, n, 0, 32), data) != mac:
            return None
        if first[0] != (3 if len(out) + size == plain_len else 0):
            return None
        out += xor(text, chacha20(sub, n, 2, size))
        inonce, counter = xor(inonce, mac[:8]), counter + 1
    return out if not sealed else None


def x25519(scalar, point):  # RFC 7748 §5
    p, u = 2**255 - 19, int.from_bytes(point, "little") & (2**255 - 1)
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x2, z2, x3, z3, swap = 1, 0, u, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % p, c * b % p, a * a % p, b * b % p
        x3, z3 = (da + cb) ** 2 % p, u * (da - cb) ** 2 % p
        x2, z2 = aa * bb % p, (aa - bb) * (aa + 121665 * (aa - bb)) % p
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, p - 2, p) % p).to_bytes(32, "little")


BASE = (9).to_bytes(32, "little")


def boot_key(root, lane, generation, boot):
    for b in range(1, boot):
        root = H(root, b"boot", lane + struct.pack("<QQ", generation, b))
    return root


def message_key(bk, lane, generation, boot, n):
    ck = H(bk, b"chain", lane + struct.pack("<QQ", generation, boot))
    for i in range(n):
        ck = H(ck, b"ck", struct.pack("<Q", i))
    return H(ck, b"mk", struct.pack("<Q", n))


def parse(record):
    version, size = struct.unpack_from("<BH", record)
    assert (version, size) == (1, 111)
    lane = record[3:19]
    generation, boot, n = struct.unpack_from("<QQQ", record, 19)
    day, padded = struct.unpack_from("<IQ", record, 99)
    return record[:size], lane, generation, boot, n, record[43:75], record[75:99], padded, record[size:]


def exchange(record, secret):
    return x25519(secret, parse(record)[5]) + x25519(secret, BASE)


def open_with(record, mk, exchanged):
    h, _, _, _, _, _, nonce, padded, sealed = parse(record)
    sk = H(mk, b"seal", exchanged + h)
    if padded <= 65536:
        return aead(sk, nonce, h, sealed, True)
    return stream_open(sk, nonce, h, sealed, padded)


def payload(plain):
    arrival, trace, s, r, f, v, size = struct.unpack_from("<qQ4IQ", plain)
    at, out = 40, []
    for length in (s, r, f, v, size):
        out.append(plain[at:at + length])
        at += length
    assert plain[at:] == bytes(len(plain) - at)
    return arrival, trace, out


def lines(path):
    with open(path) as file:
        return [line.split() for line in file if line.strip()]


def command_open(roots_path, records_path):
    roots, is_good = {}, True
    for lane, generation, bk, secret in lines(roots_path):
        roots[bytes.fromhex(lane), int(generation)] = bytes.fromhex(bk), bytes.fromhex(secret)
    for (text,) in lines(records_path):
        record = bytes.fromhex(text)
        _, lane, generation, boot, n = parse(record)[:5]
        root, secret = roots.get((lane, generation), (bytes(32), bytes(32)))
        mk = message_key(boot_key(root, lane, generation, boot), lane, generation, boot, n)
        plain = open_with(record, mk, exchange(record, secret))
        if plain is None:
            print(f"{generation} {boot} {n} does not open")
            is_good = False
            continue
        arrival, trace, (sender, recipient, folder, _, raw) = payload(plain)
        print(generation, boot, n, arrival, trace, sender.decode(), recipient.decode(),
              folder.decode() or "-", len(raw), hashlib.sha256(raw).hexdigest())
    return 0 if is_good else 1


def command_attack(disk_path, records_path):
    """Every 32 bytes on the disk as boot key, chain key or message key, and every granted secret."""
    keys, secrets, opened = set(), [], 0
    for kind, text in lines(disk_path):
        data = bytes.fromhex(text)
        if kind == "secret":
            secrets.append(data)
        else:
            keys |= {data[i:i + 32] for i in range(0, len(data) - 31, 8) if any(data[i:i + 32])}
    for (text,) in lines(records_path):
        record = bytes.fromhex(text)
        _, lane, generation, boot, n = parse(record)[:5]
        tried = set(keys)
        for key in keys:
            for b in range(1, boot + 2):
                tried.add(message_key(key, lane, generation, b, n))
                tried.add(message_key(boot_key(key, lane, generation, b), lane, generation, boot, n))
        shared = [exchange(record, secret) for secret in secrets]
        opened += any(open_with(record, mk, pair) for mk in tried for pair in shared)
    print(opened)
    return 0


def command_vectors():
    lane, generation, bk1 = bytes(range(16)), 7, b"\x11" * 32
    owner, ephemeral, nonce = b"\x22" * 32, b"\x33" * 32, bytes(range(64, 88))
    place2 = lane + struct.pack("<QQ", generation, 2)
    bk2 = boot_key(bk1, lane, generation, 2)
    ck0 = H(bk2, b"chain", place2)
    ck1 = H(ck0, b"ck", struct.pack("<Q", 0))
    mk0, mk1 = H(ck0, b"mk", struct.pack("<Q", 0)), H(ck1, b"mk", struct.pack("<Q", 1))
    raw = b"Subject: vector\r\n\r\nsealed by another hand\r\n"
    texts = (b"a@example.org", b"b@demo.test", b"Junk", b"")
    plain = struct.pack("<qQ4IQ", 1795322096789, 17, *map(len, texts), len(raw)) + b"".join(texts) + raw
    plain += bytes(1024 - len(plain))
    public = x25519(owner, BASE)
    h = struct.pack("<BH", 1, 111) + place2 + struct.pack("<Q", 1) + x25519(ephemeral, BASE) + nonce
    h += struct.pack("<IQ", 20779, 1024)
    shared = x25519(ephemeral, public)
    sk = H(mk1, b"seal", shared + public + h)
    root = bytes(range(32))
    mailbox = b"0123456789abcdef01234567"
    rows = dict(lane=lane, boot_key_1=bk1, boot_key_2=bk2, boot_key_3=boot_key(bk1, lane, generation, 3),
                ck_0=ck0, ck_1=ck1, mk_0=mk0, mk_1=mk1, owner_secret=owner, owner_public=public,
                ephemeral_public=x25519(ephemeral, BASE), shared=shared, header=h, sk=sk,
                record=h + aead(sk, nonce, h, plain, False), message=raw,
                drop_root=root, drop_key=H(root, b"drop-key", mailbox) + H(root, b"drop-salt", mailbox)[:16])
    for name, value in rows.items():
        print(name, value.hex())
    return 0


if __name__ == "__main__":
    commands = {"open": command_open, "attack": command_attack, "vectors": command_vectors}
    sys.exit(commands[sys.argv[1]](*sys.argv[2:]))
