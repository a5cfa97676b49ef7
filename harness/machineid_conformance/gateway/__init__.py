"""Where every exit of a target leads to.

The words of this package:

- *gateway*: one instance's; accepts, answers names, and owns its connections (``gateway.py``, ``acceptor.py``, ``dns.py``).
- *site*: what the connections of a gateway share; *channel*: one connection as it is recorded (``site.py``).
- *connection*: finds out what a client speaks and to whom, and hands each request on (``connection.py``): a call of the
  control plane (``control_flow.py``, ``exchange.py``), an effect (``effect_flow.py``, ``effects.py``), mail (``smtp.py``), neither
  HTTP nor TLS, or a real service (``raw.py``, ``relay.py``).
- *director*: the scenario, which the gateway asks before each answer and tells everything (``api.py``).
"""
