"""The points of a curve."""

from tests.bench.serving.figures import Sample
from tests.bench.serving.parts.growth import Point


def test_a_point_is_the_median_of_its_rounds_and_shows_their_spread() -> None:
    point = Point(32, [Sample(rate, 0) for rate in (100, 300, 110)])
    assert point.median("items_per_second") == 110
    assert point.shown("items_per_second") == "110 (100 to 300)"
