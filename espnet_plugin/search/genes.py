"""Mutation and crossover of subnets; every result is in the search space."""

import random
from collections.abc import Callable
from dataclasses import replace

from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import Subnet


def settings(subnet: Subnet) -> dict[int, tuple[int, int | None]]:
    """Layer -> feed-forward width and heads."""
    return {layer: (width, heads) for layer, width, heads in subnet.per_layer()}


def with_layers(space: SearchSpace, like: Subnet, depth: int, setting: Callable[[int], tuple]) -> Subnet:
    """`like` at another depth, its layers set by `setting`: layer -> (width, heads)."""
    layers = space.kept(depth)
    ffn, heads = zip(*map(setting, layers))
    return replace(like, layers=layers, ffn=ffn, heads=heads if space.heads else ())


def crossover(space: SearchSpace, one: Subnet, other: Subnet, rng: random.Random) -> Subnet:
    """Every dimension, and every layer's widths, from one parent or the other, drawn evenly; a layer that one lacks from the other."""
    here, there = settings(one), settings(other)
    depth = rng.choice((len(one.layers), len(other.layers)))
    shared = {name: getattr(rng.choice((one, other)), name) for name in space.shared()}

    def setting(layer: int) -> tuple:
        # The kept layers are nested, so that the deeper parent has what the other lacks.
        return rng.choice([parent[layer] for parent in (here, there) if layer in parent])

    return with_layers(space, replace(one, **shared), depth, setting)


def mutate(space: SearchSpace, subnet: Subnet, rng: random.Random, rate: float) -> Subnet:
    """Draw each dimension, and each layer's width and heads, anew with probability `rate`; at least one of them is drawn.

    A layer that a larger depth adds has the widths of a random layer that was there.
    """
    own = settings(subnet)
    genes = [name for name, allowed in space.shared().items() if len(allowed) > 1]
    genes += ["depth"] * (len(space.depths) > 1)
    genes += [
        (layer, i) for layer in own for i, allowed in enumerate((space.ffn_dims, space.heads)) if len(allowed) > 1
    ]
    if not genes:
        return subnet
    chosen = {gene for gene in genes if rng.random() < rate} or {rng.choice(genes)}
    drawn = {name: rng.choice(allowed) for name, allowed in space.shared().items() if name in chosen}
    depth = rng.choice(space.depths) if "depth" in chosen else len(subnet.layers)

    def setting(layer: int) -> tuple:
        width, heads = own[layer] if layer in own else rng.choice(list(own.values()))
        if (layer, 0) in chosen:
            width = rng.choice(space.ffn_dims)
        if (layer, 1) in chosen:
            heads = rng.choice(space.heads)
        return width, heads

    return with_layers(space, replace(subnet, **drawn), depth, setting)
