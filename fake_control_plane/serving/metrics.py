"""What happened, counted, and shown as Prometheus text.

Counting is on the path of every call: it takes no lock, as prometheus-client's own counters would (one thread; see ``Journal``), and
is done in batches, at half the cost. They are made into its metrics only when somebody asks, in a registry of this server alone.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from fake_control_plane.serving.journal import Decided, Journal, Row
from fake_control_plane.serving.views import DeviceView, OrgView

BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the latency histogram, in seconds: from a bare decision to a hang."""

ORGS_NAMED = 1000
"""Orgs that have series of their own; clients can make orgs without end, and those after these are counted as ``other``."""

_BATCH = 512
_COUNTED = itemgetter(1, 2, 3, 5, 6, 9, 10)


class Tally:
    """What has been journaled, counted: in batches, and before it is shown. One thread."""

    def __init__(self) -> None:
        self._rows: list[Row] = []  # not counted yet
        self._decided: list[Decided] = []  # likewise
        self._rounds: list[tuple[float, int]] = []  # likewise: what each of so many waited
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._actions: Counter[str] = Counter()
        self._faults: Counter[tuple[str, ...]] = Counter()
        self._waits: dict[str, list[int]] = {}
        self._waited: defaultdict[str, float] = defaultdict(float)
        self._orgs: set[str] = set()

    @property
    def calls(self) -> Counter[tuple[str, ...]]:
        """By org id (empty where the key was of none), operation, decision (empty unless a validate), status (empty where none)."""
        self._settle()
        return self._calls

    @property
    def actions(self) -> Counter[str]:
        """By name."""
        self._settle()
        return self._actions

    @property
    def faults(self) -> Counter[tuple[str, ...]]:
        """Calls that a fault rule acted on, by rule and by how the exchange ended."""
        self._settle()
        return self._faults

    @property
    def waits(self) -> dict[str, list[int]]:
        """By operation: how many calls fell into each bucket (one more than ``BUCKETS``: the last has no bound)."""
        self._settle()
        return self._waits

    @property
    def waited(self) -> defaultdict[str, float]:
        """By operation: seconds, all in all."""
        self._settle()
        return self._waited

    def count(self, row: Row) -> None:
        """Count one entry of the journal."""
        rows = self._rows
        rows.append(row)
        if len(rows) == _BATCH:
            self._settle()

    def count_decided(self, rows: Sequence[Decided], waited: float) -> None:
        """Count the entries of validates that were decided in one round, of which each waited so many seconds."""
        self._decided += rows
        self._rounds.append((waited, len(rows)))
        if len(self._decided) >= _BATCH:
            self._settle()

    def _settle(self) -> None:
        """Count what waits. Rows that are alike, nearly all of them, are counted together."""
        rows, self._rows = self._rows, []
        for (kind, org, operation, status, decision, rule, ending), number in Counter(map(_COUNTED, rows)).items():
            if kind == "action":
                self._actions[operation] += number
                continue
            self._calls[self._label(org), operation, decision or "", "" if status is None else str(status)] += number
            if rule is not None:
                for one in rule.split("+"):  # several rules may act on one call
                    self._faults[one, ending or ""] += number
        for row in rows:
            if (waited := row[11]) is not None and row[1] == "call":
                self._buckets(row[3])[bisect_left(BUCKETS, waited)] += 1
                self._waited[row[3]] += waited
        decided, self._decided = self._decided, []
        for verdict, number in Counter(map(itemgetter(0), decided)).items():
            self._calls[self._label(verdict.org), "validate", verdict.decision, "200"] += number
        rounds, self._rounds = self._rounds, []
        for waited, number in rounds:
            self._buckets("validate")[bisect_left(BUCKETS, waited)] += number
            self._waited["validate"] += waited * number

    def _buckets(self, operation: str) -> list[int]:
        found = self._waits.get(operation)
        if found is None:
            found = self._waits[operation] = [0] * (len(BUCKETS) + 1)
        return found

    def _label(self, org: str | None) -> str:
        if org is None:
            return ""
        if org not in self._orgs:
            if len(self._orgs) >= ORGS_NAMED:
                return "other"
            self._orgs.add(org)
        return org


def render(
    tally: Tally, journal: Journal, orgs: Iterable[tuple[OrgView, Iterable[DeviceView]]], *, healthy: bool
) -> bytes:
    """All metrics of one server as Prometheus text. ``orgs``: each with its devices."""
    journal.settle()
    registry = CollectorRegistry()
    registry.register(_Collector(tally, journal, orgs, healthy=healthy))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(
        self, tally: Tally, journal: Journal, orgs: Iterable[tuple[OrgView, Iterable[DeviceView]]], *, healthy: bool
    ) -> None:
        self._tally = tally
        self._journal = journal
        self._orgs = orgs
        self._healthy = healthy

    def describe(self) -> Iterable[Metric]:
        """Nothing: or the registry would collect once only to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield _counter(
            "fake_control_plane_calls",
            "Calls of clients: what they got, faults included.",
            ("org", "operation", "decision", "status"),
            self._tally.calls,
        )
        yield self._latency()
        yield _counter(
            "fake_control_plane_faults",
            "Calls on which a fault rule acted.",
            ("rule", "ending"),
            self._tally.faults,
        )
        yield _counter(
            "fake_control_plane_actions",
            "Actions of operators.",
            ("action",),
            {(action,): count for action, count in self._tally.actions.items()},
        )
        yield CounterMetricFamily(
            "fake_control_plane_journal_entries", "Entries of the journal.", value=self._journal.recorded
        )
        yield CounterMetricFamily(
            "fake_control_plane_journal_dropped",
            "Entries that the journal's memory no longer has.",
            value=self._journal.dropped,
        )
        devices = GaugeMetricFamily(
            "fake_control_plane_devices",
            "Registered devices, by what a validate would say now.",
            labels=("org", "now"),
        )
        disabled = GaugeMetricFamily(
            "fake_control_plane_org_disabled", "1 while org-wide disable is on.", labels=("org",)
        )
        for org, its_devices in self._orgs:
            disabled.add_metric((org.id,), int(org.disabled))
            for reason, count in sorted(Counter(device.now for device in its_devices).items()):
                devices.add_metric((org.id, reason), count)
        yield devices
        yield disabled
        yield GaugeMetricFamily(
            "fake_control_plane_healthy", "1 while state and journal can be written.", value=int(self._healthy)
        )

    def _latency(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "fake_control_plane_call_seconds",
            "From a complete request to the end of its exchange, faults included.",
            labels=("operation",),
        )
        for operation, counts in sorted(self._tally.waits.items()):
            buckets, below = [], 0
            for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                below += count
                buckets.append((bound, float(below)))
            family.add_metric((operation,), buckets, sum_value=self._tally.waited[operation])
        return family


def _counter(
    name: str, meaning: str, labels: Sequence[str], counts: Mapping[tuple[str, ...], int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(values, count)
    return family
