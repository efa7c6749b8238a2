"""Import of torchvision that also works beside a CPU-only torch.

The registry's torchvision wheel is built against CUDA. Beside a CPU build of torch its binary does not load, and
`import torchvision` stops with "operator torchvision::nms does not exist". timm and pytorch-grad-cam import torchvision
but need none of its compiled operators, so their schemas are declared here, once, where they are absent.
"""

from torch import library

try:
    import torchvision  # noqa: F401
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _schemas = library.Library("torchvision", "FRAGMENT")
    _schemas.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _schemas.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision  # noqa: F401
