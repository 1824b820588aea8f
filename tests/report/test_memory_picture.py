from worldloom.report.memory import memory_curve
from worldloom.report.pictures import width_of


def test_a_curve_per_memory_is_drawn_the_same_every_time():
    peaks = {"HPMC": [10.0, 12.0], "all": [10.0, 40.0]}
    png = memory_curve([1, 81], peaks)
    assert width_of(png) > 400
    assert png == memory_curve([1, 81], peaks) != memory_curve([1, 81], {"HPMC": [10.0, 12.0], "all": [10.0, 50.0]})
