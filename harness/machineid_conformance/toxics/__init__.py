"""Network faults that a real Toxiproxy server delivers, instead of the fake control plane (``--faults toxiproxy``).

```
target <──TCP──> gateway's listener <──near── Toxiproxy ──far──> gateway (TLS, HTTP, the fake control plane)
```

The words of this package:

- *route*: one connection through the server, both of whose ends are ours: *near* is what Toxiproxy accepted, *far* what it opened to us
  (``route.py``).
- *tunnel*: a target's connection to the control plane whose bytes, TLS and all, take a route, both ways (``tunnel.py``).
- *proxy*, *toxic*: Toxiproxy's own words (``server.py``, through ``toxiproxy-python``).
- *gate*: one instance's proxy; open, or down (``refuse``). A fault's toxic has a proxy of its own (``gate.py``, ``deliver.py``).

A toxic is atomic with the boundary that it is pinned to, because nobody is under way when it is set: the call is held, a fresh proxy gets
the toxic, the server confirms it, the tunnel changes to a route through that proxy, and only then the answer is let go. So a toxic
hits this one answer, whatever else is under way; and ``reset_peer`` works, which Toxiproxy arms (SO_LINGER 0) only on connections
that are made while it is set.
"""
