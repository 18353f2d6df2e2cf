"""May two measurements be compared? Only where everything that determined them is the same, but for the subject that was tested.

Thresholds, waivers and the cycle's name determine no measurement and stand in no provenance. What only one of the two records is another
thing too: a cycle of a version that recorded less is measured again, not trusted.
"""

from __future__ import annotations

from collections.abc import Mapping

OF_THE_SUBJECT = ("subject", "sketch")
"""Names of a provenance that say which weights were tested: what a comparison is about."""


def differences(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """What determined the one and not the other, "another judge (embedded, now gpt at http://…)" each; empty where they may be compared."""
    names = [name for name in dict.fromkeys((*now, *before)) if name not in OF_THE_SUBJECT and before.get(name) != now.get(name)]
    return tuple(f"another {name} ({before.get(name, 'not recorded')}, now {now.get(name, 'not recorded')})" for name in names)
