"""machineid-conformance: proves that a runtime stops when MachineID says no.

The package in the order in which data flows through it:

``config``    the user's targets, read from ``machineid-conformance.toml`` or ``pyproject.toml``
``scenario``  the catalogue: what is done to a target, and when
``engine``    a process of its own that plans the runs, runs them and streams what happens
``isolation`` the closed world that a target lives in: namespaces or proxies, and the supervision of its processes
``gateway``   where every exit of that world leads: the fake control plane, and scripted answers for all else
``trace``     the one ordered record of a run; everything after the run works from it alone
``judge``     pure checkers, one a rule, and the verdict
``report``    what people and tools read: terminal, results.json
``cli``, ``plugin``  two thin ways in
"""

__version__ = "0.1.0"
