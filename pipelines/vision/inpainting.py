"""Filling a gap in an image without a generator: the smoothest surface between the colours at its edge."""

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.linalg import spsolve

from pipelines.records import Image, Mask


def harmonic_fill(image: Image, gap: Mask) -> Image:
    """Solve Laplace's equation in the gap: every pixel is the mean of its neighbours. Outside it nothing changes.

    A gap that leaves nothing of the image becomes grey.
    """
    if gap.all():
        return np.full_like(image, 127)
    filled, count = image.copy(), int(gap.sum())
    if not count:
        return filled
    number = np.full(gap.shape, -1)
    number[gap] = np.arange(count)
    neighbours, known = np.zeros(count), np.zeros((count, 3))
    rows, columns = [], []
    for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        place = np.argwhere(gap) + step
        inside = ((place >= 0) & (place < gap.shape)).all(axis=1)
        neighbours += inside
        unknown = np.flatnonzero(inside)[gap[tuple(place[inside].T)]]
        given = np.flatnonzero(inside)[~gap[tuple(place[inside].T)]]
        rows.append(unknown)
        columns.append(number[tuple(place[unknown].T)])
        known[given] += image[tuple(place[given].T)]
    pairs = np.concatenate(rows), np.concatenate(columns)
    laplacian = diags(neighbours) - coo_matrix((np.ones(len(pairs[0])), pairs), shape=(count, count))
    filled[gap] = np.round(spsolve(laplacian.tocsc(), known)).clip(0, 255)
    return filled
