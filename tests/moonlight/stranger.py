"""Whoever is nobody, or almost a client, before the host's doors: what is asked for, and how much is answered.

Prints one JSON object. Ends with 0, or with 1 and {"error": why} where a door did not answer at all.
"""

import argparse
import json
import re
import socket
import ssl
import sys
import tempfile
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from client import package

# HTTPS is where it is by default, seen from HTTP.
TLS_OFFSET = -5
PATIENCE_S = 10
STATUS = re.compile(rb'status_code="(\d+)"')


class Door:
    """HTTP, or HTTPS with what is shown there: a file of certificates, and one of a key."""

    def __init__(self, options, is_tls, shown=None):
        self.address = (options.host, options.http + (TLS_OFFSET if is_tls else 0))
        self.tls = None
        if is_tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
        if shown:
            self.tls.load_cert_chain(*shown)

    def ask(self, path):
        """The status of HTTP, that of the XML's root, and the bytes of the body."""
        with socket.create_connection(self.address, timeout=PATIENCE_S) as plain:
            wire = self.tls.wrap_socket(plain) if self.tls else plain
            wire.sendall(f"GET {path} HTTP/1.1\r\nHost: host\r\n\r\n".encode())
            answer = b""
            while piece := wire.recv(65536):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        status = STATUS.search(body)
        return {"http": int(head.split()[1]), "status": status and int(status[1]), "bytes": len(body)}


class Forger:
    """Makes certificates like a client's, with the client's own key at hand."""

    def __init__(self, identity, folder):
        self.key, self.real = identity.private_key, identity.certificate
        self.folder = Path(folder)
        self.other = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def kinds(self):
        return {
            "signed anew by its own key": lambda n: self.make(n, self.key, self.key),
            "expired": lambda n: self.make(n, self.key, self.key, ended=True),
            "its name, another key": lambda n: self.make(n, self.other, self.other),
            "its key, signed by another": lambda n: self.make(n, self.key, self.other),
            "derived, with the client's own behind it": lambda n: self.make(n, self.other, self.key, chain=True),
            "derived, alone": lambda n: self.make(n, self.other, self.key),
        }

    def make(self, n, key, signer, ended=False, chain=False):
        """What TLS shows: certificates and key. All have the client's name; issuer, number and extensions go with `n`."""
        now = datetime.now(timezone.utc)
        until = now - timedelta(days=1) if ended else now + timedelta(days=365)
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"somebody {n}")])
        made = (
            x509.CertificateBuilder()
            .subject_name(self.real.subject)
            .issuer_name(self.real.subject if n % 2 else issuer)
            .public_key(key.public_key())
            .serial_number(self.real.serial_number if n % 3 else n + 2)
            .not_valid_before(now - timedelta(days=2))
            .not_valid_after(until)
            .add_extension(x509.BasicConstraints(ca=bool(n % 2), path_length=None), critical=True)
            .sign(signer, hashes.SHA256())
        )
        return self.shown([made, self.real] if chain else [made], key)

    def shown(self, certificates, key):
        place = self.folder / "shown.pem"
        place.write_bytes(b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates))
        secret = self.folder / "shown.key"
        secret.write_bytes(key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return place, secret


def knock(options, identity, folder):
    """Every path at both doors: in the clear, in TLS as nobody, and in TLS with a certificate of one's own."""
    own = Forger(identity, folder).shown([identity.certificate], identity.private_key)
    doors = {
        "plain": Door(options, False), "nobody": Door(options, True), "unknown": Door(options, True, own)}
    answers = [
        {"path": path, "door": name, **door.ask(path)} for path in options.paths for name, door in doors.items()]
    return {"answers": answers}


def impostors(options, identity, folder):
    """As many certificates as asked for, of each kind in turn; and what the client's own gets."""
    forger = Forger(identity, folder)
    kinds = forger.kinds()
    seen = {kind: Counter() for kind in kinds}
    for n in range(options.count):
        kind = list(kinds)[n % len(kinds)]
        answer = Door(options, True, kinds[kind](n // len(kinds))).ask("/applist")
        seen[kind][f'{answer["http"]} {answer["status"]}'] += 1
    own = Door(options, True, forger.shown([identity.certificate], identity.private_key)).ask("/applist")
    return {"kinds": seen, "asked": options.count, "own": own["status"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--identity", required=True, help="folder of the client's key and certificate")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--http", type=int, default=47989, help="the host's TCP port")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("knock").add_argument("paths", nargs="+")
    verbs.add_parser("impostors").add_argument("count", type=int)
    options = parser.parse_args()
    package()
    from moonlight_python.identity import Identity

    verb = {"knock": knock, "impostors": impostors}[options.verb]
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(verb(options, Identity(options.identity), folder)))
    except (OSError, ValueError, IndexError) as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
