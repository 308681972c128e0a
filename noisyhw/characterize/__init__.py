"""A device of one's own: start a card, look at it, fit it to measurements, compare it with another."""

from .fitting import MODELS, Fitted, fit
from .merit import compare, merit
from .panel import Panel
from .panels import PANELS
from .template import card_template

__all__ = ["MODELS", "PANELS", "Fitted", "Panel", "card_template", "compare", "fit", "merit"]
