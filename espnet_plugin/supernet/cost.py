"""What a subnet costs, as a value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Args: params: parameters; macs: multiply-adds for a second of audio."""

    params: int
    macs: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.params + other.params, self.macs + other.macs)
