from dataclasses import replace

from bakeoff.config.sections import DecideConfig, Gate
from bakeoff.evaluate.advise.advice import Option, predicted, ranked
from bakeoff.results.search import ProbePoint

SIZES = [100, 200, 400, 800]


def option(name, *, top, rate=1.0, work=0.001, latency=1.0, sizes=SIZES, se=0.01):
    points = tuple(
        ProbePoint(
            rows=n,
            train_s=0.1 + work * n,
            memory_bytes=10**8 + n,
            size_bytes=1000 + n,
            value=top - rate * n**-0.5,
            se=se,
            latency_p50_ms=latency / 2,
            latency_p95_ms=latency,
            row_s=latency / 1e4,
        )
        for n in sizes
    )
    outlook = predicted(points, 10_000, price_per_hour_usd=0.1, higher_is_better=True)
    return Option(name=name, family=name, named=True, points=points, outlook=outlook)


def order(*options, **gates):
    decide = DecideConfig(gates=gates)
    found = ranked(options, metric="f1_macro", higher_is_better=True, decide=decide, memory_bytes=10**10, rows=10_000)
    return {each.name: each for each in found}


def test_the_best_is_first_and_what_is_clearly_behind_is_left_out():
    found = order(option("poor", top=0.6), option("good", top=0.9, latency=4.0), option("near", top=0.89))
    assert [each.call for each in found.values()] == ["try first", "try", "leave out"]
    assert list(found) == ["good", "near", "poor"]
    assert "4.0 times cheaper" in found["near"].reasons[1]
    assert "behind good's" in found["poor"].reasons[0]
    assert "the two intervals overlap" in found["near"].evidence[0]


def test_a_limit_that_cannot_be_kept_leaves_the_best_out():
    found = order(option("slow", top=0.9, latency=400.0), option("quick", top=0.7), latency_p95_ms=Gate(max=50))
    assert list(found) == ["quick", "slow"]
    assert found["slow"].call == "leave out"
    assert "latency_p95_ms" in found["slow"].reasons[0]
    assert "at most 50 is allowed" in found["slow"].reasons[0]
    open_limit = order(option("only", top=0.9, latency=50.0), latency_p95_ms=Gate(max=50))
    assert "whether it keeps the limit 50 of latency_p95_ms is open" in open_limit["only"].reasons[1]


def test_the_machine_is_a_limit_too():
    big = option("big", top=0.9)
    big = replace(
        big,
        outlook=predicted(
            [replace(point, memory_bytes=10**10 * point.rows) for point in big.points],
            10_000,
            price_per_hour_usd=0.1,
            higher_is_better=True,
        ),
    )
    assert "memory_bytes" in order(big)["big"].reasons[0]


def test_what_was_not_measured_is_not_judged():
    missing = Option(name="lora", family="lora", named=False, trouble='pip install "bakeoff[llm]"')
    found = order(missing, option("once", top=0.9, sizes=[100]), option("good", top=0.8))
    assert [(each.name, each.call) for each in found.values()] == [
        ("good", "try first"),
        ("lora", "cannot say"),
        ("once", "cannot say"),
    ]
    assert "bakeoff[llm]" in found["lora"].reasons[0]
    assert "probed anew" in found["lora"].evidence[0]
    assert "one sample" in found["once"].reasons[0]


def test_what_was_too_slow_for_the_probe_is_told_to_take_a_longer_one():
    slow = Option(name="lora", family="lora", named=True, trouble="nothing was measured in the 4.0 s given", late=True)
    found = order(slow, option("good", top=0.8))
    assert found["lora"].call == "cannot say"
    assert "bakeoff advise --seconds" in found["lora"].evidence[0]


def test_more_rows_may_turn_it_round():
    early = option("early", top=0.8, rate=0.1, se=0.001)
    late = option("late", top=0.9, rate=14.0, se=0.001)
    found = order(early, late)
    assert found["late"].call == "leave out"
    assert "training rows, where its curve would meet early's" in found["late"].evidence[-1]


def test_all_right_on_few_rows_is_no_certainty_and_nothing_is_better_than_the_best():
    points = [
        ProbePoint(
            rows=n, train_s=0.1, memory_bytes=1, size_bytes=1, value=value, se=0.0, latency_p50_ms=1.0,
            latency_p95_ms=1.0, row_s=1e-4, scored=27,
        )
        for n, value in ((50, 0.2), (100, 0.9), (125, 1.0))
    ]  # fmt: skip
    metric = predicted(points, 150, price_per_hour_usd=0.1, higher_is_better=True, best=1.0, test_rows=36).metric
    assert metric.value == metric.high == 1.0
    assert metric.low < 0.9
    falling = [replace(point, value=10.0 / point.rows - 0.07) for point in points]
    error = predicted(falling, 10_000, price_per_hour_usd=0.1, higher_is_better=False, best=0.0).metric
    assert error.value == error.low == 0.0
    assert error.high >= 0.0
