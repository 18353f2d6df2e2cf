"""thresholds.toml: overrides, and one line for everything wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data.errors import InputError
from harness.gate.verdict.thresholds import Thresholds, load_thresholds
from harness.gate.verdict.verdicts import describe

KNEE = """
["q1.knee"]
kind = "check"
at_most = 20
reason = "five to twenty examples"
"""
GATE = """
["{id}"]
kind = "gate"
alpha = {alpha}
margin = 0.25
reason = "a quarter of the full effect"
"""

OPEN = """
["q7.separation"]
kind = "finding"
reason = "an open question"
"""


def load(tmp_path: Path, text: str) -> Thresholds:
    path = tmp_path / "thresholds.toml"
    path.write_text(text, encoding="utf-8")
    return load_thresholds(path)


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{tmp_path}/")


def test_the_default_holds_for_every_subject_and_behavior(tmp_path: Path) -> None:
    threshold = load(tmp_path, KNEE).for_check("q1.knee", "some-model", "some-behavior")
    assert threshold is not None and (threshold.kind, threshold.at_most, threshold.alpha) == ("check", 20.0, 0.05)


def test_a_check_the_file_does_not_name_has_no_threshold(tmp_path: Path) -> None:
    assert load(tmp_path, KNEE).for_check("q1.onset") is None


def test_the_most_specific_override_wins_and_keeps_its_own_reason(tmp_path: Path) -> None:
    thresholds = load(
        tmp_path,
        KNEE
        + """
[behavior."not-rushing"."q1.knee"]
at_most = 30
reason = "slower to learn"
[subject."tiny"."q1.knee"]
at_most = 50
reason = "found on the weights"
[subject."tiny".behavior."not-rushing"."q1.knee"]
at_most = 100
reason = "both"
""",
    )
    found = {
        (subject, behavior): thresholds.for_check("q1.knee", subject, behavior)
        for subject in ("tiny", "big")
        for behavior in ("not-rushing", "b")
    }
    assert {place: (each.at_most, each.reason) for place, each in found.items() if each} == {
        ("tiny", "not-rushing"): (100, "both"),
        ("tiny", "b"): (50, "found on the weights"),
        ("big", "not-rushing"): (30, "slower to learn"),
        ("big", "b"): (20, "five to twenty examples"),
    }


def test_an_overriding_bound_replaces_the_inherited_one(tmp_path: Path) -> None:
    thresholds = load(tmp_path, KNEE + '[subject.tiny."q1.knee"]\nat_least = 5\nreason = "r"')
    threshold = thresholds.for_check("q1.knee", "tiny")
    assert threshold is not None and (threshold.at_least, threshold.at_most) == (5, None)


def test_the_smallest_effect_of_interest_goes_with_the_bound_it_stands_beside(tmp_path: Path) -> None:
    text = KNEE.replace("at_most", "at_least") + "smallest = 30\n"
    for override, expected in (("at_most = 5", None), ("smallest = 40", 40), ("alpha = 0.01", 30)):
        thresholds = load(tmp_path, text + f'[subject.tiny."q1.knee"]\n{override}\nreason = "r"')
        threshold = thresholds.for_check("q1.knee", "tiny")
        assert threshold is not None and threshold.smallest == expected


def test_a_subject_may_turn_a_check_into_a_finding(tmp_path: Path) -> None:
    thresholds = load(tmp_path, KNEE + '[subject.tiny."q1.knee"]\nkind = "finding"\nreason = "open"')
    threshold = thresholds.for_check("q1.knee", "tiny")
    assert threshold is not None and (threshold.kind, threshold.at_most) == ("finding", None)


def test_a_finding_has_a_smallest_effect_of_interest_until_it_becomes_a_check(tmp_path: Path) -> None:
    text = OPEN + 'smallest = 0.2\n[behavior.b."q7.separation"]\nsmallest = 0.3\nreason = "r"\n'
    text += '[subject.tiny."q7.separation"]\nkind = "check"\nat_least = 0\nreason = "r"'
    thresholds = load(tmp_path, text)
    found = [thresholds.for_check("q7.separation", *place) for place in (("big", "a"), ("big", "b"), ("tiny", "b"))]
    assert [one and one.smallest for one in found] == [0.2, 0.3, None]
    assert [describe(one) for one in found] == ["none < 20%", "none < 30%", "≥ 0"]


def test_alphas_of_all_gates_may_sum_to_the_budget(tmp_path: Path) -> None:
    thresholds = load(tmp_path, "".join(GATE.format(id=f"q4.g{n}", alpha=0.001) for n in range(10)))
    assert len(thresholds.ids) == 10


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        (KNEE.replace("at_most", "at_mots"), 4, '"at_mots" in ["q1.knee"] is unknown; allowed: reason, kind'),
        (KNEE.replace("20", '"20"'), 4, "at_most = '20'"),
        (KNEE.replace("20", "nan"), 4, "at_most = nan"),
        (KNEE.replace('"check"', '"test"'), 3, "kind = 'test'"),
        (KNEE.replace("five to twenty examples", " "), 5, "is empty"),
        ('["q1.knee"]\nkind = "check"\nat_most = 20', 1, "has no reason"),
        (KNEE + '[subject.tiny."q1.knee"]\nat_most = 50', 6, "has no reason"),
        (KNEE + "at_least = 1", 4, "has at_least and at_most"),
        (KNEE.replace("at_most = 20", ""), 2, "has no bound"),
        (KNEE.replace('"check"', '"finding"'), 4, "has at_most"),
        (KNEE.replace('kind = "check"', ""), 2, "has no kind"),
        (KNEE.replace('"check"', '"gate"'), 2, "has no alpha"),
        (GATE.format(id="q4.regression", alpha=0.02), 4, "sum to 0.02 (q4.regression 0.02); allowed: at most 0.01"),
        (GATE.format(id="q4.a", alpha=0.006) + GATE.format(id="q4.b", alpha=0.006), 10, "sum to 0.012"),
        (KNEE + '[subject.tiny."q1.knee"]\nkind = "gate"\nalpha = 0.02\nreason = "r"', 8, "sum to 0.02"),
        (GATE.format(id="q4.a", alpha=0.001).replace("0.25", "-0.25"), 5, "margin = -0.25"),
        (KNEE + "worse = 'higher'", 6, "goes with margin only"),
        (KNEE + "smallest = 30", 6, "smallest = 30"),
        (KNEE.replace("at_most", "at_least") + "smallest = 20", 6, "allowed in a check: above the at_least beside it"),
        (KNEE + "alpha = 0.1", 6, "alpha = 0.1"),
        (KNEE + "smallest = 0.1", 6, "allowed in a check: above the at_least beside it"),
        (OPEN + "smallest = 1.5", 5, "smallest = 1.5 in"),
        (OPEN + "smallest = 0", 5, "smallest = 0 in"),
        (KNEE.replace('"q1.knee"', "q1.knee"), 2, '"q1" is no check id'),
        ("\nkind = ", 2, "not TOML: Invalid value"),
    ],
)
def test_a_mistake_is_one_line_with_file_and_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"thresholds.toml:{line}: ") and says in message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.toml: cannot be read \(No such file or directory\)"):
        load_thresholds(tmp_path / "none.toml")


# -- profiles ----------------------------------------------------------------------------------------------------------

FULL = """
[profile.full."q6.code"]
margin = 0.05
reason = "more samples"
"""


def test_a_profile_has_a_margin_of_its_own_and_an_override_by_subject_stays_the_stronger(tmp_path: Path) -> None:
    code = GATE.format(id="q6.code", alpha=0.001)
    thresholds = load(tmp_path, code + FULL + '[subject."tiny"."q6.code"]\nmargin = 0.3\nreason = "few tasks"\n')

    def margin(profile: str, subject: str) -> float | None:
        threshold = thresholds.under(profile).for_check("q6.code", subject)
        assert threshold is not None and threshold.alpha == 0.001
        return threshold.margin

    assert [margin(profile, "any") for profile in ("quick", "full")] == [0.25, 0.05]
    assert [margin(profile, "tiny") for profile in ("quick", "full")] == [0.3, 0.3]


def test_an_unknown_profile_and_one_without_a_default_are_refused_by_line(tmp_path: Path) -> None:
    code = GATE.format(id="q6.code", alpha=0.001)
    assert refusal(tmp_path, code + FULL.replace("full", "fast")) == ('thresholds.toml:8: "fast" is no profile to override; allowed: full')
    assert 'thresholds.toml:2: ["q6.code"] has no kind' in refusal(tmp_path, FULL)


def test_the_alpha_budget_holds_under_every_profile(tmp_path: Path) -> None:
    code = GATE.format(id="q6.code", alpha=0.001)
    assert "sum to 0.02" in refusal(tmp_path, code + FULL.replace("margin", "alpha = 0.02\nmargin"))
