from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from fake_control_plane.org import Reason
from fake_control_plane.serving import metrics
from fake_control_plane.serving.journal import Journal
from fake_control_plane.serving.metrics import ORGS_NAMED, Tally
from fake_control_plane.serving.views import DeviceView, OrgView

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: bytes) -> Samples:
    """Every sample, by name and labels, as Prometheus' own parser reads them."""
    return {
        (sample.name.removeprefix("fake_control_plane_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def journal_of(tally: Tally, capacity: int = 100) -> Journal:
    return Journal(capacity=capacity, counts=tally)


def test_calls_are_counted_by_what_they_got() -> None:
    tally = Tally()
    journal = journal_of(tally)
    for decision, code in (("allow", "ALLOW"), ("allow", "ALLOW"), ("deny", "DEVICE_REVOKED")):
        journal.record(0.0, "call", "org-1", "validate", "a", 200, decision, code, ending="answered", waited=0.002)
    journal.record(0.0, "call", None, "register", "a", 401, ending="answered", waited=0.0)
    journal.record(0.0, "call", "org-1", "validate", "a", None, rule="fault-1+fault-3", ending="reset", waited=0.5)
    journal.record(0.0, "action", "org-1", "revoke", "a")
    found = samples(metrics.render(tally, journal, [], healthy=True))

    def calls(**labels: str) -> float:
        return found["calls_total", tuple(sorted(labels.items()))]

    assert calls(org="org-1", operation="validate", decision="allow", status="200") == 2
    assert calls(org="org-1", operation="validate", decision="deny", status="200") == 1
    assert calls(org="", operation="register", decision="", status="401") == 1
    assert calls(org="org-1", operation="validate", decision="", status="") == 1
    assert found["faults_total", (("ending", "reset"), ("rule", "fault-1"))] == 1
    assert found["faults_total", (("ending", "reset"), ("rule", "fault-3"))] == 1
    assert found["actions_total", (("action", "revoke"),)] == 1
    assert found["journal_entries_total", ()] == 6

    def below(bound: str) -> float:
        return found["call_seconds_bucket", (("le", bound), ("operation", "validate"))]

    assert [below(bound) for bound in ("0.001", "0.0025", "0.25", "0.5", "+Inf")] == [0, 3, 3, 4, 4]
    assert found["call_seconds_count", (("operation", "validate"),)] == 4
    assert abs(found["call_seconds_sum", (("operation", "validate"),)] - 0.506) < 1e-9


def test_devices_by_state_and_what_the_journal_dropped() -> None:
    tally = Tally()
    journal = journal_of(tally, capacity=2)
    for _ in range(5):
        journal.record(0.0, "action", None, "fault-add")
    org = OrgView(id="org-1", plan="pro", plan_state="active", limit=25, used=3, access_until=None, disabled=True)
    states: list[Reason] = ["allow", "device-revoked", "allow"]
    devices = [DeviceView(id="", revoked=False, now=now, calls=0, last=None, last_at=None) for now in states]
    found = samples(metrics.render(tally, journal, [(org, devices)], healthy=False))
    assert found["devices", (("now", "allow"), ("org", "org-1"))] == 2
    assert found["devices", (("now", "device-revoked"), ("org", "org-1"))] == 1
    assert found["org_disabled", (("org", "org-1"),)] == 1
    assert found["journal_dropped_total", ()] == 3
    assert found["healthy", ()] == 0


def test_orgs_without_end_do_not_make_series_without_end() -> None:
    tally = Tally()
    journal = journal_of(tally)
    for number in range(ORGS_NAMED + 50):
        journal.record(0.0, "call", f"org-{number}", "list", status=200)
    journal.record(0.0, "call", "org-0", "list", status=200)
    assert len(tally.calls) == ORGS_NAMED + 1
    assert tally.calls["other", "list", "", "200"] == 50
    assert tally.calls["org-0", "list", "", "200"] == 2


def test_two_servers_in_one_process_do_not_share_their_metrics() -> None:
    first, second = Tally(), Tally()
    journal_of(first).record(0.0, "action", None, "fault-add")
    found = samples(metrics.render(second, Journal(), [], healthy=True))
    assert not [name for name, _ in found if name == "actions_total"]
