"""Every error Banyan raises on purpose.

    BanyanError                      who must act   http  exit
    ├── InputError                   the caller      400     2
    │   ├── MethodNotAllowed         the caller      405     2
    │   ├── RequestTimeout           the caller      408     2
    │   ├── UnsupportedMediaType     the caller      415     2
    │   ├── UnsupportedOption        the caller      400     2
    │   ├── LimitExceeded            the caller      413     2
    │   ├── ContextTooLong           the caller      400     2
    │   ├── NotFound                 the caller      404     3
    │   │   ├── UnknownModel         the caller      404     3
    │   │   ├── UnknownBase          the caller      404     3
    │   │   └── UnknownDocument      the caller      404     3
    │   └── Conflict                 the caller      409     2
    ├── AccessError                  the caller      403     4
    │   ├── CrossOrigin              the caller      403     4
    │   ├── UnexpectedHost           the caller      421     4
    │   └── Unauthenticated          the caller      401     4
    ├── DocumentError                the caller      422     5
    │   ├── UnsupportedFormat        the caller      422     5
    │   ├── EncryptedDocument        the caller      422     5
    │   ├── EmptyDocument            the caller      422     5
    │   ├── BrokenDocument           the caller      422     5
    │   ├── MismatchedType           the caller      422     5
    │   └── ParserLimit              the caller      422     5
    ├── ModelError                   the operator    500     6
    │   ├── CheckpointInvalid        the operator    500     6
    │   │   └── StagingInvalid       the operator    500     6
    │   ├── UnsupportedModel         the operator    500     6
    │   ├── HashMismatch             the operator    500     6
    │   ├── DownloadFailed           the operator    502     6
    │   ├── EngineMissing            the operator    501     6
    │   ├── EngineFailed             the operator    500     6
    │   └── RemoteModelFailed        the operator    502     6
    │       └── RemoteKeyRefused     the operator    502     6
    ├── StoreError                   the operator    500     7
    │   └── SchemaMismatch           the operator    500     7
    ├── ClusterError                 the operator    503     9
    │   ├── JoinRefused              the operator    503     9
    │   ├── HostUnreachable          the operator    503     9
    │   ├── PeerLost                 the operator    503     9
    │   ├── PlanImpossible           the operator    500     9
    │   └── ClusterDown              wait, then retry 503    9
    ├── InternalError                the operator    500     1
    ├── Overloaded                   wait, then retry 503    8
    ├── ShuttingDown                 wait, then retry 503    8
    ├── TooManyAttempts              wait, then retry 429    8
    ├── DeadlineExceeded             wait, then retry 504    8
    └── Cancelled                    nobody          499   130

``str(error)`` says what happened; ``error.remedy`` says what to do next, in one sentence, or is
empty where the message says it all. ``error.code`` is the stable name programs may switch on.
"""

from __future__ import annotations

import re
from typing import ClassVar


class BanyanError(Exception):
    """The root: a message for a person, a remedy, and how each surface reports it."""

    actor: ClassVar[str] = "operator"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy

    @property
    def code(self) -> str:
        """The class name in snake case: ``unknown_model``."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


class InputError(BanyanError):
    """The request cannot be understood or carried out as it stands.

    ``field`` names the part of the request that is at fault, where there is one.
    """

    actor = "caller"
    http_status = 400
    exit_code = 2
    field: str = ""

    def __init__(self, message: str, *, remedy: str = "", field: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.field = field


class MethodNotAllowed(InputError):
    """The address exists, and does not take this HTTP method."""

    http_status = 405


class RequestTimeout(InputError):
    """The caller sent its request too slowly."""

    http_status = 408


class UnsupportedMediaType(InputError):
    """The body is not of the content type this address takes."""

    http_status = 415


class UnsupportedOption(InputError):
    """An option that exists elsewhere but not here; it is never ignored."""


class LimitExceeded(InputError):
    """Something is larger than a named limit; the message quotes the limit."""

    http_status = 413

    def __init__(self, what: str, *, limit: str, value: object, allowed: object) -> None:
        super().__init__(
            f"{what}: {value} is over the limit {limit} = {allowed}.",
            remedy=f"Send less, or raise {limit}.",
        )
        self.limit = limit


class ContextTooLong(InputError):
    """Prompt and answer together do not fit the model's context."""


class NotFound(InputError):
    """There is no such thing, or it may not be seen."""

    http_status = 404
    exit_code = 3


class UnknownModel(NotFound):
    """No model of that name is installed, connected or a knowledge base."""


class UnknownBase(NotFound):
    """No knowledge base of that name."""


class UnknownDocument(NotFound):
    """No document, passage or trace of that id that the caller may see."""


class Conflict(InputError):
    """It exists already, or is in use."""

    http_status = 409


class AccessError(BanyanError):
    """The caller is known and may not do this."""

    actor = "caller"
    http_status = 403
    exit_code = 4


class CrossOrigin(AccessError):
    """A page of another origin made the browser send this; only our own pages may."""


class UnexpectedHost(AccessError):
    """The Host header names a machine this server does not answer for."""

    http_status = 421


class Unauthenticated(AccessError):
    """The caller has not shown a valid key."""

    http_status = 401


class DocumentError(BanyanError):
    """A file could not become text; it is kept as a record with this reason."""

    actor = "caller"
    http_status = 422
    exit_code = 5


class UnsupportedFormat(DocumentError):
    """No parser for this kind of file."""


class EncryptedDocument(DocumentError):
    """The file needs a password."""


class EmptyDocument(DocumentError):
    """The file holds no text."""


class BrokenDocument(DocumentError):
    """The file is damaged or not what its format demands."""


class MismatchedType(DocumentError):
    """The content is of another type than the name says."""


class ParserLimit(DocumentError):
    """Parsing passed its limit of time, memory, size or pages."""


class ModelError(BanyanError):
    """A model could not be found whole, loaded or run."""

    exit_code = 6


class CheckpointInvalid(ModelError):
    """The checkpoint's files are missing, truncated or contradict each other."""


class StagingInvalid(CheckpointInvalid):
    """A staging file of streamed layers is not whole, or not what it was."""


class UnsupportedModel(ModelError):
    """A sound checkpoint of an architecture or quantisation Banyan does not run."""


class HashMismatch(ModelError):
    """A downloaded or stored file is not the one the catalogue names."""


class DownloadFailed(ModelError):
    """The package index did not give a model's package."""

    http_status = 502


class EngineMissing(ModelError):
    """The extra ``engine`` (torch) is not installed."""

    http_status = 501


class EngineFailed(ModelError):
    """The engine's process ended or a step failed."""


class RemoteModelFailed(ModelError):
    """The OpenAI-compatible server did not answer as it should."""

    http_status = 502


class RemoteKeyRefused(RemoteModelFailed):
    """The server refused the key it was given (not the caller's key to Banyan)."""


class StoreError(BanyanError):
    """The knowledge store cannot be read or written."""

    exit_code = 7


class SchemaMismatch(StoreError):
    """The store was written by another version."""


class ClusterError(BanyanError):
    """Hosts that should run a model together do not."""

    http_status = 503
    exit_code = 9


class JoinRefused(ClusterError):
    """A host or rank was not let in, or would not enter: token, version, model or manners."""


class HostUnreachable(ClusterError):
    """Nothing answers at a host's address, or ssh could not start it."""


class PeerLost(ClusterError):
    """The connection to another rank broke in the middle of the work; the message names it."""


class PlanImpossible(ClusterError):
    """No layout of this model fits these machines; the message shows the arithmetic."""

    http_status = 500


class ClusterDown(ClusterError):
    """A rank, host or link is gone; the message names it and its cause. Requests may be retried
    once the cluster has formed again."""


class InternalError(BanyanError):
    """A fault of Banyan's own; the log has the details, the caller gets none of them."""


class Overloaded(BanyanError):
    """Too much is waiting already."""

    http_status = 503
    exit_code = 8


class ShuttingDown(BanyanError):
    """The server is about to end, and with it what it was working on."""

    http_status = 503
    exit_code = 8


class TooManyAttempts(BanyanError):
    """Too many wrong keys from one address."""

    http_status = 429
    exit_code = 8


class DeadlineExceeded(BanyanError):
    """The request took longer than it was given."""

    http_status = 504
    exit_code = 8


class Cancelled(BanyanError):
    """Whoever asked has gone."""

    http_status = 499
    exit_code = 130
