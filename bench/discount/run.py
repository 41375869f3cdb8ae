"""The speed table of the calculator: in Rust, through the library, and over gRPC at both front ends.

Run: `make bench-discount`, with QUICK=1 for a short one. Each result is asserted before it is timed.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from bench.test_discount import FIVE, NOW, RULES, candidates, cart
from couponry.client import Client
from couponry.clock import to_timestamp
from couponry.demo.service import Service
from couponry.devstack import DevStack
from couponry.discount import best, best_many, price
from couponry.store import migrations
from couponry.v1 import coupon_pb2, discount_pb2, template_pb2
from tests.conformance import tools
from tests.conformance.harness import Report
from tests.unit.discount import model

_REPOSITORY: Final = Path(__file__).resolve().parents[2]
_CALCULATE: Final = "/couponry.v1.DiscountService/CalculateDiscount"
_GIVEN: Final = "10 lines, 5 coupons, given"
_SUITE: Final = re.compile(
    r"random suite, best of (\d+) .*: median (\d+) us, p99 (\d+) us, max \d+ us; .*; exact ([\d.]+) %"
)
_USER: Final = "shopper"


def _in_rust(report: Report, *, quick: bool) -> float:
    """Microseconds of APPLY_GIVEN."""
    options = ("--warm-up-time", "0.5", "--measurement-time", "1") if quick else ()
    environment = os.environ | ({"QUICK": "1"} if quick else {})
    done = subprocess.run(
        ("cargo", "bench", "--locked", "-q", "-p", "couponry-discount", "--bench", "pricing", "--", *options),
        cwd=_REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    target = Path(os.environ.get("CARGO_TARGET_DIR") or _REPOSITORY / "target")
    figures = json.loads((target / "criterion" / _GIVEN / "new" / "estimates.json").read_text(encoding="utf-8"))
    given = float(figures["median"]["point_estimate"]) / 1000
    report.add("Rust: 10 lines, 5 coupons, APPLY_GIVEN", f"{given:.2f} us", "<= 3 us", given <= 3)
    suites = {
        int(size): (int(median), int(p99), float(exact)) for size, median, p99, exact in _SUITE.findall(done.stdout)
    }
    median, _, _ = suites[10]
    report.add("Rust: BEST of 10 on 20 lines, random suite, median", f"{median} us", "<= 60 us", median <= 60)
    _, p99, exact = suites[30]
    report.add("Rust: BEST of 30 on 20 lines, random suite, P99", f"{p99:,} us", "<= 2,000 us", p99 <= 2_000)
    report.add("Rust: BEST of 30, EXACT", f"{exact:.2f} %", ">= 99 %", exact >= 99)
    return given


def _seconds(
    call: Callable[[], object], *, times: int, rounds: int, clock: Callable[[], float] = time.thread_time
) -> float:
    """The median over rounds of one call's time: this thread's own, or by another clock."""
    found = []
    for _ in range(rounds):
        start = clock()
        for _ in range(times):
            call()
        found.append((clock() - start) / times)
    return statistics.median(found)


def _in_python(report: Report, given_us: float, *, quick: bool) -> None:
    rounds = 5 if quick else 25
    ten = cart(10, 3)
    assert price(ten, FIVE, RULES, now=NOW).payable == 61_305 - 5_800
    library = _seconds(lambda: price(ten, FIVE, RULES, now=NOW), times=2_000, rounds=rounds) * 1e6
    what = f"{library:.2f} us, {library / given_us:.1f} times"
    report.add("Python: the same through the library", what, "<= 4 times Rust", library <= 4 * given_us)

    few, twelve = cart(4, 2), candidates(12)
    decision = best(few, twelve, RULES, now=NOW)
    start = time.thread_time()
    total, chosen = model.every_set(few, twelve, RULES, NOW)[0]
    tried = time.thread_time() - start
    assert (decision.discount, frozenset(decision.certificate.chosen)) == (total, chosen)
    searched = _seconds(lambda: best(few, twelve, RULES, now=NOW).discount, times=50, rounds=rounds)
    what = f"{tried / searched:,.0f} times: {searched * 1e6:.0f} us against {tried * 1e3:.0f} ms"
    report.add("Python: BEST of 12 against trying every set", what, ">= 1,000 times", tried >= 1_000 * searched)

    calls = [(cart(20, 1 + place % 9), candidates(10)) for place in range(500 if quick else 2_000)]
    assert best_many(calls, RULES, now=NOW)[7] == best(*calls[7], RULES, now=NOW)
    one = _seconds(lambda: best_many(calls, RULES, now=NOW, threads=1), times=1, rounds=5, clock=time.perf_counter)
    every = _seconds(lambda: best_many(calls, RULES, now=NOW), times=1, rounds=5, clock=time.perf_counter)
    cores = len(os.sched_getaffinity(0))
    gain, bar = one / every, 1 + (cores - 1) / 2
    what = f"{gain:.2f} times, {len(calls) / every / 1000:,.1f} k carts/s"
    report.add(f"Python: best_many on {cores} cores against one thread", what, f">= {bar:g} times", gain >= bar)


def _terms(number: int) -> template_pb2.Terms:
    """Of ten candidates: percentages, thresholds, instants, one for shipping; some for half of the goods."""
    terms = template_pb2.Terms(coupon_class=template_pb2.COUPON_CLASS_PLATFORM, currency="CNY")
    match number % 5:
        case 0:
            terms.kind, terms.percent_off_bp = template_pb2.KIND_PERCENT_OFF, 500 + 70 * number
        case 1:
            terms.kind, terms.amount_off, terms.min_spend = template_pb2.KIND_THRESHOLD_OFF, 900 + 90 * number, 5_000
        case 2 | 3:
            terms.kind, terms.amount_off = template_pb2.KIND_INSTANT_OFF, 100 + 40 * number
        case _:
            terms.kind, terms.coupon_class = template_pb2.KIND_FREE_SHIPPING, template_pb2.COUPON_CLASS_SHIPPING
    if number % 3 == 0 and terms.kind != template_pb2.KIND_FREE_SHIPPING:
        terms.scope.include_skus.extend(f"sku-{place}" for place in range(0, 20, 2))
    return terms


async def _coupons(address: str) -> list[int]:
    """Ten coupons of one user, each of a template of its own."""
    now = datetime.now(UTC)
    found = []
    async with Client(address, timeout_s=30) as client:
        for number in range(10):
            spec = template_pb2.TemplateSpec(
                name="bench",
                total=10,
                terms=_terms(number),
                valid_from=to_timestamp(now - timedelta(hours=1)),
                valid_until=to_timestamp(now + timedelta(days=1)),
            )
            created = await client.templates.CreateTemplate(template_pb2.CreateTemplateRequest(spec=spec))
            received = await client.coupons.ReceiveCoupon(
                coupon_pb2.ReceiveCouponRequest(user_id=_USER, template_id=created.template.template_id)
            )
            found.append(received.coupon.coupon_id)
    return found


def _request(coupon_ids: list[int]) -> discount_pb2.CalculateDiscountRequest:
    request = discount_pb2.CalculateDiscountRequest(user_id=_USER, mode=discount_pb2.CALCULATE_MODE_BEST)
    request.cart.currency = "CNY"
    for place in range(20):
        request.cart.lines.add(
            line_id=f"line-{place}",
            sku_id=f"sku-{place}",
            shop_id=f"shop-{place % 2}",
            category_ids=["goods"],
            quantity=3,
            unit_price=1_999 + place,
        )
    for place in range(2):
        request.cart.shipments.add(shipment_id=f"parcel-{place}", shop_id=f"shop-{place}", amount=600)
    request.coupons.extend(discount_pb2.CouponRef(coupon_id=coupon_id) for coupon_id in coupon_ids)
    return request


async def _answer(address: str, request: discount_pb2.CalculateDiscountRequest) -> bytes:
    async with Client(address, timeout_s=30) as client:
        response = await client.discounts.CalculateDiscount(request)
    assert response.certificate.optimality == discount_pb2.OPTIMALITY_EXACT
    assert response.decision.discount > 0
    assert len(response.decision.applied) + len(response.decision.rejected) == 10
    return response.SerializeToString()


def _load(address: str, request: bytes, answer: bytes, seconds: float) -> dict[str, Any]:
    where = (str(tools.loadgen()), address, _CALCULATE, "-c", "4", "-m", "16")
    what = ("--message-hex", request.hex(), "--expect-hex", answer.hex(), "--expect-messages", "1")
    times = ("--duration", str(seconds), "--warmup", "1")
    done = subprocess.run((*where, *what, *times), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the load at {address} failed: {(done.stderr or done.stdout)[-1000:]}")
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def _over_grpc(report: Report, *, quick: bool) -> None:
    """One user's ten coupons in L1, which the service refreshes as it always does."""
    tools.loadgen()
    rates: dict[str, list[float]] = {"reference": [], "native": []}
    with tempfile.TemporaryDirectory(prefix="couponry-") as folder, DevStack(Path(folder)) as stack:
        migrations.upgrade(stack.mysql_dsn())
        coupon_ids: list[int] = []
        answers: set[bytes] = set()
        for _ in range(1 if quick else 3):
            for frontend in ("reference", "native"):
                with Service(stack, Path(folder), frontend=frontend) as service:
                    coupon_ids = coupon_ids or asyncio.run(_coupons(service.address))
                    request = _request(coupon_ids)
                    answer = asyncio.run(_answer(service.address, request))
                    answers.add(answer)
                    figures = _load(service.address, request.SerializeToString(), answer, 2 if quick else 5)
                    rates[frontend].append(figures["calls_per_second"])
        assert len(answers) == 1, "both front ends answer the same bytes"
    native, reference = statistics.median(rates["native"]), statistics.median(rates["reference"])
    what = f"{native / reference:.1f} times: {native / 1000:,.1f} k requests/s against {reference / 1000:,.2f}"
    report.add("gRPC: CalculateDiscount, BEST of 10, in L1", what, ">= 10 times", native >= 10 * reference)


def main() -> int:
    """Everything, or with `--quick` the same in short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", default=bool(os.environ.get("QUICK")))
    quick = parser.parse_args().quick
    report = Report("The calculator", ("MET", "MISSED"))
    given_us = _in_rust(report, quick=quick)
    _in_python(report, given_us, quick=quick)
    _over_grpc(report, quick=quick)
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
