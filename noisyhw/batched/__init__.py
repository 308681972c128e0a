"""Many runs of one shape as one program, with a leading axis of replicas."""

from .alike import stack_key, why_not
from .train import StackedRun, train_stack

__all__ = ["StackedRun", "stack_key", "train_stack", "why_not"]
