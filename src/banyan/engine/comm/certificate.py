"""Certificate: the key and the certificate of one cluster, made by its head when it starts.

Nobody signs it: a host that joins compares what TLS showed it with what the head says, in the
handshake that the token protects (``handshake.py``); ranks are told it by the head. The command
``openssl`` makes it, for Python's own library can use certificates and not make them.
"""

from __future__ import annotations

import hashlib
import ssl
import subprocess
from typing import Final

from banyan.core.errors import ClusterError

COMMAND: Final = (
    *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    *("-nodes", "-keyout", "/dev/stdout", "-out", "/dev/stdout"),
    *("-days", "3650", "-subj", "/CN=banyan"),
)
TIMEOUT_S: Final = 20.0
REMEDY: Final = "TLS needs the command `openssl` on this machine; or leave --tls out."
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


def make_certificate() -> str:
    """A fresh P-256 key and its self-signed certificate, as PEM. Raises ``ClusterError``."""
    try:
        done = subprocess.run(
            COMMAND, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT_S, check=True
        )
    except FileNotFoundError:
        raise ClusterError("There is no command `openssl` here.", remedy=REMEDY) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise ClusterError(f"No certificate could be made: {error}.", remedy=REMEDY) from None
    return done.stdout.decode("ascii", "replace")


def public_part(pem: str) -> str:
    """The certificate alone. Raises ``ValueError`` where there is none."""
    return pem[pem.index(_BEGIN) : pem.index(_END) + len(_END)] + "\n"


def fingerprint(certificate: bytes) -> str:
    """What a certificate (DER) is known by: its SHA-256, in hex."""
    return hashlib.sha256(certificate).hexdigest()


def fingerprint_of_pem(pem: str) -> str:
    """The fingerprint of the certificate in ``pem``. Raises ``ValueError``."""
    return fingerprint(ssl.PEM_cert_to_DER_cert(public_part(pem)))
