"""Fault rules: which fault does this call get. Sans I/O, no clock, no randomness of its own.

A ``FaultRule`` is one or more faults, a target (``Match``: operation, device glob, org id) and a trigger. ``FaultRules`` holds
those in force and is asked once for each call (``choose``), and once for each TLS connection (``connect``).

How rules go together:

- A rule counts every call that matches its target (``seen``), and its trigger goes by that number alone: what other rules do
  does not shift it. ``first=2`` is the first two matching calls since the rule was added.
- On one call, each stage (delay, content, delivery: see ``faults.stages``) takes its fault from the rule added first among those
  that strike. Faults of different stages compose; a later rule of a stage that is taken does nothing on that call, and it is
  not a hit of it. One rule may name several faults itself; two of one stage in one rule are an error.
- Listener faults (refused, DNS, TLS) know no call: a rule of one has no other fault, no target, and only TLS has a trigger, which
  counts connections. For each layer the rule added first is in force; a connect that is refused comes to no handshake.

Three forms of the same rule: ``FaultRule``, JSON (``parse``, ``FaultRule.describe``) and one line (``parse``, ``write_line``)::

    status=503 operation=validate first=2
    {"fault": {"status": {"status": 503}}, "operation": "validate", "trigger": {"first": 2}}
"""

from __future__ import annotations

from fake_control_plane.fault_rules.form import parse
from fake_control_plane.fault_rules.line import write_line
from fake_control_plane.fault_rules.manual import manual
from fake_control_plane.fault_rules.rule import FaultRule, Match
from fake_control_plane.fault_rules.rules import Chosen, FaultRules
from fake_control_plane.fault_rules.schema import schema
from fake_control_plane.fault_rules.triggers import ALWAYS, Trigger

__all__ = ["ALWAYS", "Chosen", "FaultRule", "FaultRules", "Match", "Trigger", "manual", "parse", "schema", "write_line"]
