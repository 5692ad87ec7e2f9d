"""Groups of agents that comparisons connect.

Two agents can be ranked only if a chain of comparisons leads from one to the other. Agents without such a
chain are in different groups, and nothing in the data says which group is better.
"""

from collections.abc import Iterable, Sequence


def connected_groups(
    agents: Sequence[str], pairs: Iterable[tuple[str, str]]
) -> list[tuple[str, ...]]:
    """The connected components of the graph of comparisons.

    Args:
        agents: Names of all agents; one that was never compared is a group of its own.
        pairs: Names of the two agents of each comparison.

    Returns:
        Groups of names in alphabetical order; the largest group first, equally large ones by their first
        name.
    """
    leader = {agent: agent for agent in agents}

    def find(agent: str) -> str:
        while leader[agent] != agent:
            leader[agent] = leader[leader[agent]]
            agent = leader[agent]
        return agent

    apart = len(leader) - 1
    for one, other in pairs:
        first, second = find(one), find(other)
        if first != second:
            leader[first] = second
            apart -= 1
        if not apart:
            break
    members: dict[str, list[str]] = {}
    for agent in sorted(agents):
        members.setdefault(find(agent), []).append(agent)
    return sorted(map(tuple, members.values()), key=lambda group: (-len(group), group))
