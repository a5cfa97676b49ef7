"""A worker as its users write them: it asks before each job, with the official SDK, and stops where it is denied.

Jobs are lines of standard input; it says each one that it did.
"""

from __future__ import annotations

import os
import sys

from machineid import MachineID  # type: ignore[import-untyped]

client = MachineID(org_key=os.environ["MACHINEID_ORG_KEY"], base_url=os.environ["MACHINEID_BASE_URL"])
device = os.environ["MACHINEID_DEVICE_ID"]
client.register(device)
print("ready", flush=True)
for job in sys.stdin:
    decision = client.validate(device)
    if decision.get("allowed") is not True:
        print(f"stopped: {decision.get('code')}", flush=True)
        sys.exit(0)
    print(f"did {job.strip()}", flush=True)
