"""The two ways a run can go wrong that a person must tell apart: bad input, and a broken instrument."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, found before any model is loaded. The message is one line: where, what was found, what is allowed."""


class InstrumentError(RuntimeError):
    """The instrument broke (an engine died, a stored file was damaged): says nothing about the candidate."""
