"""Values of scikit-learn and NumPy that tests/unit/map_test.cc and tsne_test.cc compare with: python make_map_values.py > map_values.h

Made with scikit-learn 1.9.1 and NumPy 2.4.6.
"""

import numpy as np
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import TSNE
from sklearn.manifold._t_sne import _gradient_descent, _joint_probabilities, _joint_probabilities_nn, _kl_divergence
from sklearn.neighbors import NearestNeighbors

COUNT, DIM, CLUSTERS = 300, 8, 5


def points():
    """As test_points() of map_points.h has them: cluster i % 5, sums of four numbers of a linear congruential generator."""
    state, rows = 1, np.zeros((COUNT, DIM), np.float32)
    for i in range(COUNT):
        for d in range(DIM):
            total = 0.0
            for _ in range(4):
                state = (state * 1103515245 + 12345) % 2**31
                total += state / 2**31
            rows[i, d] = total - 2 + (2.0 if d == i % CLUSTERS else 0.0)
    return rows


def show(name, values, comment):
    """A number, or a matrix row by row."""
    row = lambda numbers: "{" + ", ".join(f"{v:.9g}" for v in numbers) + "}"
    if np.ndim(values) == 0:
        print(f"/// {comment}\ninline constexpr double {name} = {values:.9g};")
    else:
        size = "".join(f"[{extent}]" for extent in values.shape)
        print(f"/// {comment}\ninline constexpr double {name}{size} = {{\n" + ",\n".join(map(row, values)) + "};")


def descend(p, start, iterations, exaggerated):
    """As TSNE._tsne does, with other numbers of iterations and exact forces, in double."""
    places = start / np.std(start[:, 0]) * 1e-4
    for first, last, scale, momentum in ((0, exaggerated, 12, 0.5), (exaggerated, iterations, 1, 0.8)):
        places, _, _ = _gradient_descent(
            _kl_divergence,
            places.ravel(),
            first,
            last,
            n_iter_check=50,
            momentum=momentum,
            learning_rate=50.0,
            args=[p * scale, 1, COUNT, 2],
        )
        places = places.reshape(COUNT, 2)
    return places


def principal_components(rows):
    centred = rows - rows.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    return u[:, :2] * s[:2] * np.sign(vt[np.arange(2), np.abs(vt[:2]).argmax(axis=1)])


x = points()
few = pdist(x[:8].astype(np.float64), "sqeuclidean")
joint = squareform(_joint_probabilities(squareform(few).astype(np.float32), 2.5, 0))
start = principal_components(x.astype(np.float64))
divergence = TSNE(init="pca", perplexity=20, random_state=0).fit(x).kl_divergence_
graph = NearestNeighbors(n_neighbors=61).fit(x).kneighbors_graph(mode="distance")
graph.data **= 2
descent = descend(squareform(_joint_probabilities_nn(graph, 20, 0).toarray(), checks=False), start, 60, 30)

print("// Made by make_map_values.py, which says of what.\n#pragma once\n\nnamespace dcl::test {\n")
show("kJointProbabilities", joint, "Of the first eight points at perplexity 2.5")
show(
    "kPrincipalComponents",
    principal_components(x.reshape(60, 40).astype(np.float64))[:8],
    "Of the numbers of all points as 60 points of 40, the first eight",
)
show(
    "kDescent",
    descent[:8],
    "Places of the first eight points after 30 exaggerated and 30 further iterations, perplexity 20",
)
show("kDivergence", divergence, "That t-SNE of all points ends at, perplexity 20")
print("\n}  // namespace dcl::test")
