"""Reads OpenMetrics text strictly, after the grammar of version 1.0; holds no tests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?P<labels>.*)\})? (?P<value>-?[0-9.eE+-]+)"
)
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


@dataclass
class Family:
    kind: str
    unit: str = ""
    text: str = ""
    samples: list[tuple[dict[str, str], float]] = field(default_factory=list)

    def value(self, labels: Mapping[str, str]) -> float:
        (value,) = (value for found, value in self.samples if found == dict(labels))
        return value


def read_openmetrics(text: str) -> dict[str, Family]:
    assert text.endswith("# EOF\n")
    families: dict[str, Family] = {}
    current = ""
    for line in text.removesuffix("# EOF\n").splitlines():
        assert line == line.strip()
        if line.startswith("# "):
            _, word, name, rest = line.split(" ", 3)
            assert NAME.fullmatch(name)
            if word == "TYPE":
                assert name not in families, "families must not be interleaved or repeated"
                families[name] = Family(rest)
                current = name
            assert name == current
            if word == "UNIT":
                assert name.endswith(f"_{rest}")
                families[name].unit = rest
            elif word == "HELP":
                families[name].text = rest
            else:
                assert word == "TYPE"
            assert not families[name].samples, "descriptions stand in front of samples"
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        assert match["name"] == current
        pairs = LABEL.findall(match["labels"] or "")
        assert sum(len(f'{k}="{v}"') for k, v in pairs) + max(0, len(pairs) - 1) == len(
            match["labels"] or ""
        )
        labels = dict(pairs)
        assert labels not in [found for found, _ in families[current].samples]
        families[current].samples.append((labels, float(match["value"])))
    return families
