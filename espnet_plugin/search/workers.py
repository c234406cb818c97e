"""Measures of many subnets: from the cache where they are known, else by several processes that share the development set."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial

from tqdm import tqdm

from espnet_plugin.common.processes import processes
from espnet_plugin.search.cache import EvaluationCache
from espnet_plugin.supernet.subnet import Subnet

Measure = Callable[[str, Subnet], float]


class Workers:
    """Context of processes that measure.

    Args:
        measure: (name of the measure, subnet) -> value. It is inherited by forks: make what it holds before, with one torch thread.
        cache: where values are looked up and kept.
        count: processes; 1 measures in this one.
        expected: measure -> subnets that are going to be asked for in all, for the progress shown; else those of the first call.
    """

    def __init__(
        self, measure: Measure, cache: EvaluationCache, count: int = 1, expected: dict[str, int] | None = None
    ):
        self.measure, self.cache, self.count, self.expected = measure, cache, count, expected or {}
        self.answers: Callable[[Iterable], Iterator[tuple[Subnet, float]]] = partial(map, self.work)
        self.stack = ExitStack()
        self.bar: tqdm | None = None
        self.shown: str | None = None

    def __enter__(self) -> "Workers":
        if self.count > 1:
            self.answers = self.stack.enter_context(processes(self.work, self.count))
        return self

    def __exit__(self, *error) -> None:
        if self.bar is not None:
            self.bar.close()
        self.stack.__exit__(*error)

    def work(self, job: tuple[str, Subnet]) -> tuple[Subnet, float]:
        return job[1], self.measure(*job)

    def show(self, name: str, count: int) -> None:
        """One bar for each measure, with the time left."""
        if name != self.shown:
            if self.bar is not None:
                self.bar.close()
            self.bar = tqdm(total=self.expected.get(name, count), desc=name, unit="subnet", disable=None)
            self.shown = name

    def __call__(self, name: str, subnets: list[Subnet]) -> Iterator[tuple[Subnet, float]]:
        """Values in any order, each kept as soon as it is known.

        Raises:
            UserError: a process was killed.
        """
        subnets = list(dict.fromkeys(subnets))
        self.show(name, len(subnets))
        assert self.bar is not None
        known = {subnet: self.cache.get(name, subnet) for subnet in subnets}
        missing = [(name, subnet) for subnet, value in known.items() if value is None]
        self.bar.update(len(subnets) - len(missing))
        yield from ((subnet, value) for subnet, value in known.items() if value is not None)
        for subnet, value in self.answers(missing):
            self.cache.put(name, subnet, value)
            self.bar.update()
            yield subnet, value
