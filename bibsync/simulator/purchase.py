"""A purchase: what a library's history at the vendor consists of."""

from dataclasses import dataclass
from datetime import datetime

from bibsync.simulator.defects import Defect


@dataclass(frozen=True, slots=True, kw_only=True)
class Purchase:
    """One title bought by one library.

    `moment` is the purchase in vendor time, in whole seconds; the vendor shows the title from
    `visible_from` on, which may be later, until `removed_at`. From `retitled_at` on its record
    is the second version. `number` is the place in the history, from 0.
    """

    number: int
    control_number: str
    moment: datetime
    visible_from: datetime
    retitled_at: datetime | None = None
    removed_at: datetime | None = None
    defect: Defect | None = None

    def visible(self, at: datetime) -> bool:
        """Tell whether the vendor shows the title at this time."""
        return self.visible_from <= at and (self.removed_at is None or at < self.removed_at)

    def version(self, at: datetime) -> int:
        """Return which version of the record the vendor has at this time: 1 or 2."""
        return 2 if self.retitled_at is not None and self.retitled_at <= at else 1
