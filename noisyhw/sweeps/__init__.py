"""Many runs: sweep cards, a store that many processes may write to, and engines that compute."""

from .driver import Sweep, sweep
from .engines import Engine
from .plan import plan
from .points import Plan, Point
from .record import Job, Outcome, Record
from .table import load, load_curves

__all__ = [
    "Engine",
    "Job",
    "Outcome",
    "Plan",
    "Point",
    "Record",
    "Sweep",
    "load",
    "load_curves",
    "plan",
    "sweep",
]
