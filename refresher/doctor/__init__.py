"""`refresher doctor`: sources, volume, apps and listeners looked at; nobody is told, and nothing is written."""

from refresher.doctor.examination import Examination
from refresher.doctor.report import examination_document, examination_text
from refresher.doctor.sections import examine

__all__ = ["Examination", "examination_document", "examination_text", "examine"]
