"""Mutation and crossover of subnets; every result is in the search space."""

import random

from espnet_plugin.supernet.space import SearchSpace
from espnet_plugin.supernet.subnet import LayerAddress, Subnet


def crossover(space: SearchSpace, one: Subnet, other: Subnet, rng: random.Random) -> Subnet:
    """Every dimension, and every layer's values, from one parent or the other, drawn evenly; a layer that one lacks from the other."""
    parents = (one.settings(), other.settings())
    depths = [rng.choice(pair) for pair in zip(space.depths_of(one), space.depths_of(other))]
    names = [choice.dimension.name for choice in space.shared]
    shared = {name: rng.choice((one, other))[name] for name in names}

    def setting(layer: LayerAddress) -> tuple:
        # The kept layers are nested, so that the deeper parent has what the other lacks.
        return rng.choice([parent[layer] for parent in parents if layer in parent])

    return space.at_depths(one.with_values(**shared), depths, setting)


def mutate(space: SearchSpace, subnet: Subnet, rng: random.Random, rate: float) -> Subnet:
    """Draw each dimension, and each layer's values, anew with probability `rate`; at least one of them is drawn.

    A layer that a larger depth adds has the values of a random layer of its stack that was there.
    """
    settings, depths = subnet.settings(), list(space.depths_of(subnet))
    genes: list = [choice.dimension.name for choice in space.shared if len(choice.allowed) > 1]
    genes += [number for number, stack in enumerate(space.stacks) if len(stack.depths) > 1]
    genes += [(layer, i) for layer in settings for i, choice in enumerate(space.layered) if len(choice.allowed) > 1]
    if not genes:
        return subnet
    chosen = {gene for gene in genes if rng.random() < rate} or {rng.choice(genes)}
    shared = [choice for choice in space.shared if choice.dimension.name in chosen]
    drawn = {choice.dimension.name: rng.choice(choice.allowed) for choice in shared}
    for number, stack in enumerate(space.stacks):
        if number in chosen:
            depths[number] = rng.choice(stack.depths)

    def setting(layer: LayerAddress) -> tuple:
        there = [values for other, values in settings.items() if other.stack == layer.stack]
        values = list(settings[layer] if layer in settings else rng.choice(there))
        for i, choice in enumerate(space.layered):
            if (layer, i) in chosen:
                values[i] = rng.choice(choice.allowed)
        return tuple(values)

    return space.at_depths(subnet.with_values(**drawn), depths, setting)
