"""Villages: where they stand, what they are built of, what the site reports of them."""

import numpy as np
import pytest

from basalt.core.tasks import get_task
from basalt.worlds.luanti.worldcache import saved_world

PEN = get_task("create_village_animal_pen")
SEEDS = {"desert": 100_000, "plains": 100_002, "snowy": 100_003}


@pytest.mark.engine
@pytest.mark.parametrize(("style", "seed"), SEEDS.items())
def test_a_village_has_a_street_houses_farms_and_free_plots(style, seed):
    site = saved_world(PEN, seed).site
    assert site["style"] == style
    assert len(site["houses"]) >= 6 and len(site["farms"]) >= 2 and len(site["plots"]) >= 2
    assert len(site["lamps"]) >= 4 and len(site["street"]) > 20
    street = np.array(site["street"])
    assert np.abs(np.diff(street[:, 1])).max() <= 2, "the street climbs gently"
    for house in site["houses"]:
        door, outside = np.array(house["door"]), np.array(house["outside"])
        assert np.abs(door - outside).sum() == 1
        assert (outside - door).tolist() == house["facing"]
        assert np.linalg.norm(street - door, axis=1).min() < 9, "houses stand by the street"
    blocks = {tuple(p) for p in np.reshape(site["blocks"], (-1, 3)).astype(int).tolist()}
    assert len(blocks) * 3 == len(site["blocks"]) > 6_000
    areas = [(b["min"], b["max"]) for kind in ("houses", "farms", "plots") for b in site[kind]]
    for k, (low, high) in enumerate(areas):
        for other_low, other_high in areas[:k]:
            apart = [other_high[i] < low[i] or other_low[i] > high[i] for i in (0, 2)]
            assert any(apart), "no two share ground"
