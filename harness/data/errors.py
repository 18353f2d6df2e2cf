"""The ways a run can go wrong that a person must tell apart: bad input, a broken instrument, an engine that died."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, found before any model is loaded. The message is one line: where, what was found, what is allowed."""


class InstrumentError(RuntimeError):
    """The instrument broke (an engine died, a stored file was damaged): says nothing about the candidate."""


class EngineDied(InstrumentError):
    """The process that ran the model ended in mid-run: what needed it is inconclusive, what was finished before stands."""


class AdapterIgnored(InstrumentError):
    """The engine loaded an adapter and applied none of it, or not all."""
