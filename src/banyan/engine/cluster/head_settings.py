"""HeadSettings: what a head is told, and what of it cannot work."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from banyan.core.errors import InputError
from banyan.core.layout import DeviceFacts
from banyan.engine.cluster.control import report_of
from banyan.engine.cluster.failure import STEP_TIMEOUT_S
from banyan.engine.cluster.frames import HostReport
from banyan.engine.cluster.lobby import HEAD_NAME
from banyan.engine.formation import Communication


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """``address`` is what other hosts reach this one by; ``hosts`` of them must join, those of
    ``names`` where any are given. ``local_ranks`` run here, rank 0 among them. ``folder`` keeps the
    digests of checkpoints; a step that stands still for ``step_timeout_s`` ends the group. ``pem``
    is the key and certificate of TLS between all hosts; empty: they talk in the clear.
    ``measured``: what this host's device does."""

    address: str
    port: int
    token: str
    hosts: int
    names: tuple[str, ...] = ()
    local_ranks: int = 1
    device: str = "cpu"
    folder: Path | None = None
    communication: Communication = field(default_factory=Communication)
    micro_batch_tokens: int = 256
    step_timeout_s: float = STEP_TIMEOUT_S
    pem: str = ""
    measured: DeviceFacts | None = None

    def report(self) -> HostReport:
        """This host as part of the group; raises ``InputError`` for settings that cannot work."""
        try:
            nowhere = ipaddress.ip_address(self.address).is_unspecified
        except ValueError:
            nowhere = not self.address
        if nowhere:
            raise InputError(
                f"Other hosts cannot reach this one at {self.address!r}.",
                remedy="Give --cluster-address an address of this machine.",
            )
        if not self.token:
            raise InputError("The join token is empty.", remedy="Give --token, or leave it out.")
        try:
            return report_of(HEAD_NAME, self.local_ranks, self.device, measured=self.measured)
        except ValueError as error:
            raise InputError(f"This host cannot take part: {error}.") from None
