"""`refresher plan`: what is held of each asset, when it is due next, and why; from what is on the volume alone."""

from refresher.plan.document import plan_document
from refresher.plan.planned import Plan, plan
from refresher.plan.text import plan_text

__all__ = ["Plan", "plan", "plan_document", "plan_text"]
