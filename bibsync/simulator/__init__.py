"""A made-up vendor to try the program on: the demo, development and the tests run against it.

It speaks the cloudLibrary interface with every quirk and fault that public clients know, keeps a
ledger of the truth, and gives the same answers again for the same seed:

    library = Library.virtual("abcde", titles=1000, since=date(2024, 1, 1), until=date(2024, 3, 1))
    async with serve(Vendor([library], faults=Faults.parse("all"))) as base_url:
        ...

`library` and `history` are what was bought, `titles`, `marcxml` and `defects` its records, `files`
real ones; `vendor` decides on an answer, `answers`, `faults` and `page` on what is wrong with it,
`wire` and `app` send it.
"""

from bibsync.simulator.answers import Answer
from bibsync.simulator.app import app, serve
from bibsync.simulator.defects import Defect
from bibsync.simulator.faults import Faults
from bibsync.simulator.library import Library
from bibsync.simulator.purchase import Purchase
from bibsync.simulator.vendor import Vendor

__all__ = ["Answer", "Defect", "Faults", "Library", "Purchase", "Vendor", "app", "serve"]
