"""A synthetic head: real anatomy, one tumour, one scanner. What `phantom` builds its patients from.

The anatomy is that of the MNI152 templates (ICBM 2009a, symmetric: T1, grey matter, white matter; Fonov et al.,
NeuroImage 2011), which nilearn's wheel carries. A `Head` deforms them, and draws skull, scalp and orbits around the
brain; an `Acquisition` turns a map of signal into 8-bit slices. Coordinates are millimetres: x to the patient's right,
y to the front, z upwards, with MNI152's origin. Maps are (Z, Y, X) arrays on the grid of three coordinate axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
from scipy import ndimage, sparse

_ORIGIN = (-98, -134, -72)  # of the templates' first voxel
_T1_MAX = 205 / 255  # the T1 template in white matter, which becomes signal 1


@cache
def _template() -> dict[str, tuple[np.ndarray, int]]:
    """Name -> (volume, voxel size in mm): uint8 `t1`, `gm`, `wm` (197, 233, 189), float32 `depth`, `base` at half.

    `depth` is the distance in mm from the skull's inner surface, positive inside. `base` is 1 in the skull base, the
    orbits and the face: below the vault, but far from the brain.
    """
    folder = Path(find_spec("nilearn").submodule_search_locations[0], "datasets", "data")
    names = {name: folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")}
    volumes = {name: (np.asarray(nibabel.load(path).dataobj), 1) for name, path in names.items()}
    brain = volumes["t1"][0][::2, ::2, ::2] > 0
    # The skull spans the sulci (a closing) and, from the widest section down, no longer follows the brain.
    near = ndimage.distance_transform_edt(~brain) <= 8
    closed = ndimage.distance_transform_edt(near) > 7
    vault = np.maximum.accumulate(closed[:, :, ::-1], axis=2)[:, :, ::-1]
    vault = ndimage.gaussian_filter(vault.astype(np.float32), 3) > 0.4
    depth = ndimage.distance_transform_edt(vault) - ndimage.distance_transform_edt(~vault)
    volumes["depth"] = (2 * depth.astype(np.float32), 2)
    volumes["base"] = (ndimage.gaussian_filter((vault & ~closed).astype(np.float32), 1), 2)
    return volumes


def _sample(name: str, position: Sequence[np.ndarray]) -> np.ndarray:
    """The template `name`, trilinear, at three arrays x, y, z; 0 outside."""
    volume, size = _template()[name]
    voxels = [(p - origin) / size for p, origin in zip(position, _ORIGIN, strict=True)]
    return ndimage.map_coordinates(volume, voxels, np.float32, order=1, mode="nearest")


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + np.exp(-np.clip(x, -30, 30)))


class Field:
    """A smooth Gaussian random field, mean 0, variance 1, correlated over `scale` mm, to be evaluated on any grid."""

    def __init__(self, rng: np.random.Generator, scale: float):
        self.scale = scale
        self.knots = np.arange(-140, 141, scale)
        self.weights = rng.standard_normal((self.knots.size,) * 3, dtype=np.float32)

    def __call__(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Values (Z, Y, X), float32, at three axes."""
        field = self.weights
        for axis in (z, y, x):
            steps = (axis[:, None] - self.knots) / self.scale
            basis = np.where(abs(steps) < 4, np.exp(-0.5 * steps**2), 0)
            basis /= np.linalg.norm(basis, axis=1, keepdims=True)
            # Sparse rather than BLAS: a tenth of the products, and the same bits on every processor.
            rows = sparse.csr_array(basis.astype(np.float32)) @ field.reshape(len(self.knots), -1)
            field = np.moveaxis(rows.reshape(len(axis), *field.shape[1:]), 0, -1)
        return field


class Head:
    """One person's head with one tumour. All that is random is drawn at once; the methods only evaluate it.

    Args:
        rng: generator.
        centre: of the tumour, (x, y, z).
        volume: of the tumour, mm³.
        height: logarithm of the tumour's mean height over its mean width.
        lobulation: size of the contour's lobes, as a fraction of the radius; 0 leaves an ellipsoid.
        infiltration: how much further the tumour reaches in white than in grey matter, as a fraction of the radius.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        centre: Sequence[float],
        volume: float,
        height: float,
        lobulation: float,
        infiltration: float,
    ):
        # Python's floats, where an array has single precision and shall keep it.
        self.centre, self.volume = [float(c) for c in centre], volume
        self.lobulation, self.infiltration = lobulation, infiltration
        stretch = np.exp(rng.normal((0, 0.12, height), 0.12))
        self.radii = (np.cbrt(3 * volume / (4 * np.pi)) * stretch / np.cbrt(np.prod(stretch))).tolist()
        self.level = 1.0
        roll, nod = rng.normal(0, np.radians(4), 2)
        roll = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        nod = np.array([[1, 0, 0], [0, np.cos(nod), -np.sin(nod)], [0, np.sin(nod), np.cos(nod)]])
        self.affine = (np.diag(1 / rng.normal((0.95, 0.96, 0.97), 0.03)) @ roll @ nod).tolist()
        self.elastic, self.elasticity = [Field(rng, 28) for _ in range(3)], rng.uniform(1.5, 3)
        self.mass_effect, self.atrophy = rng.uniform(0.05, 0.3), rng.uniform(0.8, 1.5)
        self.lobes, self.patches, self.texture = (Field(rng, scale) for scale in (11, 8, 5))
        self.skull, self.scalp = rng.uniform(4.5, 7), rng.uniform(2.5, 5.5)

    def _positions(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Where the grid lies, from the tumour's centre and, after the deformation, in the templates."""
        grid = np.meshgrid(z, y, x, indexing="ij")[::-1]
        plain = [sum(a * g for a, g in zip(row, grid, strict=True)).astype(np.float32) for row in self.affine]
        offset = [p - c for p, c in zip(plain, self.centre, strict=True)]
        mass = self.mass_effect * np.exp(-sum((o / (1.4 * r)) ** 2 for o, r in zip(offset, self.radii, strict=True)))
        position = [
            p - mass * o + self.elasticity * e(z, y, x) for p, o, e in zip(plain, offset, self.elastic, strict=True)
        ]
        return offset, position

    def _growth(
        self, z: np.ndarray, y: np.ndarray, x: np.ndarray, offset: Sequence[np.ndarray], wm: np.ndarray, gm: np.ndarray
    ) -> np.ndarray:
        side = np.sign(self.centre[0]).item()
        level = np.sqrt(sum((o / r) ** 2 for o, r in zip(offset, self.radii, strict=True)))
        level += (abs(offset[2]) / (1.15 * self.radii[2])) ** 8  # as many slices, whatever the contour
        level += self.lobulation * (self.lobes(z, y, x) + 0.4 * self.texture(z, y, x))
        level += (0.15 + self.infiltration) * (0.6 - wm)
        across = (offset[0] + self.centre[0]) * side < -1  # the falx holds growth back, the callosum does not
        level += np.where(across, 0.9 * (1.05 - wm), 0)
        return np.where(wm + gm > 0.5, level, np.inf) / self.level

    def fit(self, z: np.ndarray) -> tuple[int, int]:
        """Grow the tumour to its volume over evenly spaced slices at `z`; returns the first and last it reaches."""
        step = 3.0
        y = x = np.arange(-110, 111, step)
        offset, position = self._positions(z, y, x)
        growth = self._growth(z, y, x, offset, *(_sample(name, position) / 255 for name in ("wm", "gm")))
        count = int(self.volume / (step * step * (z[1] - z[0])))
        self.level = float(np.partition(growth.ravel(), count)[count])
        area = (growth < self.level).sum((1, 2))
        bare = np.flatnonzero(area < max(6, 0.04 * area.max()))  # too little for a reader to outline
        largest = area.argmax()
        return max(bare[bare < largest], default=-1) + 1, min(bare[bare > largest], default=len(z)) - 1

    def maps(self, z: np.ndarray, y: np.ndarray, x: np.ndarray) -> SimpleNamespace:
        """Maps on the grid of three axes.

        `position`: three arrays, MNI coordinates. `brain`: bool. `t1`: the template, 1 in white matter. `wm`, `gm`,
        `csf`: fractions of the tissues in the brain. `depth`: mm inside the skull. `base`: 1 below the vault. `growth`:
        below 1 in the tumour, lowest at its centre, infinite outside the brain. `texture`, `patches`: random fields,
        correlated over 5 and 8 mm.
        """
        offset, position = self._positions(z, y, x)
        wm, gm, t1 = (_sample(name, position) / 255 for name in ("wm", "gm", "t1"))
        m = SimpleNamespace(position=position, brain=t1 > 0.12, t1=t1 / _T1_MAX)
        m.growth = self._growth(z, y, x, offset, wm, gm)
        m.texture, m.patches = self.texture(z, y, x), self.patches(z, y, x)
        m.depth = _sample("depth", position) + 0.6 * m.patches
        m.base = _sample("base", position) * (m.depth > 0)
        # Templates are averages. Sharpened, and with random sulci, they look like an individual's cortex again.
        csf = np.clip(1 - wm - gm, 0, 1) * self.atrophy * np.exp(0.35 * m.texture)
        parts = [np.clip(part, 0, 1) ** 1.6 for part in (wm, gm, csf)]
        total = sum(parts) + 1e-3
        m.wm, m.gm, m.csf = (np.where(m.brain, part / total, 0) for part in parts)
        return m

    def surroundings(self, m: SimpleNamespace, csf: float, fat: float, marrow: float) -> np.ndarray:
        """Signal of all that is not brain, given that of CSF, the scalp's fat and the skull's marrow; air is 0."""
        outside = -m.depth - 2  # mm from the skull's inner table
        scalp = self.scalp + 0.035 * np.clip(-m.position[1] - 20, 0, None)  # thicker at the back of the head
        diploe = np.exp(-(((outside - self.skull / 2) / 1.2) ** 2)) * np.clip(0.5 + 0.4 * m.patches, 0, 1)
        skin = sigmoid((outside - self.skull) * 2.5) * sigmoid((self.skull + scalp - outside) * 2)
        signal = csf * (m.depth > 0) + (marrow * diploe + fat * skin) * (m.depth < 0)
        # Below the vault: muscle, pockets of fat, air and bone, two eyes.
        face = np.clip(0.55 + 0.25 * m.texture, 0.05, None)
        face *= np.where(m.patches > 0.9, 2.0, np.where(m.patches < -0.7, 0.15, 1))
        for eye in (-32, 32):
            globe = sigmoid(11.5 - np.sqrt(sum((p - c) ** 2 for p, c in zip(m.position, (eye, 60, -38), strict=True))))
            face += globe * (0.15 - face)
        return signal + m.base * (face - signal)


def vessels(m: SimpleNamespace) -> np.ndarray:
    """Signal that contrast medium adds in the superior sagittal sinus and in vessels of the sulci."""
    x, y, z = m.position
    sinus = np.exp(-((x / 2.5) ** 2) - ((m.depth - 1) / 2.5) ** 2) * ((y < -20) | (z > 40))
    return 1.3 * sinus + 0.6 * sigmoid((m.texture - 1.8) * 6) * np.clip(2 * m.csf - 0.4, 0, 1)


def outline(inside: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """A tumour (Y, X) as a reader draws it on one slice: its largest part, smooth, without holes."""
    inside = (ndimage.gaussian_filter(inside.astype(np.float32), 1) > 0.5) & brain
    parts, count = ndimage.label(inside)
    if count > 1:
        inside = parts == 1 + np.argmax(ndimage.sum(inside, parts, range(1, count + 1)))
    return ndimage.binary_fill_holes(inside)


@dataclass
class Acquisition:
    """One sequence of one examination.

    Attributes:
        blur: standard deviation of the point spread, pixels.
        noise: standard deviation of the Rician noise, signal of normal brain = 1.
        gain: grey levels of a signal of 1.
    """

    blur: float
    noise: float
    gain: float

    def __call__(self, rng: np.random.Generator, signal: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Slices (Z, Y, X) uint8 of a map of signal in which normal brain is about 1."""
        signal = ndimage.gaussian_filter(signal, (0, self.blur, self.blur))
        left, front = rng.normal(0, 0.0012, 2)
        bow = rng.uniform(-0.1, 0.2)  # surface coils brighten the rim, standing waves the middle
        bias = front * y[:, None] + left * x + bow * ((y[:, None] ** 2 + x**2) / 90**2 - 0.4)
        real, imaginary = self.noise * rng.standard_normal((2, *signal.shape), dtype=np.float32)
        magnitude = np.hypot(signal * np.exp(bias).astype(np.float32) + real, imaginary)
        return np.clip(self.gain * magnitude, 0, 255).astype(np.uint8)
