"""The one error of serving, with the status codes of gRPC and their places in HTTP."""

from __future__ import annotations

# Canonical status codes by name, and the HTTP status TensorFlow Serving's REST interface gives each.
HTTP_STATUS = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}

# The numbers of the codes are their places in the standard's order.
CODE_NAMES = tuple(HTTP_STATUS)


class ServingError(Exception):
    """A request that failed, in the server and, the same again, in the client.

    Attributes:
        code: name of the status code, a key of `HTTP_STATUS`.
        message: what went wrong.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def invalid(message: str) -> ServingError:
    """The error of a request that is wrong whatever the state of the server."""
    return ServingError("INVALID_ARGUMENT", message)


def truncated(text: str, limit: int = 1024) -> str:
    """The text as TensorFlow Serving cuts it in gRPC statuses, whose size HTTP/2 headers limit."""
    return text if len(text) <= limit else f"{text[:limit]}...TRUNCATED"
