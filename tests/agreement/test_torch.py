"""PyTorch gives the answers again that the other frameworks are compared with."""

import pytest

from agreement import cases
from agreement.torch_networks import network

# PyTorch's own remark on even kernels; that they agree with Keras' is what is tested
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
every_case = pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)


@every_case
def test_pytorch_gives_the_saved_answers(case):
    cases.assert_agreement(case, cases.answers(network(case), cases.inputs(case)))


def test_cases_tell_more_than_one_class_apart():
    predicted = {int(each) for case in cases.CASES for each in cases.expected(case)["classes"]}
    assert predicted - {cases.FIXED_CLASS}
    assert len(predicted) > 1


def test_methods_differ_in_every_case():
    for case in cases.CASES:
        maps = cases.expected(case)["maps"]
        assert cases.difference(maps[:, :, 0], maps[:, :, 1], case.rank) > 0.01
