"""The daemon's HTTP interface: probes, numbers for Prometheus, and `/v1`, JSON for programs.

    connection ─ host ─ token ─ query, body ─ database, one transaction ─ answer
        │          └───────┴─────────┴──────────────┴─► a problem document, and nothing changed
        └ bounded: how many, how slow, how large

`routes.ROUTES` is the table of everything that is answered: the router, the reading of queries and
bodies, and the OpenAPI document are made from it. Promises: reading is open on loopback only,
unless the configuration says otherwise; a change needs the operator's token; what is refused
changes nothing; no client, however slow, keeps a place for ever; no answer waits for a vendor.

Token and configuration are read anew for each request: a reload changes them.
"""

from bibsync.web.listening import serve

__all__ = ["serve"]
