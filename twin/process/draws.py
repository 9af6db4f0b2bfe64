"""Random draws: one uniform per variate, turned by the inverse cumulative distribution function, in float64.

Sources of the approximations: normal quantile, P. J. Acklam's rational approximation with one Halley step; gamma quantile,
Wilson-Hilferty start (A&S 26.4.17) and Halley steps on the regularised incomplete gamma function, which is summed as a series
below a + 1 and as Lentz's continued fraction above (Numerical Recipes, 3rd ed., section 6.2); log-gamma, Lanczos (g=7, n=9).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import warp as wp

from twin.model.distributions import DistributionTable
from twin.process.device import resolve_device
from twin.process.philox import philox, vec4u
from twin.process.tables import DistributionArrays, upload_distributions

INTERARRIVAL, CYCLE, FAILURE, REPAIR, SETUP, ROUTE, SCRAP, ITEM_TYPE, LOAD, UNLOAD, BATTERY, CHARGE = range(12)
"""What a draw is for: the last word of the counter."""
REDRAW = 32
"""Added to the purpose of a pending time that a fork draws anew."""

_f = wp.float64
ZERO = wp.constant(wp.float64(0.0))
HALF = wp.constant(wp.float64(0.5))
ONE = wp.constant(wp.float64(1.0))
TWO = wp.constant(wp.float64(2.0))
TINY = wp.constant(wp.float64(1.0e-300))
INFINITE = wp.constant(wp.float64(1.0e300))
TWO_53 = wp.constant(wp.float64(1.0 / 9007199254740992.0))


@wp.func
def uniform(seed: wp.uint32, replication: wp.uint32, stream: wp.uint64, ordinal: wp.int64, purpose: int) -> wp.float64:
    """A uniform in (0, 1) with 53 bits; the high ordinal bits share the purpose's word."""
    o = wp.uint64(ordinal)
    counter = vec4u(
        wp.uint32(stream & wp.uint64(0xFFFFFFFF)),
        wp.uint32(stream >> wp.uint64(32)),
        wp.uint32(o & wp.uint64(0xFFFFFFFF)),
        wp.uint32(purpose) | (wp.uint32(o >> wp.uint64(32)) << wp.uint32(8)),
    )
    r = philox(counter, seed, replication)
    bits = (wp.uint64(r[0]) << wp.uint64(21)) | (wp.uint64(r[1]) >> wp.uint64(11))
    return (wp.float64(bits) + HALF) * TWO_53


@wp.func
def normal_tail(x: wp.float64) -> wp.float64:
    """Standard normal CDF."""
    return HALF * wp.erfc(-x * _f(0.7071067811865476))


# fmt: off
@wp.func
def normal_quantile(p: wp.float64) -> wp.float64:
    x = ZERO
    if p < _f(0.02425):
        q = wp.sqrt(-TWO * wp.log(p))
        x = (
            (
                (
                    ((_f(-7.784894002430293e-03) * q + _f(-3.223964580411365e-01)) * q + _f(-2.400758277161838e00)) * q
                    + _f(-2.549732539343734e00)
                )
                * q
                + _f(4.374664141464968e00)
            )
            * q
            + _f(2.938163982698783e00)
        ) / (
            (
                ((_f(7.784695709041462e-03) * q + _f(3.224671290700398e-01)) * q + _f(2.445134137142996e00)) * q
                + _f(3.754408661907416e00)
            )
            * q
            + ONE
        )
    elif p > _f(0.97575):
        q = wp.sqrt(-TWO * wp.log(ONE - p))
        x = -(
            (
                (
                    ((_f(-7.784894002430293e-03) * q + _f(-3.223964580411365e-01)) * q + _f(-2.400758277161838e00)) * q
                    + _f(-2.549732539343734e00)
                )
                * q
                + _f(4.374664141464968e00)
            )
            * q
            + _f(2.938163982698783e00)
        ) / (
            (
                ((_f(7.784695709041462e-03) * q + _f(3.224671290700398e-01)) * q + _f(2.445134137142996e00)) * q
                + _f(3.754408661907416e00)
            )
            * q
            + ONE
        )
    else:
        q = p - HALF
        r = q * q
        x = (
            (
                (
                    (
                        ((_f(-3.969683028665376e01) * r + _f(2.209460984245205e02)) * r + _f(-2.759285104469687e02)) * r
                        + _f(1.383577518672690e02)
                    )
                    * r
                    + _f(-3.066479806614716e01)
                )
                * r
                + _f(2.506628277459239e00)
            )
            * q
            / (
                (
                    (
                        ((_f(-5.447609879822406e01) * r + _f(1.615858368580409e02)) * r + _f(-1.556989798598866e02)) * r
                        + _f(6.680131188771972e01)
                    )
                    * r
                    + _f(-1.328068155288572e01)
                )
                * r
                + ONE
            )
        )
    e = normal_tail(x) - p
    u = e * _f(2.5066282746310002) * wp.exp(x * x * HALF)
    return x - u / (ONE + x * u * HALF)
# fmt: on


@wp.func
def log_gamma(a: wp.float64) -> wp.float64:
    """Log of the gamma function for a > 0 (Lanczos)."""
    z = a - ONE
    if a < HALF:
        z = a
    s = _f(0.99999999999980993)
    s += _f(676.5203681218851) / (z + _f(1.0))
    s += _f(-1259.1392167224028) / (z + _f(2.0))
    s += _f(771.32342877765313) / (z + _f(3.0))
    s += _f(-176.61502916214059) / (z + _f(4.0))
    s += _f(12.507343278686905) / (z + _f(5.0))
    s += _f(-0.13857109526572012) / (z + _f(6.0))
    s += _f(9.9843695780195716e-6) / (z + _f(7.0))
    s += _f(1.5056327351493116e-7) / (z + _f(8.0))
    t = z + _f(7.5)
    out = _f(0.9189385332046727) + (z + HALF) * wp.log(t) - t + wp.log(s)
    if a < HALF:
        out = out - wp.log(a)
    return out


@wp.func
def gamma_cdf(a: wp.float64, x: wp.float64) -> wp.float64:
    """Regularised lower incomplete gamma function P(a, x)."""
    if x <= ZERO:
        return ZERO
    scale = wp.exp(-x + a * wp.log(x) - log_gamma(a))
    if x < a + ONE:
        term = ONE / a
        total = term
        n = a
        for _ in range(500):
            if wp.abs(term) > wp.abs(total) * _f(1.0e-16):
                n = n + ONE
                term = term * x / n
                total = total + term
        return total * scale
    b = x + ONE - a
    c = INFINITE
    d = ONE / b
    h = d
    change = TWO
    for i in range(1, 500):
        if wp.abs(change - ONE) > _f(1.0e-15):
            an = -_f(float(i)) * (_f(float(i)) - a)
            b = b + TWO
            d = an * d + b
            if wp.abs(d) < TINY:
                d = TINY
            c = b + an / c
            if wp.abs(c) < TINY:
                c = TINY
            d = ONE / d
            change = d * c
            h = h * change
    return ONE - scale * h


@wp.func
def gamma_quantile(p: wp.float64, a: wp.float64) -> wp.float64:
    """x with P(a, x) = p."""
    x = ZERO
    if a > ONE:
        g = _f(1.0) / (_f(9.0) * a)
        v = ONE - g + normal_quantile(p) * wp.sqrt(g)
        x = a * wp.max(v * v * v, _f(1.0e-3))
    else:
        t = ONE - a * (_f(0.253) + a * _f(0.12))
        if p < t:
            x = wp.pow(p / t, ONE / a)
        else:
            x = ONE - wp.log(ONE - (p - t) / (ONE - t))
    lg = log_gamma(a)
    done = int(0)
    for _ in range(24):
        if done == 0:
            if x <= ZERO:
                x = TINY
            err = gamma_cdf(a, x) - p
            density = wp.exp(-x + (a - ONE) * wp.log(x) - lg)
            if density <= ZERO:
                done = 1
            else:
                u = err / density
                t = u / (ONE - HALF * wp.min(ONE, u * ((a - ONE) / x - ONE)))
                x = x - t
                if x <= ZERO:
                    x = HALF * (x + t)
                if wp.abs(t) < _f(1.0e-12) * x:
                    done = 1
    return x


@wp.func
def triangular_cdf(low: wp.float64, mode: wp.float64, high: wp.float64, x: wp.float64) -> wp.float64:
    if x <= low:
        return ZERO
    if x >= high:
        return ONE
    if x < mode:
        return (x - low) * (x - low) / ((high - low) * (mode - low))
    return ONE - (high - x) * (high - x) / ((high - low) * (high - mode))


@wp.func
def cdf(t: DistributionArrays, row: int, x: wp.float64) -> wp.float64:
    """Cumulative distribution of the untruncated kind at ``x`` (constant and empirical: see ``remaining``)."""
    kind = t.row[row].kind
    mean = t.row[row].mean
    if kind == 5:
        return normal_tail((x - mean) / wp.max(mean * t.row[row].cv, TINY))
    if kind == 3:
        return wp.clamp((x - t.row[row].low) / wp.max(t.row[row].high - t.row[row].low, TINY), ZERO, ONE)
    if kind == 4:
        return triangular_cdf(t.row[row].low, t.row[row].mode, t.row[row].high, x)
    if x <= ZERO:
        return ZERO
    if kind == 1:
        return ONE - wp.exp(-x / mean)
    if kind == 2:
        k = _f(float(t.row[row].k))
        return gamma_cdf(k, x * k / mean)
    if kind == 6:
        variance = wp.log(ONE + t.row[row].cv * t.row[row].cv)
        return normal_tail((wp.log(x / mean) + HALF * variance) / wp.sqrt(variance))
    if kind == 7:
        a = ONE / (t.row[row].cv * t.row[row].cv)
        return gamma_cdf(a, x * a / mean)
    if kind == 8:
        scale = mean / wp.exp(log_gamma(ONE + ONE / t.row[row].shape))
        return ONE - wp.exp(-wp.pow(x / scale, t.row[row].shape))
    return ZERO


@wp.func
def quantile(t: DistributionArrays, row: int, p: wp.float64) -> wp.float64:
    """Inverse CDF of the untruncated kind."""
    kind = t.row[row].kind
    mean = t.row[row].mean
    if kind == 1:
        return -mean * wp.log(ONE - p)
    if kind == 2:
        k = _f(float(t.row[row].k))
        if t.row[row].k == 1:
            return -mean * wp.log(ONE - p)
        return gamma_quantile(p, k) * mean / k
    if kind == 3:
        return t.row[row].low + p * (t.row[row].high - t.row[row].low)
    if kind == 4:
        low = t.row[row].low
        high = t.row[row].high
        mode = t.row[row].mode
        span = high - low
        if span <= ZERO:
            return low
        cut = (mode - low) / span
        if p < cut:
            return low + wp.sqrt(p * span * (mode - low))
        return high - wp.sqrt((ONE - p) * span * (high - mode))
    if kind == 5:
        return mean + mean * t.row[row].cv * normal_quantile(p)
    if kind == 6:
        if t.row[row].cv <= ZERO:
            return mean
        variance = wp.log(ONE + t.row[row].cv * t.row[row].cv)
        return mean * wp.exp(wp.sqrt(variance) * normal_quantile(p) - HALF * variance)
    if kind == 7:
        if t.row[row].cv <= ZERO:
            return mean
        a = ONE / (t.row[row].cv * t.row[row].cv)
        return gamma_quantile(p, a) * mean / a
    if kind == 8:
        scale = mean / wp.exp(log_gamma(ONE + ONE / t.row[row].shape))
        return scale * wp.pow(-wp.log(ONE - p), ONE / t.row[row].shape)
    if kind == 9:
        begin = t.row[row].value_begin
        end = t.row[row].value_end
        for i in range(begin, end):
            if p < t.cumulative[i]:
                return t.values[i]
        return t.values[end - 1]
    return mean


@wp.func
def variate(t: DistributionArrays, row: int, u: wp.float64) -> wp.float64:
    """The value of row ``row`` for the uniform ``u``: truncated to [max(low, 0), high], never negative."""
    kind = t.row[row].kind
    if kind == 0 or kind == 9:
        return wp.max(quantile(t, row, u), ZERO)
    p = u
    low = wp.max(t.row[row].low, ZERO)
    high = t.row[row].high
    cuts = kind == 5 or low > ZERO or high < INFINITE
    if kind == 3 or kind == 4:  # their ends are parameters; only what lies below 0 is cut off
        cuts = t.row[row].low < ZERO
    if cuts:
        if t.row[row].cv > ZERO or (kind != 5 and kind != 6 and kind != 7):
            from_p = ZERO
            to_p = ONE
            if low > ZERO or kind == 3 or kind == 4 or kind == 5:
                from_p = cdf(t, row, low)
            if high < INFINITE:
                to_p = cdf(t, row, high)
            p = from_p + u * (to_p - from_p)
            p = wp.min(wp.max(p, _f(1.0e-15)), ONE - _f(1.0e-15))
    return wp.min(wp.max(quantile(t, row, p), low), high)


@wp.func
def remaining(t: DistributionArrays, row: int, u: wp.float64, age: wp.float64) -> wp.float64:
    """What is left [s] of a duration of row ``row`` that has lasted ``age`` [s] already, for the uniform ``u``: drawn from the
    distribution under the condition that it is longer than that (as ``variate`` draws it, truncated). 0 where it cannot be."""
    kind = t.row[row].kind
    if kind == 0:
        return wp.max(t.row[row].mean - age, ZERO)
    if kind == 9:
        begin = t.row[row].value_begin
        end = t.row[row].value_end
        longer = ZERO
        before = ZERO
        for i in range(begin, end):
            if t.values[i] > age:
                longer = longer + t.cumulative[i] - before
            before = t.cumulative[i]
        wanted = u * longer
        before = ZERO
        last = age
        for i in range(begin, end):
            if t.values[i] > age:
                last = t.values[i]
                wanted = wanted - (t.cumulative[i] - before)
                if wanted < ZERO:
                    return last - age
            before = t.cumulative[i]
        return last - age
    low = wp.max(t.row[row].low, ZERO)
    high = t.row[row].high
    if kind == 1 and high >= INFINITE and age >= low:
        return -t.row[row].mean * wp.log(ONE - u)  # without memory
    if (kind == 5 or kind == 6 or kind == 7) and t.row[row].cv <= ZERO:
        return wp.max(wp.min(wp.max(t.row[row].mean, low), high) - age, ZERO)
    from_p = cdf(t, row, wp.max(low, age))
    to_p = ONE
    if high < INFINITE and kind != 3 and kind != 4:
        to_p = cdf(t, row, high)
    if to_p - from_p <= _f(1.0e-14):
        return ZERO
    p = wp.min(from_p + u * (to_p - from_p), ONE - _f(1.0e-15))
    return wp.max(wp.min(quantile(t, row, p), high) - age, ZERO)


@wp.func
def duration_us(t: DistributionArrays, row: int, u: wp.float64) -> wp.int64:
    """The duration [us] of row ``row`` for the uniform ``u``; -1 for row -1 (never)."""
    if row < 0:
        return wp.int64(-1)
    if t.row[row].kind == 0:
        return wp.int64(wp.max(t.row[row].mean, ZERO) * _f(1.0e6) + HALF)
    return wp.int64(wp.min(variate(t, row, u), _f(1.0e12)) * _f(1.0e6) + HALF)


@wp.func
def needs_uniform(t: DistributionArrays, row: int) -> bool:
    """Whether a duration of row ``row`` is random."""
    if row < 0:
        return False
    return t.row[row].kind != 0


@wp.func
def sample_us(
    t: DistributionArrays,
    row: int,
    seed: wp.uint32,
    replication: wp.uint32,
    stream: wp.uint64,
    ordinal: wp.int64,
    purpose: int,
) -> wp.int64:
    """A duration [us] of row ``row``; -1 for row -1 (never)."""
    u = HALF
    if needs_uniform(t, row):
        u = uniform(seed, replication, stream, ordinal, purpose)
    return duration_us(t, row, u)


@wp.kernel
def _draw(
    t: DistributionArrays,
    row: int,
    seed: wp.uint32,
    replication: wp.uint32,
    stream: wp.uint64,
    purpose: int,
    out: wp.array(dtype=wp.float64),
):
    i = wp.tid()
    out[i] = variate(t, row, uniform(seed, replication, stream, wp.int64(i), purpose))


@wp.kernel
def _uniforms(seed: wp.uint32, replication: wp.uint32, stream: wp.uint64, purpose: int, out: wp.array(dtype=wp.float64)):
    i = wp.tid()
    out[i] = uniform(seed, replication, stream, wp.int64(i), purpose)


@wp.kernel
def _variates(t: DistributionArrays, row: int, u: wp.array(dtype=wp.float64), out: wp.array(dtype=wp.float64)):
    i = wp.tid()
    out[i] = variate(t, row, u[i])


@wp.kernel
def _remaining(t: DistributionArrays, row: int, age: wp.float64, u: wp.array(dtype=wp.float64), out: wp.array(dtype=wp.float64)):
    i = wp.tid()
    out[i] = remaining(t, row, u[i], age)


@wp.kernel
def _philox(counter: vec4u, key0: wp.uint32, key1: wp.uint32, out: wp.array(dtype=wp.uint32)):
    r = philox(counter, key0, key1)
    for i in range(4):
        out[i] = r[i]


def draw(
    table: DistributionTable, row: int, *, count: int, seed: int = 1, replication: int = 0, stream: int = 0, purpose: int = CYCLE
) -> np.ndarray:
    """The first ``count`` draws [s] that an engine makes for this key, stream and purpose: float64 [count]."""
    device = resolve_device("cpu")
    out = wp.empty(count, dtype=wp.float64, device=device)
    arrays = upload_distributions(table, device)
    wp.launch(_draw, count, [arrays, row, seed, replication, stream, purpose, out], device=device)
    return out.numpy()


def uniforms(*, count: int, seed: int = 1, replication: int = 0, stream: int = 0, purpose: int = ROUTE) -> np.ndarray:
    """The first ``count`` uniforms of this key, stream and purpose: float64 [count]."""
    out = wp.empty(count, dtype=wp.float64, device=resolve_device("cpu"))
    wp.launch(_uniforms, count, [seed, replication, stream, purpose, out], device="cpu")
    return out.numpy()


def variates(table: DistributionTable, row: int, u: np.ndarray) -> np.ndarray:
    """Values of a row for given uniforms: float64 [n]."""
    device = resolve_device("cpu")
    source: Any = wp.array(np.asarray(u, np.float64), dtype=wp.float64, device=device)
    out = wp.empty(len(source), dtype=wp.float64, device=device)
    wp.launch(_variates, len(source), [upload_distributions(table, device), row, source, out], device=device)
    return out.numpy()


def remainders(table: DistributionTable, row: int, age: float, u: np.ndarray) -> np.ndarray:
    """What is left [s] of durations that have lasted ``age`` [s], for given uniforms: float64 [n]."""
    device = resolve_device("cpu")
    source: Any = wp.array(np.asarray(u, np.float64), dtype=wp.float64, device=device)
    out = wp.empty(len(source), dtype=wp.float64, device=device)
    wp.launch(_remaining, len(source), [upload_distributions(table, device), row, age, source, out], device=device)
    return out.numpy()


def philox_words(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """The four words of Philox4x32-10, for known-answer tests."""
    out = wp.empty(4, dtype=wp.uint32, device=resolve_device("cpu"))
    wp.launch(_philox, 1, [vec4u(*counter), *key, out], device="cpu")
    return [int(x) for x in out.numpy()]
