"""Many small logistic regressions at once, all on the same features, for permuted labels.

The models are those of scikit-learn's `LogisticRegressionCV` with an L2 penalty and balanced classes, which fits them
one after the other. A thousand permutations of ten folds and five networks are more than a million fits of a hundred
patients, where calling the solver costs more than solving.
"""

import numpy as np
from scipy.special import expit
from sklearn.model_selection import StratifiedKFold

TOLERANCE = 1e-4
"""Of the gradient of the loss, which sums over patients."""
MAX_ITERATIONS = 100


def fit(values: np.ndarray, labels: np.ndarray, weights: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Minimise the weighted logistic loss plus half the penalty times the squared coefficients, by Newton's method.

    Args:
        values: (N, F) float, the same in every model.
        labels: (B, N) 0 or 1, of each model.
        weights: (B, N) float, of each patient in each model; 0 leaves a patient out.
        penalty: (B,) float, positive; the inverse of scikit-learn's C. The intercept is not penalised.

    Returns:
        (B, F + 1) float64 coefficients, the intercept last.

    Raises:
        RuntimeError: a model does not converge.
    """
    # The penalty is the same in all directions, so that models of more features than patients need no more than these.
    left, singular, axes = np.linalg.svd(values.astype(float), full_matrices=False)
    design = np.column_stack([left * singular, np.ones(len(values))])
    width = design.shape[1]
    # In single precision their sums take a third of the time; the gradient, in double, decides where the steps end.
    products = (design[:, :, None] * design[:, None]).reshape(len(design), -1).astype(np.float32)
    ridge = penalty[:, None] * (np.arange(width) < width - 1)
    signs = 1.0 - 2 * labels

    def loss(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
        margins = np.logaddexp(0, signs[rows] * (found @ design.T))
        return (weights[rows] * margins).sum(1) + (ridge[rows] * found**2).sum(1) / 2

    found = np.zeros((len(labels), width))
    rows = np.arange(len(labels))  # the models that have not converged
    for _ in range(MAX_ITERATIONS):
        at = found[rows]
        chance = expit(at @ design.T)
        gradient = (weights[rows] * (chance - labels[rows])) @ design + ridge[rows] * at
        steep = ~(np.abs(gradient).max(1) <= TOLERANCE)  # what is not a number has not converged
        rows, at, chance, gradient = rows[steep], at[steep], chance[steep], gradient[steep]
        if not len(rows):
            return np.column_stack([found[:, :-1] @ axes, found[:, -1]])
        curvature = (weights[rows] * chance * (1 - chance)).astype(np.float32)
        hessian = (curvature @ products).reshape(-1, width, width).astype(float)
        hessian[:, np.arange(width), np.arange(width)] += ridge[rows]
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        before, size = loss(at, rows), np.ones((len(rows), 1))
        while len(worse := np.flatnonzero(loss(at - size * step, rows) > before + 1e-9)):
            size[worse] /= 2
        found[rows] = at - size * step
    raise RuntimeError(f"{len(rows)} of {len(labels)} logistic regressions do not converge")


def cross_validated(
    values: np.ndarray, labels: np.ndarray, penalties: np.ndarray, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit every labelling with the penalty that has the highest mean AUC in an inner cross-validation.

    Args:
        values: (N, F) float, standardised.
        labels: (P, N) 0 or 1, each labelling with both.
        penalties: (K,) float, the strongest first, which is kept where several are best.
        folds: of the inner cross-validation, stratified by each labelling.
        seed: of these folds.

    Returns:
        (P, F + 1) coefficients, the intercept last; (P,) the penalties.
    """
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    test = np.array([[np.isin(np.arange(len(own)), out) for _, out in splitter.split(values, own)] for own in labels])
    positive = labels.mean(1, keepdims=True)
    balanced = np.where(labels == 1, 1 / (2 * positive), 1 / (2 * (1 - positive)))
    shape = (*test.shape[:2], len(penalties))  # labelling, fold, penalty
    own = np.broadcast_to(labels[:, None, None], (*shape, labels.shape[1])).reshape(-1, labels.shape[1])
    weights = np.broadcast_to((balanced[:, None] * ~test)[:, :, None], (*shape, labels.shape[1])).reshape(own.shape)
    found = fit(values, own, weights, np.broadcast_to(penalties, shape).ravel()).reshape(*shape, -1)
    scores = found[..., :-1] @ values.T
    areas = np.zeros(shape)
    for p, f in np.ndindex(shape[:2]):
        positive, negative = (scores[p, f][:, test[p, f] & (labels[p] == label)] for label in (1, 0))
        apart = positive[:, :, None] - negative[:, None]
        areas[p, f] = ((apart > 0) + (apart == 0) / 2).mean((1, 2))
    best = penalties[areas.mean(1).round(12).argmax(1)]
    return fit(values, labels, balanced, best), best
