"""`refresher simulate`: what a fleet does to its source, on a virtual clock and with the sidecar's own arithmetic.

    (Fleet, Course) --simulated--> Findings --> text | document | picture

Each pod's moments are `due`'s, its state after a look is `standing.after`'s, its wake-ups are the clockwork's; only the
source, and the time that passes, are models.
"""

from refresher.simulate.courses import Course, of_certificates, of_values
from refresher.simulate.document import findings_document
from refresher.simulate.findings import Findings, Load
from refresher.simulate.fleet import Fleet, simulated
from refresher.simulate.source import Behaviour
from refresher.simulate.text import findings_text

__all__ = [
    "Behaviour",
    "Course",
    "Findings",
    "Fleet",
    "Load",
    "findings_document",
    "findings_text",
    "of_certificates",
    "of_values",
    "simulated",
]
