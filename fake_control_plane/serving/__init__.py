"""The fake control plane as a server: needs the extra ``serve``.

In layers, each of which knows only those above it:

``guards``, ``clock``, ``identifiers``  what keeps it from becoming a back door; time; request ids and org keys
``parts``, ``store``, ``journal``, ``metrics``  what is stored and where; what was called and done; how often
``hosted``, ``views``  the orgs of one service, by id and by key; what is shown of them
``core``, ``actions``, ``service``  ``Service``: what it holds, what an operator does to it, how it answers clients
``heads``, ``rendering``, ``fast_path``  plain HTTP without a fault: whole small requests on the loop's transport
``limits``, ``tls``, ``slow_path``  everything else on a ``Wire``: TLS, faults, chunked bodies, what is too much
``addresses``, ``data_port``  what listens, and keeps the connections within bounds
``admin``     REST, the journal's stream, metrics, the dashboard
``server``    both ports in one event loop, opened and closed in good order
"""
