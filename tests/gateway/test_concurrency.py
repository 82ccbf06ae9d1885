"""Plans are made at the first need, which several threads may have at the same moment."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gateway import model, parse, render, validate


@pytest.fixture
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, kept in ((parse, "_operations"), (validate, "_operations"), (render, "_documents")):
        monkeypatch.setattr(module, kept, {})
        monkeypatch.setattr(module._Plans, "of", staticmethod(_fresh(module._Plans)))


def _fresh(plans: Any) -> Callable[[Any], Any]:
    made: dict[int, Any] = {}
    return lambda service: made.setdefault(id(service), plans(service))


@pytest.mark.usefixtures("nothing_compiled")
def test_many_threads_can_need_the_same_operation_first() -> None:
    operation = model.operation("ec2", "DescribeInstances")
    assert operation is not None
    fields = {"Action": "DescribeInstances", "Filter.1.Name": "vpc-id", "Filter.1.Value.1": "vpc-1"}
    start, wrong = threading.Barrier(8), []

    def one_request() -> None:
        start.wait()
        try:
            params = parse.parse(operation, fields)
            validate.check(operation, params)
            render.render(operation, {"Reservations": [{"Instances": [{"InstanceId": "i-1"}]}]}, "r")
        except BaseException as error:
            wrong.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=one_request) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []
