"""Mapping files: what is wrong is named by file and key; units are compiled; secrets stay out of sight."""

from pathlib import Path

import pytest

from twin.connectors.drivers.mqtt.topics import match
from twin.connectors.lint import lint
from twin.connectors.mapping import parse
from twin.connectors.secret import Redactor
from twin.connectors.stamps import StampError, parse_time
from twin.connectors.units import compile_unit
from twin.core.errors import MappingError
from twin.model.factory import Signal

GOOD_TEXT = """
schema: twin.mapping/1
connections:
  - {name: cell, driver: mqtt, address: "mqtt://${host}", options: {password: "${env:TWIN_TEST_PASSWORD}"}}
signals:
  - {connection: cell, source: {topic: a/b}, target: {prim: /W/Oven, signal: temperature}, raw_unit: "[degF]", unit: Cel}
"""


def read(text: str, **variables: str):
    return parse(text, file="plant.yaml", folder=Path(), variables=variables or {"host": "127.0.0.1"})


@pytest.mark.parametrize(
    ("raw", "unit", "at", "expected"),
    [
        ("[degF]", "Cel", 212.0, 100.0),
        ("Cel", "K", -273.15, 0.0),
        ("%", "1", 50.0, 0.5),
        ("bar", "kPa", 1.0, 100.0),
        ("[lb_av]", "g", 1.0, 453.59237),
        ("{cartons}/h", "1/s", 3600.0, 1.0),
        ("/min", "Hz", 60.0, 1.0),
        ("km/h", "m/s", 36.0, 10.0),
    ],
)
def test_units_are_compiled(raw, unit, at, expected):
    conversion = compile_unit(raw, unit)
    assert conversion.to(at) == pytest.approx(expected, abs=1e-9)
    assert conversion.back(conversion.to(at)) == pytest.approx(at)


@pytest.mark.parametrize(("raw", "unit"), [("Cel", "m"), ("furlong per fortnight", "m/s"), ("m/", "m"), ("dB", "1")])
def test_units_that_do_not_fit_are_refused(raw, unit):
    with pytest.raises(MappingError):
        compile_unit(raw, unit)


@pytest.mark.parametrize(
    ("old", "new", "key", "says"),
    [
        ("twin.mapping/1", "twin.mapping/9", "schema", "twin.mapping/1"),
        ("driver: mqtt", "driver: carrier-pigeon", "connections[0].driver", "opcua"),
        ("connection: cell", "connection: sell", "signals[0].connection", "cell"),
        ("topic: a/b", "topic: a/#/b", "signals[0].source.topic", "filter"),
        ("prim: /W/Oven", "prim: Oven", "signals[0].target.prim", "pattern"),
        ("unit: Cel}", "unit: m}", "signals[0].raw_unit", "different things"),
        ("unit: Cel}", "unit: Cel, interval: soon}", "signals[0].interval", "duration"),
        ("unit: Cel}", "unit: Cel, colour: red}", "signals[0].colour", "not permitted"),
        ("${host}", "${nobody}", "", "nobody"),
        ("signals:", "signals: [", "", "YAML"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(old, new, key, says):
    with pytest.raises(MappingError) as caught:
        read(GOOD_TEXT.replace(old, new, 1))
    assert caught.value.file == "plant.yaml"
    assert (caught.value.attribute or "") == key
    assert says in str(caught.value)


def test_an_opcua_source_needs_a_namespace_uri():
    text = GOOD_TEXT.replace("driver: mqtt", "driver: opcua").replace("{topic: a/b}", '{node: "ns=2;s=Oven"}')
    with pytest.raises(MappingError, match="index changes"):
        read(text.replace('options: {password: "${env:TWIN_TEST_PASSWORD}"}', "options: {}"))
    whole = read(text.replace("ns=2;s=Oven", "nsu=urn:x;s=Oven"))
    assert (whole.points[0].source.namespace, whole.points[0].source.node) == ("urn:x", "s=Oven")


def test_secrets_are_put_in_late_and_shown_nowhere(monkeypatch):
    monkeypatch.setenv("TWIN_TEST_PASSWORD", "p@ss/w%rd")
    mapping = read(GOOD_TEXT.replace("mqtt://${host}", "mqtt://me:hidden%20one@${host}"))
    assert "p@ss" not in repr(mapping)
    redactor = Redactor()
    connection = mapping.resolve(mapping.connections[0], redactor)
    assert connection.options.password == "p@ss/w%rd"
    assert "p@ss" not in repr(connection)
    shown = redactor.clean("tried p@ss/w%rd, p%40ss%2Fw%25rd, hidden%20one and hidden one")
    assert shown == "tried ***, ***, *** and ***"


def test_lint_finds_what_does_not_fit_the_stage():
    text = """
schema: twin.mapping/1
connections: [{name: c, driver: mqtt, address: "mqtt://h"}, {name: idle, driver: mqtt, address: "mqtt://h"}]
signals:
  - {connection: c, source: {topic: a}, target: {prim: /W/Oven, signal: temperature}, raw_unit: "[degF]", unit: Cel}
  - {connection: c, source: {topic: b}, target: {prim: /W/Oven, signal: temperature}, unit: Cel}
  - {connection: c, source: {topic: c}, target: {prim: /W/Oven, signal: colour}}
  - {connection: c, source: {topic: d}, target: {prim: /W/Nowhere, signal: x}}
  - {connection: c, source: {topic: e}, target: {prim: /W/Belt, signal: speed}, unit: Cel}
  - {connection: c, source: {topic: f}, target: {prim: /W/Belt2, signal: speed}, unit: km/h, write: {}}
  - {connection: c, source: {topic: +/v}, target: {prim: "/W/{1}", signal: temperature}, unit: Cel}
"""
    signals = [Signal("/W/Oven", "temperature", "Cel"), Signal("/W/Belt", "speed", "m/s"), Signal("/W/Belt2", "speed", "m/s")]
    findings = [(f.path.split(": ")[1], f.code) for f in lint([read(text)], signals)]
    assert sorted(findings) == sorted(
        [
            ("connections[1]", "unused-connection"),
            ("signals[1]", "two-writers"),
            ("signals[2]", "unknown-signal"),
            ("signals[3]", "unknown-prim"),
            ("signals[4]", "unit-mismatch"),
            ("signals[5]", "unit-differs"),
            ("signals[5]", "write-without-limits"),
        ]
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2013-12-02 21:15:00", 1_386_018_900_000_000_000),
        ("2013-12-02T21:15:00.123456789Z", 1_386_018_900_123_456_789),
        ("2013-12-02T22:15:00,5+01:00", 1_386_018_900_500_000_000),
        (1_386_018_900, 1_386_018_900_000_000_000),
        (1_386_018_900.25, 1_386_018_900_250_000_000),
        (1_386_018_900_123, 1_386_018_900_123_000_000),
        (1_386_018_900_123_456, 1_386_018_900_123_456_000),
        (1_386_018_900_123_456_789, 1_386_018_900_123_456_789),
    ],
)
def test_times_are_read_whatever_their_form(value, expected):
    from datetime import UTC

    assert parse_time(value, UTC) == expected


@pytest.mark.parametrize("value", ["noon", None, True, [1]])
def test_what_is_no_time_is_refused(value):
    from datetime import UTC

    with pytest.raises(StampError):
        parse_time(value, UTC)


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("a/b", "a/b", ()),
        ("a/+/c", "a/x/c", ("x",)),
        ("a/#", "a/x/y", ("x/y",)),
        ("a/#", "a", ("",)),
        ("+/+", "/x", ("", "x")),
        ("+", "a/b", None),
        ("#", "$SYS/uptime", None),
        ("a/+", "a", None),
    ],
)
def test_wildcards_match_whole_levels(pattern, topic, expected):
    assert match(tuple(pattern.split("/")), topic) == expected
