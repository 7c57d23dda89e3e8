"""The leases of several sources as one, and one taken apart into them.

Its id names theirs, and so stays the same as long as they are merely renewed. Two of them have either the same leases
or none in common: whoever ends one ends nothing that another one needs.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from refresher.contract import Lease


def joined(leases: Mapping[str, Lease]) -> Lease | None:
    """One lease that ends with the first of them, and can be renewed if all can; None if there are none."""
    if not leases:
        return None
    first = min(leases.values(), key=lambda lease: lease.expires_at)
    return Lease(
        id=json.dumps({name: leases[name].id for name in sorted(leases)}, separators=(",", ":")),
        granted_at=first.granted_at,
        duration=first.duration,
        renewable=all(lease.renewable for lease in leases.values()),
        lasts=max(lease.over_at for lease in leases.values()) - first.granted_at,
    )


def apart(lease: Lease | None) -> dict[str, Lease]:
    """Each source's own, by its name; the moments are those of all together."""
    return {name: replace(lease, id=id_) for name, id_ in _ids(lease.id)} if lease else {}


def _ids(id_: str) -> list[tuple[str, str]]:
    try:
        found = json.loads(id_)
    except (ValueError, RecursionError):
        return []
    return [(name, each) for name, each in found.items() if isinstance(each, str)] if isinstance(found, dict) else []
