"""Errors, with the codes and in the form of the XML API's documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

HEAD = "<?xml version='1.0' encoding='UTF-8'?>"
XML = ("Content-Type", "application/xml; charset=UTF-8")

CODES = {
    "AccessDenied": (403, "Access denied."),
    "AuthenticationRequired": (401, "Authentication required."),
    "BadDigest": (400, "The Content-MD5 or x-goog-hash you specified did not match what we received."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed size."),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidArgument": (400, "Invalid argument."),
    "InvalidPart": (400, "One or more of the specified parts could not be found or had another entity tag."),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidRange": (416, "The requested range cannot be satisfied."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (404, "The requested upload was not found."),
    "NotImplemented": (501, "A header or query you provided requested a function that is not implemented."),
    "NotModified": (304, ""),
    "PreconditionFailed": (412, "At least one of the pre-conditions you specified did not hold."),
    "ServiceUnavailable": (503, "Service Unavailable."),
    "SignatureDoesNotMatch": (403, "The request signature we calculated does not match the one you provided."),
    "SlowDown": (429, "Please reduce your request rate."),
}


@dataclass(frozen=True)
class Span:
    """Bytes of an open file: a body that is never completely in memory."""

    file: BinaryIO
    start: int
    end: int


@dataclass(frozen=True)
class Answer:
    """What is sent back."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | Span = b""

    @property
    def size(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.end - self.body.start

    def pieces(self, size: Callable[[], int]) -> Iterator[bytes]:
        """Yield the body in pieces; `size` returns the maximum of the next one. The file is closed at the end."""
        if isinstance(self.body, bytes):
            if self.body:
                yield self.body
            return
        with self.body.file as file:
            left = self.size
            file.seek(self.body.start)
            while left and (piece := file.read(min(size(), left))):
                left -= len(piece)
                yield piece

    def close(self) -> None:
        """Close the file of a body that is not sent."""
        if isinstance(self.body, Span):
            self.body.file.close()


@dataclass
class Failure(Exception):
    """A request cannot be done, for one of the reasons in `CODES`."""

    code: str
    details: str = ""
    headers: tuple[tuple[str, str], ...] = field(default=())

    def answer(self) -> Answer:
        """Return the client's answer: a document, except for 'not modified'."""
        status, message = CODES[self.code]
        if status == 304:
            return Answer(status, self.headers)
        more = f"<Details>{escape(self.details)}</Details>" if self.details else ""
        text = f"{HEAD}<Error><Code>{self.code}</Code><Message>{escape(message)}</Message>{more}</Error>"
        return Answer(status, (XML, *self.headers), text.encode())
