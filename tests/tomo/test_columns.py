"""Columns times a matrix that is mostly 0: what BLAS gives."""

import numpy as np

from emrecon.tomo.operators.columns import Columns
from emrecon.tomo.operators.resampling import resampling


def test_columns_are_those_of_the_product() -> None:
    rng = np.random.default_rng(5)
    finer = resampling(2.0 * np.arange(13), 2.0, 0.3 + 0.7 * np.arange(31), 0.7)
    beyond = resampling(1.0 * np.arange(13), 1.0, 4.0 * np.arange(-2, 9), 4.0)  # rows of zeros
    for matrix in (finer, beyond, np.zeros((2, 13), np.float32), np.ones((4, 13), np.float32)):
        new, old = matrix.shape
        columns = Columns(matrix)
        image = rng.random((3, 5, old), np.float32)
        other = rng.random((3, 5, new), np.float32)
        np.testing.assert_allclose(columns.forward(image), image @ matrix.T, atol=2e-6)
        np.testing.assert_allclose(columns.adjoint(other), other @ matrix, atol=2e-6)
