"""Searching for the nodes of large effect by patching groups of them: blocks, and a tree of groups (arXiv 2403.00745).

Both find the effect of every node in the end. What matters is how many groups and nodes were patched before it was that
node's turn: `verification.search_cost` compares that with an oracle.
"""

import heapq
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Measure = Callable[[Sequence[Sequence[int]]], NDArray[np.float64]]
"""Contribution of each of some sets of nodes, patched together: mean of |I| over pairs."""


def search_blocks(nodes: int, size: int, measure: Measure) -> NDArray[np.float64]:
    """Patch blocks of neighbouring nodes, then the nodes of each block, the block of largest effect first.

    Args:
        nodes: Number of nodes.
        size: Number of nodes of a block.
        measure: Patches sets of nodes.

    Returns:
        Number of sets that had been patched when each node was, float64 [nodes].
    """
    blocks = [range(start, min(start + size, nodes)) for start in range(0, nodes, size)]
    order = np.argsort(-measure(blocks), kind="stable")
    found = np.zeros(nodes)
    spent = len(blocks)
    for number in order.tolist():
        for node in blocks[number]:
            spent += 1
            found[node] = spent
    return found


def search_tree(nodes: int, branching: int, measure: Measure) -> NDArray[np.float64]:
    """Patch a tree of groups, each split into a few; next is always the group of largest effect that was not split yet.

    Args:
        nodes: Number of nodes.
        branching: Number of parts that a group is split into.
        measure: Patches sets of nodes.

    Returns:
        Number of sets that had been patched when each node was alone, float64 [nodes].
    """
    found = np.zeros(nodes)
    spent = 0
    queue: list[tuple[float, int, int]] = [(0.0, 0, nodes)]  # less the effect, start and stop
    while queue:
        _, start, stop = heapq.heappop(queue)
        edges = np.linspace(start, stop, min(branching, stop - start) + 1).round().astype(int)
        parts = [range(a, b) for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]
        for part, effect in zip(parts, measure(parts).tolist(), strict=True):
            spent += 1
            if len(part) == 1:
                found[part.start] = spent
            else:
                heapq.heappush(queue, (-effect, part.start, part.stop))
    return found
