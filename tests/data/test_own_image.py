"""`own_image`: every format gives the same slice, and what is no such image is refused in one line with its file."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from radiogen_utils.data import own_image
from radiogen_utils.data.cohort import SEQUENCES, open_cohort
from radiogen_utils.data.own_image import UnusableImage


@pytest.fixture
def head():
    """A slice (200, 180) uint8, an ellipse of noise with a bright tumour in it, and the tumour's mask."""
    y, x = np.mgrid[:200, :180]
    inside = ((y - 100) / 80) ** 2 + ((x - 90) / 65) ** 2 < 1
    mask = (y - 80) ** 2 + (x - 60) ** 2 < 15**2
    rng = np.random.default_rng(0)
    image = inside * rng.normal(90, 6, inside.shape) + mask * 60
    image[0, 0] = 255
    return np.clip(image, 0, 255).astype(np.uint8), mask


@pytest.fixture
def save(tmp_path):
    """Function writing an array under a name, in the format that the name says; returns the path."""

    def write(name, array, affine=None, modality="MR", **elements):
        path = tmp_path / name
        if ".nii" in name:
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4) if affine is None else affine), path)
        elif name.endswith(".dcm"):
            meta = FileMetaDataset()
            meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
            meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=["test"])
            data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
            data.Modality, (data.Rows, data.Columns) = modality, array.shape
            data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
            data.BitsAllocated = data.BitsStored = 16
            data.HighBit, data.PixelSpacing, data.PixelData = 15, [0.9, 1.1], array.astype("<u2").tobytes()
            for element, value in elements.items():
                setattr(data, element, value)
            data.save_as(path, enforce_file_format=True)
        else:
            Image.fromarray(array).save(path)
        return path

    return write


def voxels(array):
    """A slice as a NIfTI file of identity holds it: the first axis to the left, the second to the front."""
    return array[::-1, ::-1].T[..., None]


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.bmp"])
def test_a_picture_of_8_bits_stays_as_it_is(name, head, save):
    image, mask = head
    own = own_image.read(save(name, image), save(f"mask-{name}", mask.astype(np.uint8) * 255))
    assert np.array_equal(own.values, image[None]) and np.array_equal(own.masks, mask[None])
    assert own.name == name and own.pixel is None and not own.oriented


def test_grey_stored_as_colour_and_transparency_are_taken(head, save):
    image, mask = head
    layers = np.dstack([image, image, image, np.full_like(image, 255)])
    coloured = np.zeros((*mask.shape, 3), np.uint8)
    coloured[mask, 0] = 200  # a red overlay
    own = own_image.read(save("a.png", layers), save("m.png", coloured))
    assert np.array_equal(own.values, image[None]) and np.array_equal(own.masks, mask[None])


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_16_bits_and_floating_point_become_8_bits(kind, head, save):
    image, mask = head
    scaled = (image * (kind(200) if kind is np.uint16 else kind(0.004))).astype(kind)
    own = own_image.read(save("a.tif", scaled), save("m.png", mask))
    tissue = image > 40
    ratio = own.values[0][tissue] / image[tissue]
    assert own.values.dtype == np.uint8 and ratio.std() < 0.02 and own.values.max() == 255
    assert (own.values[0][image == 0] == 0).all()


def test_a_volume_gives_its_tumour_bearing_slices_as_a_radiologist_looks(head, save):
    image, mask = head
    volume = np.concatenate([voxels(image)] * 3, 2)
    marked = np.concatenate([voxels(mask) * 0, voxels(mask), voxels(mask)], 2).astype(np.uint8)
    own = own_image.read(save("a.nii.gz", volume), save("m.nii.gz", marked))
    assert np.array_equal(own.values, np.stack([image] * 2)) and np.array_equal(own.masks, np.stack([mask] * 2))
    # The same stored the other way round, with voxels of another size.
    affine = np.diag([-0.9, 1.2, 4, 1.0])
    own = own_image.read(save("b.nii", volume[::-1], affine), save("n.nii", marked[::-1], affine))
    assert np.array_equal(own.values[0], image) and own.pixel == pytest.approx((1.2, 0.9)) and own.oriented


def test_a_nifti_of_one_slice_is_taken(head, save):
    image, mask = head
    own = own_image.read(save("a.nii", voxels(image)[..., 0]), save("m.nii", voxels(mask)[..., 0].astype(np.uint8)))
    assert np.array_equal(own.values, image[None])


def test_dicom_is_read_with_its_scale_and_pixels(head, save):
    image, mask = head
    own = own_image.read(save("a.dcm", image * np.uint16(10), RescaleSlope=2, RescaleIntercept=0), save("m.png", mask))
    tissue = (image > 40) & (image < 200)
    assert own.pixel == (0.9, 1.1) and not own.oriented and (own.values[0][tissue] / image[tissue]).std() < 0.02
    dark = save("b.dcm", 2550 - image * np.uint16(10), PhotometricInterpretation="MONOCHROME1")
    assert np.abs(own_image.read(dark, save("n.png", mask)).values - own.values.astype(int)).max() <= 1


def colour(image, mask):
    return {"image": np.dstack([image, image // 2, 255 - image])}


def spoilt(value, where=(50, 50)):
    def spoil(image, mask):
        values = image.astype(np.float32)
        values[where] = value
        return {"image": values, "image_name": "a.tif"}

    return spoil


REFUSED = {
    "colour": (colour, "a.png: in colour"),
    "no tumour": (lambda image, mask: {"mask": mask & False}, "m.png: the mask has no tumour pixel"),
    "other size": (lambda image, mask: {"mask": mask[:, 1:]}, r"m.png: mask of 200×179 pixels, image of 200×180"),
    "mask is an image": (lambda image, mask: {"mask": image}, r"m.png: \d+ different values, so it is not a mask"),
    "mask of the head": (
        lambda image, mask: {"mask": image > 40},
        "m.png: the mask is .* as large as all that",
    ),
    "inverted": (lambda image, mask: {"mask": ~mask}, "m.png: the mask is .* as large"),
    "masked already": (lambda image, mask: {"image": image * mask}, "m.png: .*whole slice rather than a cut-out"),
    "cut out": (
        lambda image, mask: {"image": image[50:130, 40:120], "mask": mask[50:130, 40:120]},
        "a.png: no air around the head",
    ),
    "mask on air": (
        lambda image, mask: {"mask": np.roll(mask, (-65, -45), (0, 1))},
        "m.png: 100% of the mask lies on",
    ),
    "empty slice": (lambda image, mask: {"image": image * 0 + 7}, "a.png: a slice is empty"),
    "NaN": (spoilt(np.nan), "a.tif: holds NaN"),
    "z-score": (spoilt(-80), "a.tif: negative intensities"),
    "four dimensions": (
        lambda image, mask: {
            "image": np.stack([voxels(image)] * 4, -1),
            "image_name": "a.nii",
            "mask": voxels(mask).astype(np.uint8),
            "mask_name": "m.nii",
        },
        "a.nii: 180×200×1×4 voxels; give FLAIR alone",
    ),
    "NIfTI and picture": (
        lambda image, mask: {"image": voxels(image), "image_name": "a.nii"},
        "m.png: only one of image and mask is NIfTI",
    ),
}


@pytest.mark.parametrize("change, message", REFUSED.values(), ids=REFUSED)
def test_what_is_no_such_image_is_refused(change, message, head, save):
    image, mask = head
    files = {"image": image, "mask": mask, "image_name": "a.png", "mask_name": "m.png"} | change(image, mask)
    with pytest.raises(UnusableImage, match=message) as found:
        own_image.read(save(files["image_name"], files["image"]), save(files["mask_name"], files["mask"]))
    assert "\n" not in str(found.value) and ";" in str(found.value)


def test_files_that_are_no_images_are_named(head, save, tmp_path):
    image, mask = head
    good, marked = save("a.png", image), save("m.png", mask)
    text = tmp_path / "notes.png"
    text.write_text("<html>")
    broken = tmp_path / "half.nii.gz"
    broken.write_bytes(save("a.nii.gz", voxels(image)).read_bytes()[:300])
    pages = tmp_path / "pages.tif"
    Image.fromarray(image).save(pages, save_all=True, append_images=[Image.fromarray(image)])
    ct = save("ct.dcm", image, modality="CT")
    moved = save("moved.nii", voxels(mask).astype(np.uint8), np.diag([1, 1, 2, 1.0]))
    for pair, message in (
        ((tmp_path / "nowhere.png", marked), "nowhere.png: no such file"),
        ((tmp_path, marked), ": a folder; give the path of one file"),
        ((good, ""), "one of the two is missing"),
        ((text, marked), "notes.png: a web page that cannot be read"),
        ((broken, marked), "half.nii.gz: .*cannot be read"),
        ((pages, marked), "pages.tif: 2 pages"),
        ((ct, marked), "ct.dcm: of modality CT, not MR"),
        ((good, save("m.dcm", mask)), "m.dcm: a mask as DICOM is not read"),
        ((save("b.nii", voxels(image)), moved), "moved.nii: lies elsewhere in space"),
    ):
        with pytest.raises(UnusableImage, match=message) as found:
            own_image.read(*pair)
        assert "\n" not in str(found.value) and ";" in str(found.value)


def test_every_slice_of_the_real_cohort_passes(real_archive):
    """By slice, as somebody would bring one; the limits come from these slices."""
    refused, name = [], Path("slice")

    def check(pairs):
        for image, mask in pairs:
            own = own_image.OwnImage(image[None, ..., SEQUENCES.index("FLAIR")], mask[None], "")
            try:
                own_image._check(own, name, name)
            except UnusableImage as error:
                refused.append(str(error))

    open_cohort(real_archive, check)
    assert refused == []
