"""Hotwords: phrases whose symbols get a bonus in beam search."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass
class Node:
    """A prefix of phrases.

    Args:
        bonus: of its last symbol.
        total: of the prefix.
        ends: whether a phrase ends here.
        fail: the longest other prefix that this one ends in.
        inner: the longest phrase that a proper end of this prefix is, None if there is none.
        done: not 0 where a phrase is complete, here or in `inner`.
    """

    bonus: float = 0.0
    total: float = 0.0
    ends: bool = False
    done: float = 0.0
    fail: "Node" = field(init=False)
    inner: "Node | None" = None
    next: dict[int, "Node"] = field(default_factory=dict)


class ContextGraph:
    """An automaton over phrases (Aho and Corasick 1975), with the scores of sherpa-onnx's context graph.

    Each symbol that goes on with a phrase brings its bonus at once. What was given for a prefix is taken back where the phrase is not
    finished; at a phrase's end it is kept, and matching begins anew.

    Args:
        phrases: symbols and bonus a symbol of each. A symbol that phrases share has the largest bonus of those up to the last that was
            added, as in sherpa-onnx.
    """

    def __init__(self, phrases: Iterable[tuple[list[int], float]]):
        self.root = Node()
        self.root.fail = self.root
        for symbols, bonus in phrases:
            self._add(symbols, bonus)
        self._link()

    def _add(self, symbols: list[int], bonus: float) -> None:
        node = self.root
        for place, symbol in enumerate(symbols):
            known = node.next.get(symbol)
            child = node.next.setdefault(symbol, Node(bonus))
            child.bonus = bonus if known is None else max(bonus, known.bonus)
            child.total = node.total + child.bonus
            child.ends = child.ends or place == len(symbols) - 1
            child.done = child.total if child.ends else 0.0
            node = child

    def _link(self) -> None:
        """Breadth first, so that shorter prefixes are linked before."""
        queue = deque(self.root.next.values())
        for child in queue:
            child.fail = self.root
        while queue:
            node = queue.popleft()
            for symbol, child in node.next.items():
                child.fail = self._follow(node.fail, symbol)
                inner = child.fail
                while not inner.ends and inner is not self.root:
                    inner = inner.fail
                if inner is not self.root:
                    child.inner = inner
                    child.done += inner.done
                queue.append(child)

    def _follow(self, node: Node, symbol: int) -> Node:
        """The longest prefix that `node` with a symbol behind it ends in."""
        while symbol not in node.next and node is not self.root:
            node = node.fail
        return node.next.get(symbol, self.root)

    def step(self, state: Node, symbol: int) -> tuple[float, Node]:
        """Add a symbol. Returns: what the score of the hypothesis changes by, and the next state."""
        node = state.next.get(symbol)
        if node is not None:
            change = node.bonus
        else:
            node = self._follow(state.fail, symbol)
            change = node.total - state.total
        if node.done == 0.0:
            return change, node
        kept = node.total if node.ends or node.inner is None else node.inner.total
        return change + kept - node.total, self.root

    def finish(self, state: Node) -> float:
        """What the score changes by at the end of the utterance: an unfinished phrase has no bonus."""
        return -state.total
