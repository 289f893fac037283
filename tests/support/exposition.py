"""Exposition: what /metrics answers, read strictly by the official client's parser."""

from __future__ import annotations

import re
from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import Daemon

TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """All samples. ``names`` are those of the families, as the text has them.

    AssertionError for what the parser forgives: a sample without a type or an explanation, one
    that is there twice, a counter without ``_total``.
    """

    def __init__(self, text: str) -> None:
        assert text.endswith("\n")
        declared = re.findall(r"^# TYPE (\w+) (counter|gauge)$", text, re.MULTILINE)
        explained = re.findall(r"^# HELP (\w+) .+\.$", text, re.MULTILINE)
        sampled = re.findall(r"^(\w+)[{ ]", text, re.MULTILINE)  # The parser adds a _total.
        assert explained == [name for name, _ in declared] == list(dict.fromkeys(sampled))
        self.names = set(explained)
        assert len(self.names) == len(explained)
        self.counters = {name for name, kind in declared if kind == "counter"}
        assert self.counters == {name for name in self.names if name.endswith("_total")}
        self._samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in text_string_to_metric_families(text):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert name in self.names
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert sample.name == name
                assert key not in self._samples, f"{key} is there twice"
                self._samples[key] = sample.value

    def __call__(self, name: str, **labels: str) -> float:
        """Return a value."""
        return self._samples[name, frozenset(labels.items())]

    def labelled(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return the values of a family by their labels."""
        return {labels: value for (each, labels), value in self._samples.items() if each == name}

    def labels(self) -> set[str]:
        """Return the names of all labels."""
        return {label for _, labels in self._samples for label, _ in labels}


def scrape(daemon: Daemon, headers: Mapping[str, str] = {}) -> Exposition:
    """Ask a daemon for its metrics, as Prometheus does."""
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4"
    answer, body = daemon.request("/metrics", headers={"Accept": accept, **headers})
    assert (answer.status, answer.getheader("Content-Type")) == (200, TYPE)
    return Exposition(body.decode())
