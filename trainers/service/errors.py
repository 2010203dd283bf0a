"""Requests that are refused."""


class BadRequest(ValueError):
    """A request that is not understood, or asks for what the student cannot do; the message goes to the client."""
