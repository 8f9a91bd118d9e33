"""A certificate authority of the test's own, with OpenSSL's program."""

import ssl
import subprocess


class Authority:
    """Certificates: of a CA, for any names; and self-signed ones."""

    def __init__(self, folder):
        self.folder = folder
        self.count = 0
        self.ca, self.ca_key = folder / "ca.pem", folder / "ca.key"
        self.openssl("req", "-x509", *self.fresh(self.ca_key), "-days", "2", "-subj", "/CN=Test CA",
                     "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign", "-out", self.ca)

    @staticmethod
    def openssl(*words, **options):
        return subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True,
                              **options).stdout

    @staticmethod
    def fresh(key):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key]

    def make(self, *names, is_signed=True):
        """Paths of a chain and its key."""
        self.count += 1
        chain, key = self.folder / f"{self.count}.pem", self.folder / f"{self.count}.key"
        words = ["req", "-x509", *self.fresh(key), "-days", "2", "-subj", f"/CN={names[0]}",
                 "-addext", "basicConstraints=critical,CA:FALSE", "-addext",
                 "subjectAltName=" + ",".join(f"DNS:{name}" for name in names), "-out", chain]
        if is_signed:
            words += ["-CA", self.ca, "-CAkey", self.ca_key]
        self.openssl(*words)
        if is_signed:
            chain.write_bytes(chain.read_bytes() + self.ca.read_bytes())
        return str(chain), str(key)

    def context(self, *names, is_signed=True):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*self.make(*names, is_signed=is_signed))
        return made

    def tlsa(self, chain, usage=3):
        """The record of its public key (usage 3), or of the CA's certificate (2)."""
        if usage == 2:
            data = self.openssl("x509", "-in", self.ca, "-outform", "DER")
            selector = 0
        else:
            public = self.openssl("x509", "-in", chain, "-noout", "-pubkey")
            data = self.openssl("pkey", "-pubin", "-outform", "DER", input=public)
            selector = 1
        digest = self.openssl("dgst", "-sha256", "-binary", input=data).hex()
        return ["TLSA", usage, selector, 1, digest]
