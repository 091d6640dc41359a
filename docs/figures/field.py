"""A hidden Markov field: the same mixture, once with voxels on their own, once with neighbours."""

import matplotlib.pyplot as plt
import numpy as np
from toy import slice_of_a_head

means, spread, beta = np.array([0.0, 1.0, 2.0]), 0.6, 1.1
truth = np.digitize(np.kron(slice_of_a_head(), np.ones((2, 2))), [0.5, 2.0])
y = means[truth] + np.random.default_rng(0).normal(0, spread, truth.shape)


def neighbours(q):
    """Return the sum of the four neighbours' probabilities."""
    padded = np.pad(q, ((1, 1), (1, 1), (0, 0)), mode="edge")
    return padded[2:, 1:-1] + padded[:-2, 1:-1] + padded[1:-1, 2:] + padded[1:-1, :-2]


log_density = -((y[..., None] - means) ** 2) / 2 / spread**2
alone = np.exp(log_density) / np.exp(log_density).sum(axis=2, keepdims=True)
q = alone.copy()
black = np.indices(truth.shape).sum(axis=0) % 2 == 0
for _ in range(20):  # each colour of the chessboard is one coordinate of F(q, theta)
    for colour in (black, ~black):
        wanted = np.exp(log_density + beta * neighbours(q))
        q[colour] = (wanted / wanted.sum(axis=2, keepdims=True))[colour]

figure, panels = plt.subplots(1, 4, figsize=(7.6, 2.3))
wrong = [f"{np.mean(found.argmax(axis=2) != truth):.1%} wrong" for found in (alone, q)]
shown = (("image", y), ("truth", truth), (f"voxels alone\n{wrong[0]}", alone.argmax(axis=2)),
         (f"with neighbours\n{wrong[1]}", q.argmax(axis=2)))  # fmt: skip
for axes, (title, picture) in zip(panels, shown, strict=True):
    axes.imshow(
        picture, cmap="gray", vmin=-1 if title == "image" else 0, vmax=3 if title == "image" else 2
    )
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])
figure.tight_layout()
plt.show()
