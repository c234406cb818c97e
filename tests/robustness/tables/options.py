"""Options of the verbs but train and compose: out of range, without the one they need, or against each other."""

from cases import Case
from workspace import SUPERNET

CHOOSE = f"choose {SUPERNET} --data data"
LATENCY = "latency --train_config supernet/config.yaml"

REFUSED = [
    Case("option", "no epoch to average", "average --dir supernet --last 0 --out a.pth", ("--last", "0", "at least 1")),
    Case("option", "a ladder of one size", f"{CHOOSE} --num_sizes 1 --out s.json", ("--num_sizes", "1", "at least 2")),
]

ACCEPTED = [
    Case("option", "more epochs than there are", "average --dir supernet --last 99 --out a.pth", ("epochs 1, 2",)),
]
