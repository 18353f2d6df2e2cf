"""The ways a run can go wrong that a person must tell apart: bad input, a broken instrument, an engine that died."""

from __future__ import annotations


class InputError(ValueError):
    """Bad input, found before any model is loaded. The message is one line: where, what was found, what is allowed."""


class InstrumentError(RuntimeError):
    """The instrument broke (an engine died, a stored file was damaged). This says nothing about the candidate."""


class EngineDied(InstrumentError):
    """The process that ran the model ended in mid-run. Checks that still needed it are inconclusive; finished checks stand."""


class AdapterIgnored(InstrumentError):
    """The engine loaded an adapter and applied only part of it, or nothing."""
